// @tier fast
/** A receiver that cannot write reports the reason. `full-disk.test.ts` tests full disks. */
import { cp, mkdir, readdir, rename, rmdir, stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { newToken, newTransferId } from '../../../src/protocol/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'
import { holdBackAfter, holds, MIB, startSending, toldProblem } from './scene.ts'

test('a receiver whose folder vanishes during a file reports it once, and continues when the folder is back', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 2)
  const bob = await world.receiver('bob')
  const { sending } = await startSending(world, 'homeless.bin', 5)
  await holds(bob, 2)
  await rename(world.inbox('bob'), world.path('elsewhere'))
  release()
  const waiting = await bob.object((value) => value.type === 'waiting')
  expect(waiting.reason).toBe('the folder is not there')

  // An empty mount point is not the same folder, and nothing is written to it.
  await mkdir(world.inbox('bob'))
  const { sending: another } = await startSending(world, 'another.bin', 1)
  await another.notification('stored')
  expect(await readdir(world.inbox('bob'))).toEqual([])

  await rmdir(world.inbox('bob'))
  await rename(world.path('elsewhere'), world.inbox('bob'))
  for (const one of [sending, another]) expect((await one.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['another.bin', 'homeless.bin'])
  expect(bob.json.filter(({ type }) => type === 'waiting')).toHaveLength(1)
  expect(bob.json.filter(({ type }) => type === 'refused')).toEqual([])
})

test('a folder that comes back as another device is claimed again', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob')
  await rename(world.inbox('bob'), world.path('away'))
  const { sending } = await startSending(world, 'a.bin', 1)
  await bob.object((value) => value.type === 'waiting')
  // Like another mount of the same disk: the same content with other inodes.
  await cp(world.path('away'), world.inbox('bob'), { recursive: true })
  expect((await sending.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['a.bin'])
  const second = await world.run('receive', '--into', world.inbox('bob'), '--profile', 'bob')
  expect(second.stderr).toContain('another process is using')
})

test('a missing folder, or one that no receiver has used, is refused without --create', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['bob'])
  const into = ['receive', '--into', world.inbox('bob'), '--profile', 'bob', '--json']
  const missing = await world.run(...into)
  expect(missing.code).toBe(2)
  expect(missing.stderr).toMatch(/it is not there; --create makes it \(folder-unavailable\)/)
  await mkdir(world.inbox('bob'), { recursive: true })
  const strange = await world.run(...into)
  expect(strange.code).toBe(2)
  expect(strange.stderr).toMatch(/no receiver has used it before\. Is its disk mounted\?.*--create/)
  expect(await readdir(world.inbox('bob'))).toEqual([])
  const file = await world.run('receive', '--into', await world.file('report.pdf', 1), '--profile', 'bob')
  expect(file.stderr).toContain('it is not a folder')
  await (await world.receiver('bob')).stop()
  const again = world.start(into)
  await again.object((value) => value.type === 'connected')
})

test('a wrong folder is reported at once, also while the portal is away', async () => {
  await using world = await World.create()
  // A receiver with only a token has to ask the portal for its account, and waits for the answer.
  const env = { GOLOOADER_PORTAL: 'http://127.0.0.1:1', GOLOOADER_TOKEN: newToken() }
  const { code, stderr } = await world.start(['receive', '--into', world.inbox('bob')], { env }).ended
  expect(stderr).toMatch(/it is not there; --create makes it \(folder-unavailable\)/)
  expect(code).toBe(2)
})

test.each(['../evil', '/tmp/golooader-evil', 'sub/evil', '..', 'C:evil', '.golooader', ' '])(
  'a file that is to be called "%s" is refused, and nothing is written anywhere',
  async (name) => {
    await using world = await World.create()
    await world.portal()
    await world.join(['alice', 'bob'])
    const bob = await world.receiver('bob')
    const before = await readdir(world.inbox('bob'), { recursive: true })
    const alice = await world.client('alice')
    const transferId = newTransferId()
    const bytes = Buffer.from('evil')
    const digest = digestOf('sha-256', bytes)
    await alice.announce(transferId, {
      to: ['bob'],
      metadata: { name },
      sizeBytes: bytes.length,
      partSizeBytes: MIB,
      digestAlgorithm: 'sha-256',
    })
    await alice.putPart(transferId, 1, { bytes, digest, digestAlgorithm: 'sha-256' })
    const manifestDigest = manifestDigestOf('sha-256', [digest])
    const first = await alice.complete(transferId, { manifestDigest, attempt: 1 })
    expect(first.notification).toBe('stored')

    const problem = await toldProblem(bob, 'refused')
    expect(problem).toMatchObject({ code: 'name-refused', status: 422 })
    await until(async () => (await alice.transfer(transferId)).state === 'ended', 'the transfer has ended')
    const { notifications } = await alice.transfer(transferId)
    expect(notifications).toMatchObject([{ notification: 'stored' }, { notification: 'failed', receiver: 'bob' }])
    expect(notifications[1]).toHaveProperty('problem', problem)
    expect(await readdir(world.inbox('bob'), { recursive: true })).toEqual(before)
    expect((await readdir(world.folder, { recursive: true })).filter((one) => one.endsWith('evil'))).toEqual([])
    await expect(stat('/tmp/golooader-evil')).rejects.toThrow('ENOENT')
  },
)
