/** The portal's ledger cannot commit for a while: uploads and offers that would have shared a commit fail together. */
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FaultyNetwork, type Seen } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'
import { kindsOf, notifiedOf, recordOf } from './scene.ts'

const FILES = 6

test.each<[string, RegExp]>([
  ['are announced', /^(?:PUT|POST) \/v1\/(?:transfers|to)\b/],
  ['are complete', /^POST \/v1\/transfers\/[^/]+\/complete$/],
  ['are answered', /^POST \/v1\/inbox\/.*dispositions?$/],
])(
  'when commits fail while files %s, each is told about and delivered once, as soon as they succeed',
  async (_when, requests) => {
    await using world = await World.create()
    await world.portal()
    await using network = await FaultyNetwork.open(() => world.portalUrl)
    await world.join(['alice', 'bob'], { alice: network, bob: network })
    const bob = await world.receiver('bob')
    const ledger = join(world.dataFolder, 'ledger.sqlite')
    const isOne = ({ method, path }: Seen): boolean => requests.test(`${method} ${path}`)
    const countOf = (): number => network.seen.filter(isOne).length
    const gate = Promise.withResolvers<void>()
    network.rule = (seen) => (isOne(seen) ? { heldUntil: gate.promise } : null)

    const names = Array.from({ length: FILES }, (_, number) => `${number}.bin`)
    // Some go in one request, and some part by part.
    const sending = await Promise.all(
      names.map(async (name, number) => {
        const path = await world.file(name, number % 2 === 0 ? 5000 : 3_000_000)
        return world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '120s')
      }),
    )
    await until(async () => countOf() > 0, 'the first request')
    await rename(ledger, `${ledger}.away`)
    gate.resolve()
    const before = countOf()
    await until(async () => countOf() > before + FILES, 'requests that failed are made again')
    await rename(`${ledger}.away`, ledger)

    for (const one of sending) expect((await one.ended).code).toBe(0)
    for (const one of sending) expect(notifiedOf(one)).toEqual(['stored', 'delivered'])
    expect(await world.received('bob')).toEqual(names)
    const received = bob.json.filter(({ type }) => type === 'received')
    expect(received).toHaveLength(names.length)
    for (const { transferId } of received) {
      const { notifications } = await recordOf(world, String(transferId))
      expect(kindsOf(notifications)).toEqual(['stored', 'delivered'])
    }
  },
)
