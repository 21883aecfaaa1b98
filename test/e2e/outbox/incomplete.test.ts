/** What programs make while they download, copy and edit is not sent before it is complete: only what people mean is. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { programPath, requireServer } from '../../servers/install.ts'
import { until } from '../harness/world.ts'
import { Outbox, outboxWorld, receivedBy, stepsWithin, transfersOf } from './scene.ts'

test('downloads of browsers and of aria2 are sent once they are complete, and not their empty or allocated beginnings', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const watch = await outbox.watch(['--poll', '100ms'])
  // Firefox, Chrome, aria2.
  outbox.write('disk.iso', '')
  outbox.write('disk.Xk3d9aQ1.iso.part', 'disk')
  outbox.write('song.mp3.crdownload', 'song')
  outbox.write('film.mkv', '\0'.repeat(100))
  outbox.write('film.mkv.aria2', 'what is missing')
  // A leftover beside a file that is there.
  outbox.write('old.pdf.part', 'half')
  outbox.write('old.pdf', 'old')
  await watch.object((one) => one.type === 'ended' && one.name === 'old.pdf')
  await until(() => watch.json.filter(({ type }) => type === 'left-alone').length === 2, 'both are named')
  renameSync(outbox.path('disk.Xk3d9aQ1.iso.part'), outbox.path('disk.iso'))
  renameSync(outbox.path('song.mp3.crdownload'), outbox.path('song.mp3'))
  outbox.write('film.mkv', 'film')
  rmSync(outbox.path('film.mkv.aria2'))
  await until(() => watch.json.filter(({ type }) => type === 'ended').length === 4, 'all are sent')
  const all = { 'disk.iso': 'disk', 'film.mkv': 'film', 'old.pdf': 'old', 'song.mp3': 'song' }
  expect(receivedBy(world, 'bob')).toEqual(all)
  expect(await transfersOf(world)).toHaveLength(4)
  const reasons = watch.json.filter(({ type }) => type === 'left-alone').map(({ reason }) => reason)
  expect(reasons.sort()).toEqual([
    'disk.Xk3d9aQ1.iso.part beside it says that it is not complete yet',
    'film.mkv.aria2 beside it says that it is not complete yet',
  ])
})

test('a folder with a download in it waits for that, and says so', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  outbox.write('papers/deep/a.pdf.part', 'a')
  outbox.write('papers/.hidden', 'h')
  const watch = await outbox.watch(['--poll', '100ms'])
  const { reason } = await watch.object(({ type }) => type === 'left-alone')
  expect(reason).toBe('a.pdf.part in it is not complete yet. If it is, rename it, or leave it out by --exclude')
  renameSync(outbox.path('papers/deep/a.pdf.part'), outbox.path('papers/deep/a.pdf'))
  await watch.object(({ type }) => type === 'ended')
  expect(receivedBy(world, 'bob')).toEqual({ 'papers/deep/a.pdf': 'a', 'papers/.hidden': 'h' })
})

test('files of editors and of Windows are left alone; sockets and FIFOs are named, in a folder they are left out', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  for (const name of ['.a.txt.swp', 'a.txt~', '#a.txt#', '~$a.docx', 'Thumbs.db', 'desktop.ini', '.a.txt.Xy12ab'])
    outbox.write(name, 'x')
  outbox.write('$RECYCLE.BIN/x', 'x')
  const server = createServer().listen(outbox.path('socket'))
  await once(server, 'listening')
  execFileSync('mkfifo', [outbox.path('fifo')])
  outbox.write('tree/a', 'a')
  execFileSync('mkfifo', [outbox.path('tree/fifo')])
  const done = await outbox.once()
  server.close()
  expect(done.code).toBe(0)
  expect(receivedBy(world, 'bob')).toEqual({ 'tree/a': 'a' })
  const said = done.stdout.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []))
  const named = said.filter(({ type }) => type === 'left-alone').map(({ name, reason }) => `${name}: ${reason}`)
  expect(named.sort()).toEqual(['fifo: it is neither a file nor a folder', 'socket: it is neither a file nor a folder'])
  expect(said.filter(({ type }) => type === 'left-out')).toMatchObject([{ path: 'tree/fifo' }])
})

test('folders that cp and rsync copy slowly are sent once, whole', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  await requireServer('rsync')
  const outbox = new Outbox(world)
  const watch = await outbox.watch(['--settle', '2s'])
  mkdirSync(world.path('source'))
  for (const name of ['a', 'b', 'c']) writeFileSync(world.path('source', name), Buffer.alloc(600_000, name))
  const copying: Promise<unknown>[] = []
  const tries = await stepsWithin(2_000, 12, (at, number) => {
    if (at === 1) {
      const args = ['-a', '--bwlimit=250', `${world.path('source')}/`, outbox.path(`rsynced-${number}`)]
      copying.push(once(spawn(programPath('rsync'), args, { stdio: 'ignore' }), 'exit'))
      mkdirSync(outbox.path(`copied-${number}`))
    }
    // `cp` that reads from a slow disk, each file in four parts.
    const [name, part] = [Math.floor((at - 1) / 4), (at - 1) % 4]
    appendFileSync(outbox.path(`copied-${number}`, 'abc'.charAt(name)), `${part}`)
  })
  for (const exit of await Promise.all(copying)) expect(exit).toEqual([0, null])
  const names = [`copied-${tries}`, `rsynced-${tries}`]
  const ended = () =>
    watch.json.flatMap(({ type, name }) => (type === 'ended' && names.includes(`${name}`) ? [name] : []))
  await until(() => names.every((name) => ended().includes(name)), 'both folders are sent')
  expect(ended().sort()).toEqual(names)
  const received = receivedBy(world, 'bob')
  const paths = names.flatMap((name) => ['a', 'b', 'c'].map((one) => `${name}/${one}`))
  expect(
    Object.keys(received)
      .filter((path) => names.includes(dirname(path)))
      .sort(),
  ).toEqual(paths)
  expect(received[`copied-${tries}/c`]).toBe('0123')
  expect(received[`rsynced-${tries}/c`]).toBe('c'.repeat(600_000))
})
