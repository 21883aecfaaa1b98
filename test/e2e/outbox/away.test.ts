/** The portal, the receiver or the folder is away, clocks jump, and the machine restarts: the files wait, and each is sent once. */
import { appendFileSync, renameSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { HOUR_MS, MachineClock } from '../harness/clock.ts'
import { until, World } from '../harness/world.ts'
import { Outbox, outboxWorld, receivedBy, stepsWithin, transfersOf } from './scene.ts'

test('while the portal is away files wait, which is said once; afterwards they are sent', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const args = ['watch', outbox.folder, '--to', 'bob', '--settle', '100ms', '--profile', 'alice']
  const watch = world.start(args)
  await watch.line((line) => line.startsWith('watching'))
  outbox.drop('a.txt', 'a')
  await watch.line((line) => line.includes('delivered'))
  await portal.stop('SIGKILL')
  await watch.line((line) => line.includes('does not answer'))
  outbox.drop('b.txt', 'b')
  await setTimeout(3_000)
  await world.portal()
  await watch.line((line) => line.includes('answers again'))
  await watch.line((line) => line.includes('b.txt: delivered'))
  expect(watch.lines.filter((line) => line.includes('does not answer'))).toHaveLength(1)
  await outbox.expectFiles({ 'sent/a.txt': 'a', 'sent/b.txt': 'b' })
  expect(await transfersOf(world)).toHaveLength(2)
})

test('a watch that is started while the portal is away begins by itself', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const outbox = new Outbox(world)
  outbox.drop('a.txt', 'a')
  await portal.stop('SIGKILL')
  const watch = await outbox.watch()
  await watch.object(({ type }) => type === 'silence')
  expect(outbox.files).toEqual({ 'a.txt': 'a' })
  await world.portal()
  await outbox.expectFiles({ 'sent/a.txt': 'a' })
})

test('killed and started again and again while the receiver is away: one transfer for each file', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  for (const name of ['1', '2', '3', '4', '5', '6']) {
    outbox.drop(name, name)
    const watch = await outbox.watch()
    await until(() => watch.json.some((one) => one.notification === 'stored'), 'a file is stored')
    await watch.stop('SIGKILL')
  }
  const watch = await outbox.watch()
  await world.receiver('bob')
  await until(() => watch.json.filter(({ type }) => type === 'ended').length === 6, 'all have arrived')
  const all = Object.fromEntries(['1', '2', '3', '4', '5', '6'].map((name) => [name, name]))
  expect(receivedBy(world, 'bob')).toEqual(all)
  expect(await transfersOf(world)).toHaveLength(6)
})

test('a drop folder that was moved, and another --to, continue what was begun as it was begun', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  outbox.drop('a.txt', 'a')
  const watch = await outbox.watch()
  await watch.notification('stored')
  await watch.stop('SIGKILL')
  renameSync(outbox.folder, world.path('outbox-moved'))
  const moved = new Outbox(world, 'outbox-moved')
  const again = await moved.watch(['--to', 'carol'])
  await world.receiver('bob')
  await world.receiver('carol')
  moved.drop('b.txt', 'b')
  await until(() => again.json.filter(({ type }) => type === 'ended').length === 2, 'both have arrived')
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a' })
  expect(receivedBy(world, 'carol')).toEqual({ 'b.txt': 'b' })
  expect(await transfersOf(world)).toHaveLength(2)
})

test('files that another account has taken over are left where they are, and named', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  outbox.drop('a.txt', 'a')
  const watch = await outbox.watch()
  await watch.notification('stored')
  await watch.stop('SIGKILL')
  const other = world.start(['watch', outbox.folder, '--to', 'bob', '--once', '--profile', 'carol', '--json'])
  expect(await other.ended).toMatchObject({ code: 0 })
  const left = other.json.find(({ type }) => type === 'left-alone')
  expect(left?.reason).toContain('to be sent by alice')
  await world.receiver('bob')
  expect(await outbox.once()).toMatchObject({ code: 0 })
  expect(outbox.files).toEqual({ 'sent/a.txt': 'a' })
  expect(await transfersOf(world)).toHaveLength(1)
})

test('a wall clock that jumps by hours makes no file look complete that is written to, and delays none', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const clock = new MachineClock(world, 'alice')
  const watch = await outbox.watch(['--settle', '1s'], clock.env)
  const jumpsMs = [5 * HOUR_MS, -3 * HOUR_MS, 0, 20 * HOUR_MS, -HOUR_MS, 0]
  const tries = await stepsWithin(1_000, jumpsMs.length, (at, number) => {
    appendFileSync(outbox.path(`slow-${number}.txt`), 'x')
    clock.set(jumpsMs[at - 1] ?? 0)
  })
  await watch.object((one) => one.type === 'ended' && one.name === `slow-${tries}.txt`)
  expect(receivedBy(world, 'bob')[`slow-${tries}.txt`]).toBe('xxxxxx')
})

test('a folder that is moved away is waited for, and the watch continues when it is back', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const watch = await outbox.watch(['--poll', '200ms'])
  renameSync(outbox.folder, world.path('moved'))
  await watch.object(({ type }) => type === 'waiting')
  renameSync(world.path('moved'), outbox.folder)
  outbox.drop('a.txt', 'a')
  await outbox.expectFiles({ 'sent/a.txt': 'a' })
})

test('where the system reports no changes, the poll finds the files alone', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  // No process of this name space may follow changes of files.
  const without = ['unshare', '-r', 'sh', '-c', 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@"']
  const watch = await outbox.watch(['--poll', '300ms'], {}, without)
  await watch.object(({ type }) => type === 'polling')
  outbox.drop('a.txt', 'a')
  await watch.object(({ type }) => type === 'ended')
  outbox.write('b/c.txt', 'c')
  await outbox.expectFiles({ 'sent/a.txt': 'a', 'sent/b/c.txt': 'c' })
})
