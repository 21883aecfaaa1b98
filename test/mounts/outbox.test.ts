/** Drop folders on each file system: without hard links, without lasting inodes, without reports of changes. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { until } from '../e2e/harness/world.ts'
import { Outbox, outboxWorld, receivedBy, transfersOf } from '../e2e/outbox/scene.ts'
import { type MountName, mount, mountKinds, mountTwice, whyNot } from './mounts.ts'

/** Without rclone: docs/drop-folders.md says that it does not suit. */
const kinds = (Object.keys(mountKinds) as MountName[]).filter((name) => !name.startsWith('rclone'))

test.each(kinds)(
  '%s: files and folders are sent once, also when the watcher is killed, and get their places',
  async (kind) => {
    const reason = whyNot(kind)
    if (reason !== null) return console.log(`not tested: ${reason}`)
    await using mounted = await mount(kind)
    await using world = await outboxWorld()
    const outbox = new Outbox(world, join(mounted.folder, 'outbox'))
    outbox.write('a.txt', 'a')
    outbox.write('tree/deep/b.txt', 'b')
    const killed = await outbox.watch(['--settle', '1s'])
    await until(() => killed.json.filter((one) => one.notification === 'stored').length === 2, 'both are stored')
    await killed.stop('SIGKILL')

    await world.receiver('bob')
    outbox.write('c.txt', 'c')
    const done = await outbox.once('--settle', '1s')
    expect(done, done.stderr).toMatchObject({ code: 0 })
    expect(outbox.files).toEqual({ 'sent/a.txt': 'a', 'sent/c.txt': 'c', 'sent/tree/deep/b.txt': 'b' })
    expect(outbox.notes).toEqual(['sent/a.txt.receipt.json', 'sent/c.txt.receipt.json', 'sent/tree.receipt.json'])
    expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a', 'c.txt': 'c', 'tree/deep/b.txt': 'b' })
    expect(await transfersOf(world)).toHaveLength(3)

    outbox.write('a.txt', 'again')
    outbox.write('tree/deep/b.txt', 'again')
    expect(await outbox.once('--settle', '1s')).toMatchObject({ code: 0 })
    expect(outbox.files).toMatchObject({ 'sent/a (1).txt': 'again', 'sent/tree (1)/deep/b.txt': 'again' })
  },
)

test('what another machine puts into the folder is found by the poll; the other machine may not watch it, too', async () => {
  const reason = whyNot('sshfs')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mountTwice()
  await using world = await outboxWorld()
  await world.receiver('bob')
  const [one, other] = mounted.folders.map((folder) => new Outbox(world, join(folder, 'outbox')))
  if (one === undefined || other === undefined) throw new Error('there are two mounts')
  await one.watch(['--settle', '1s', '--poll', '500ms'])
  other.write('a.txt', 'a')
  await one.expectFiles({ 'sent/a.txt': 'a' })
  const refused = await other.start().ended
  expect(refused.code).toBe(4)
  expect(refused.stderr).toContain('(outbox-busy)')
})
