/**
 * Files that cannot be sent, or change while they are sent. The sender reports it, and no wrong content is delivered.
 */
import { appendFile, chmod, chown, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import { gate, isComplete, kindsOf, MIB, partOf, startOf } from './requests.ts'

/** A world in which alice sends through a proxy, so that the test sees all of her requests. */
async function watched() {
  const world = await World.create()
  const network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  return {
    world,
    network,
    async [Symbol.asyncDispose]() {
      await network[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    },
  }
}

test.each<[what: string, make: (world: World) => Promise<string>, says: RegExp]>([
  [
    'a file that does not exist',
    async (world) => world.path('nowhere.bin'),
    /The file cannot be read: there is no \S+\/nowhere\.bin \(source-unreadable\)/,
  ],
  ['a device', async () => '/dev/zero', /\/dev\/zero is not a regular file \(source-not-a-file\)/],
  [
    'the root folder',
    async () => '/',
    /These paths cannot be sent: \/ has no name of its own\. Send what is in it, under a name: .* --as NAME \(paths-invalid\)/,
  ],
  [
    'a link to nothing',
    async (world) => {
      await symlink(world.path('nowhere'), world.path('link'))
      return world.path('link')
    },
    /link.*\(source-unreadable\)/,
  ],
])('%s is wrong usage: exit code 2, with the reason, and nothing is sent', async (_what, make, says) => {
  await using about = await watched()
  const { world, network } = about
  const path = await make(world)
  const { code, stderr } = await world.send(path, 'bob').ended
  expect(code).toBe(2)
  expect(stderr).toMatch(says)
  expect(network.seen.filter(({ method }) => method !== 'GET')).toEqual([])
})

test('a file without read permission is wrong usage: exit code 2', async () => {
  await using about = await watched()
  const { world } = about
  const path = await world.file('secret.bin', 10)
  await chmod(path, 0)
  // Root can read every file, except that root of a user namespace cannot read a file of a user outside of it.
  const isRoot = process.getuid?.() === 0
  if (isRoot) await chown(path, 65_534, 65_534)
  const wrapper = isRoot ? ['unshare', '-r'] : []
  const { code, stderr } = await world.start(['send', path, '--to', 'bob', '--profile', 'alice'], { wrapper }).ended
  expect(stderr).toMatch(/this user may not use \S+secret\.bin \(source-unreadable\)/)
  expect(code).toBe(2)
})

test.each<[what: string, change: (path: string) => Promise<void>]>([
  ['grows', (path) => appendFile(path, 'more')],
  ['shrinks', (path) => truncate(path, 2 * MIB)],
  ['is written over with as many bytes', (path) => writeFile(path, Buffer.alloc(12 * MIB, 1))],
  [
    'is replaced by another one',
    async (path) => {
      await writeFile(`${path}.new`, Buffer.alloc(12 * MIB, 1))
      await rename(`${path}.new`, path)
    },
  ],
  ['is removed', (path) => rm(path)],
])('a file that %s during the upload is not sent: exit code 4, and the portal keeps nothing', async (_what, change) => {
  await using about = await watched()
  const { world, network } = about
  const path = await world.file('report.bin', 12 * MIB)
  const held = gate(network, (seen) => (partOf(seen) ?? 0) > 2)
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  const { transferId } = await startOf(sending)
  await until(() => network.seen.some((seen) => (partOf(seen) ?? 0) > 2), 'the sender is in mid-upload')
  await change(path)
  held.open()

  expect((await sending.ended).code).toBe(4)
  expect(sending.json.at(-1)).toMatchObject({
    exitCode: 4,
    transfers: [{ path, transferId, outcome: 'refused', problem: { code: 'source-changed' } }],
  })
  expect(kindsOf(sending)).toEqual([])
  expect(network.seen.some(isComplete)).toBe(false)
  const alice = await world.client('alice')
  expect(await alice.transfer(String(transferId))).toMatchObject({ state: 'cancelled' })
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')

  // Once it no longer changes, its present content is sent in a new transfer.
  const now = await world.file('report.bin', 3 * MIB)
  await world.receiver('bob')
  const again = world.send(now, 'bob')
  expect((await again.ended).code).toBe(0)
  expect((await startOf(again)).transferId).not.toBe(transferId)
  expect(await world.received('bob')).toEqual(['report.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(now))
})

test('a change of the file is reported in words, with advice', async () => {
  await using about = await watched()
  const { world, network } = about
  const path = await world.file('report.bin', 3 * MIB)
  const held = gate(network, (seen) => partOf(seen) === 3)
  const args = ['--to', 'bob', '--profile', 'alice', '--part-size', '1MiB']
  const sending = world.start(['send', path, ...args])
  await until(() => network.seen.some((seen) => partOf(seen) === 3), 'the sender is in mid-upload')
  await appendFile(path, 'more')
  held.open()
  const { code, stdout } = await sending.ended
  expect(code).toBe(4)
  expect(stdout).toContain('Send it again once nothing writes to it.')
})

test('a file that changed between two runs is sent in a new transfer, and the old one is cancelled', async () => {
  await using about = await watched()
  const { world, network } = about
  const path = await world.file('report.bin', 4 * MIB)
  const held = gate(network, (seen) => (partOf(seen) ?? 0) > 2)
  const first = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  const { transferId: before } = await startOf(first)
  await until(async () => (await world.stored()).length === 2, 'two parts are at the portal')
  await first.stop('SIGKILL')
  held.open()
  await appendFile(path, 'more')

  await world.receiver('bob')
  const second = world.send(path, 'bob', '--part-size', '1MiB')
  expect((await second.ended).code).toBe(0)
  const started = await startOf(second)
  expect(started).toMatchObject({ isResumed: false })
  expect(started.transferId).not.toBe(before)
  const alice = await world.client('alice')
  expect(await alice.transfer(String(before))).toMatchObject({ state: 'cancelled' })
  expect(await world.received('bob')).toEqual(['report.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})

test('a file whose name is not UTF-8 arrives, with a name that is as legible as possible', async () => {
  await using about = await watched()
  const { world } = about
  await world.receiver('bob')
  await mkdir(world.path('files'))
  await writeFile(
    Buffer.concat([Buffer.from(world.path('files', 'caf')), Buffer.from([0xe9]), Buffer.from('.txt')]),
    'hi',
  )
  // Node cannot pass such a name to a child process. A shell can.
  const wrapper = ['sh', '-c', `exec "$0" "$@" "$(printf '%s/caf\\351.txt' '${world.path('files')}')"`]
  const { code, stderr } = await world.start(['send', '--to', 'bob', '--profile', 'alice'], { wrapper }).ended
  expect(code, stderr).toBe(0)
  expect(await world.received('bob')).toEqual(['caf\uFFFD.txt'])
})

test('a name with spaces and letters of any script arrives unchanged', async () => {
  await using about = await watched()
  const { world } = about
  await world.receiver('bob')
  const name = '  год 2024 – “日本” 🎉.tar.gz'
  const path = await world.file(name, 5)
  expect((await world.send(path, 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual([name])
})

test('a file of /proc that reports a size of 0 arrives with its content', async () => {
  await using about = await watched()
  const { world } = about
  await world.receiver('bob')
  expect((await world.send('/proc/cmdline', 'bob').ended).code).toBe(0)
  const content = await readFile('/proc/cmdline', 'utf8')
  expect(content).not.toBe('')
  expect(await readFile(`${world.inbox('bob')}/cmdline`, 'utf8')).toBe(content)
  const plain = world.send('/sys/kernel/mm/transparent_hugepage/enabled', 'bob', '--plain')
  expect((await plain.ended).code).toBe(0)
  expect(await readFile(`${world.inbox('bob')}/enabled`, 'utf8')).toMatch(/^always|^\[always/)
})
