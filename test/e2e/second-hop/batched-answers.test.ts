/** A receiver answers for many small files in few requests. After any failed request, each file is there once. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Limits } from '../../../src/protocol/index.ts'
import { FaultyNetwork, type Seen } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'

const FILES = 40
const isBatch = ({ method, path }: Seen): boolean => method === 'POST' && path.endsWith('/inbox/dispositions')
const isAlone = ({ method, path }: Seen): boolean => method === 'POST' && path.endsWith('/disposition')

/** Sends all files, with bob behind a faulty network. Each arrives once, with both notifications. */
async function expectEachOnce(
  rule: (network: FaultyNetwork, world: World) => Promise<FaultyNetwork['rule']>,
): Promise<readonly Seen[]> {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { bob: network })
  network.rule = await rule(network, world)
  const paths: string[] = []
  for (let index = 0; index < FILES; index++) paths.push(await world.file(`file-${index}.bin`, 100 + index))
  // The files wait for the receiver, so that it gets them together.
  const { code } = await world.send(paths, 'bob', '--no-wait').ended
  expect(code).toBe(0)
  await world.receiver('bob')
  const again = await world.send(paths, 'bob').ended
  expect(again.code, again.stderr).toBe(0)
  const alice = await world.client('alice')
  const eventsOfAll = async () => (await alice.events({ after: '0', limit: 500 })).events
  await until(async () => (await eventsOfAll()).length >= 4 * FILES, 'everything is delivered')
  const events = await eventsOfAll()
  const ids = new Set(events.map(({ transferId }) => transferId))
  expect(ids.size).toBe(2 * FILES)
  for (const id of ids) {
    const own = events.filter(({ transferId }) => transferId === id)
    expect(own.map(({ notification }) => notification)).toEqual(['stored', 'delivered'])
  }
  const received = await world.received('bob')
  expect(received).toHaveLength(2 * FILES)
  for (const path of paths) {
    const name = path.split('/').at(-1) ?? ''
    for (const one of [name, name.replace('.bin', ' (1).bin')]) {
      expect((await readFile(join(world.inbox('bob'), one))).equals(await readFile(path))).toBe(true)
    }
  }
  return network.seen
}

test('answers for many files take few requests', async () => {
  const seen = await expectEachOnce(async () => () => null)
  expect(seen.filter(isBatch).length).toBeGreaterThan(0)
  expect(seen.filter((one) => isBatch(one) || isAlone(one)).length).toBeLessThan(FILES)
})

test.each([
  ['is lost', { loseAnswer: true }],
  ['is damaged', { corruptAnswer: true }],
])(
  'the portal’s response to a batch of answers is %s: the answers are repeated, and create no second copy',
  async (_, fault) => {
    const seen = await expectEachOnce(async (network) => (one) => {
      if (!isBatch(one)) return null
      network.rule = () => null
      return fault
    })
    expect(seen.filter(isBatch).length).toBeGreaterThan(0)
  },
)

test('a portal without support for batches gets each answer in a request of its own', async () => {
  const seen = await expectEachOnce(async (_, world) => {
    const asked = await fetch(`${world.portalUrl}/v1/limits`)
    const { batchItemsMax: _items, batchBytesMax: _bytes, ...limits } = (await asked.json()) as Limits
    const answer = { status: 200, body: JSON.stringify(limits) }
    return ({ path }) => (path.endsWith('/v1/limits') ? { answer } : null)
  })
  expect(seen.filter(isBatch)).toEqual([])
  expect(seen.filter(isAlone).length).toBeGreaterThanOrEqual(2 * FILES)
})
