// @tier fast
/** How `send` ends when the first hop succeeds or is refused at once: exit codes, and several files or receivers. */
import { basename } from 'node:path'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, World } from '../harness/world.ts'
import { kindsOf, MIB, partsSent } from './requests.ts'

test('with --no-wait, send succeeds as soon as the file is stored', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const sending = world.send(await world.file('report.bin', MIB), 'bob', '--no-wait')
  expect((await sending.ended).code).toBe(0)
  expect(kindsOf(sending)).toEqual(['stored'])
  expect(sending.json.at(-1)).toMatchObject({ exitCode: 0, transfers: [{ outcome: 'stored' }] })
})

test('with --wait, send ends with exit code 6 when the receiver does not come in time; the file stays at the portal', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('report.bin', MIB)
  const sending = world.send(path, 'bob', '--wait', '1s')
  expect((await sending.ended).code).toBe(6)
  expect(kindsOf(sending)).toEqual(['stored'])
  const summary = sending.json.at(-1)
  expect(summary).toMatchObject({ exitCode: 6, transfers: [{ outcome: 'undelivered', waitingFor: ['bob'] }] })

  const bob = await world.receiver('bob')
  await bob.object((line) => line.type === 'received')
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})

test('after --wait has run out, the same command waits for the same transfer and sends nothing again', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', MIB)
  expect((await world.send(path, 'bob', '--wait', '500ms').ended).code).toBe(6)
  const from = network.seen.length
  await world.receiver('bob')
  const again = world.send(path, 'bob')
  expect((await again.ended).code).toBe(0)
  expect(kindsOf(again)).toEqual(['stored', 'delivered'])
  expect(partsSent(network, from)).toEqual({})
  expect(await world.received('bob')).toEqual(['report.bin'])
})

test.each([
  ['a receiver', 'nobody'],
  ['one of two receivers', 'bob,nobody'],
])('%s that the portal does not know refuses the file before any content is sent', async (_what, to) => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const bob = await world.receiver('bob')
  const sending = world.send(await world.file('report.bin', MIB), to)
  expect((await sending.ended).code).toBe(4)
  expect(sending.json.at(-1)).toMatchObject({
    type: 'summary',
    transfers: [{ outcome: 'refused', transferId: null, problem: { code: 'receiver-unknown', receivers: ['nobody'] } }],
  })
  expect(partsSent(network)).toEqual({})
  const alice = await world.client('alice')
  expect((await alice.transfers()).transfers).toEqual([])
  expect(bob.json.filter((line) => line.type === 'offered')).toEqual([])
})

test('several files are sent in one command, each with both of its notifications', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  await world.receiver('bob')
  await world.receiver('carol')
  const sizes = [0, 1, MIB, 2 * MIB + 1, 3 * MIB]
  const paths = await Promise.all(sizes.map((sizeBytes, index) => world.file(`file-${index}.bin`, sizeBytes)))

  const sending = world.send(paths, 'bob,carol', '--part-size', '1MiB')
  expect((await sending.ended).code).toBe(0)
  const { transfers } = sending.json.at(-1) as unknown as { transfers: { path: string; outcome: string }[] }
  expect(transfers.map(({ path, outcome }) => [path, outcome])).toEqual(paths.map((path) => [path, 'delivered']))
  const kinds = kindsOf(sending)
  expect(kinds.filter((kind) => kind === 'stored')).toHaveLength(paths.length)
  expect(kinds.filter((kind) => kind === 'delivered')).toHaveLength(2 * paths.length)
  for (const name of ['bob', 'carol']) {
    expect(await world.received(name)).toEqual(paths.map((path) => basename(path)))
    for (const path of paths) {
      expect(await sha256Of(`${world.inbox(name)}/${basename(path)}`)).toBe(await sha256Of(path))
    }
  }
})

test('when one of several files is missing, none is sent', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const paths = [await world.file('a.bin', MIB), world.path('missing.bin'), await world.file('c.bin', MIB)]
  const { code, stderr } = await world.send(paths, 'bob').ended
  expect(code).toBe(2)
  expect(stderr).toMatch(/missing\.bin.*\(source-unreadable\)/)
  expect(network.seen.filter(({ method }) => method !== 'GET')).toEqual([])
})

test('a file that is given twice is wrong usage, and nothing is sent', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('a.bin', MIB)
  const { code, stderr } = await world.send([path, `${world.path('files')}/../files/a.bin`], 'bob').ended
  expect(code).toBe(2)
  expect(stderr).toContain('is given more than once')
  const alice = await world.client('alice')
  expect((await alice.transfers()).transfers).toEqual([])
})

test('when the portal refuses one of several files, the others are delivered: exit code 4', async () => {
  await using world = await World.create()
  await world.portal(['--max-transfer', '2MiB'])
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const paths = [await world.file('a.bin', MIB), await world.file('large.bin', 3 * MIB), await world.file('c.bin', MIB)]
  const sending = world.send(paths, 'bob')
  expect((await sending.ended).code).toBe(4)
  expect(sending.json.at(-1)).toMatchObject({
    exitCode: 4,
    transfers: [
      { outcome: 'delivered' },
      { outcome: 'refused', problem: { code: 'transfer-too-large', sizeBytesMax: 2 * MIB } },
      { outcome: 'delivered' },
    ],
  })
  expect(await world.received('bob')).toEqual(['a.bin', 'c.bin'])
})

test('when the portal stops answering among several files, those not yet started are not tried: exit code 5', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const paths = await Promise.all(['a', 'b', 'c', 'd'].map((name) => world.file(`${name}.bin`, MIB)))
  let isSilent = false
  network.rule = ({ path }) => {
    isSilent ||= path.endsWith('/complete')
    return isSilent ? { hang: true } : null
  }
  const sending = world.send(paths, 'bob', '--answer-timeout', '3s')
  expect((await sending.ended).code).toBe(5)
  const { transfers } = sending.json.at(-1) as unknown as {
    transfers: { outcome: string; transferId: string | null }[]
  }
  expect(transfers.map(({ outcome }) => outcome)).toEqual(paths.map(() => 'no-answer'))
  expect(transfers.slice(2).map(({ transferId }) => transferId)).toEqual([null, null])
})
