// @tier fast
/** Whatever is put into a drop folder is sent once it is complete, and then lies where people find it. */
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Outbox, outboxWorld, receivedBy, stepsWithin, transfersOf } from './scene.ts'

test('files and folders arrive, and lie in sent/ with their receipts, which verify', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const watch = await outbox.watch()
  outbox.drop('a.txt', 'a')
  outbox.write('b.txt', 'b')
  outbox.write('photos/deep/1.jpg', 'one')
  await outbox.expectFiles({ 'sent/a.txt': 'a', 'sent/b.txt': 'b', 'sent/photos/deep/1.jpg': 'one' })
  await watch.object((one) => one.type === 'ended' && one.name === 'photos')
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a', 'b.txt': 'b', 'photos/deep/1.jpg': 'one' })
  expect(outbox.notes).toEqual(['sent/a.txt.receipt.json', 'sent/b.txt.receipt.json', 'sent/photos.receipt.json'])
  for (const name of ['a.txt', 'photos']) {
    const verified = await world.run(
      'verify',
      outbox.path('sent', name),
      '--receipt',
      outbox.path('sent', `${name}.receipt.json`),
    )
    expect(verified, verified.stderr).toMatchObject({ code: 0 })
  }
  expect(await watch.stop()).toMatchObject({ code: 0, stderr: '' })
})

test('names that come again are sent again, and get numbers in sent/', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const watch = await outbox.watch()
  for (const [count, text] of ['one', 'two', 'three'].entries()) {
    outbox.drop('report.pdf', text)
    await watch.object(
      (one) => one.type === 'ended' && String(one.path).includes(count === 0 ? 'report.pdf' : `(${count})`),
    )
  }
  await outbox.expectFiles({ 'sent/report.pdf': 'one', 'sent/report (1).pdf': 'two', 'sent/report (2).pdf': 'three' })
  expect(receivedBy(world, 'bob')).toEqual({ 'report.pdf': 'one', 'report (1).pdf': 'two', 'report (2).pdf': 'three' })
  expect(await transfersOf(world)).toHaveLength(3)
})

test('a slow writer is waited for; a file under another name is left alone until it is renamed', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const watch = await outbox.watch(['--settle', '1s'])
  outbox.write('upload.part', 'whole')
  outbox.write('.hidden', 'x')
  const tries = await stepsWithin(1_000, 10, (at, number) => {
    appendFileSync(outbox.path(`slow-${number}.log`), `${at} `)
  })
  const name = `slow-${tries}.log`
  await watch.object((one) => one.type === 'ended' && one.name === name)
  renameSync(outbox.path('upload.part'), outbox.path('upload.bin'))
  await watch.object((one) => one.type === 'ended' && one.name === 'upload.bin')
  expect(receivedBy(world, 'bob')).toMatchObject({ [name]: '1 2 3 4 5 6 7 8 9 10 ', 'upload.bin': 'whole' })
  expect(outbox.files).toMatchObject({
    '.hidden': 'x',
    [`sent/${name}`]: '1 2 3 4 5 6 7 8 9 10 ',
    'sent/upload.bin': 'whole',
  })
})

test('a folder is complete when nothing in it changes any more, and an empty one is left alone', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const watch = await outbox.watch(['--settle', '1s'])
  mkdirSync(outbox.path('photos-1/deep'), { recursive: true })
  await setTimeout(2_500)
  expect(await transfersOf(world)).toEqual([])
  const tries = await stepsWithin(1_000, 6, (at, number) => outbox.write(`photos-${number}/deep/${at}`, `${at}`))
  const name = `photos-${tries}`
  await watch.object((one) => one.type === 'ended' && one.name === name)
  const received = Object.keys(receivedBy(world, 'bob')).filter((path) => path.startsWith(name))
  expect(received.sort()).toEqual(['1', '2', '3', '4', '5', '6'].map((file) => `${name}/deep/${file}`))
  expect(watch.json.filter((one) => one.type === 'ended' && one.name === name)).toHaveLength(1)
})

test('a file renamed into place is sent at once, however long the settling time is', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  const watch = await outbox.watch(['--settle', '1h'])
  outbox.write('written.txt', 'x')
  outbox.drop('renamed.txt', 'whole')
  await watch.object((one) => one.type === 'ended' && one.name === 'renamed.txt')
  await outbox.expectFiles({ 'written.txt': 'x', 'sent/renamed.txt': 'whole' })
})

test('what cannot be sent stays, and is named once with the reason', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  symlinkSync('/etc/hostname', outbox.path('link'))
  mkdirSync(outbox.path('inner/.sending'), { recursive: true })
  writeFileSync(outbox.path('inner/.sending/lock'), '')
  outbox.write('inner/file', 'x')
  writeFileSync(Buffer.concat([Buffer.from(`${outbox.folder}/`), Buffer.of(0xff)]), 'x')
  const once = await outbox.once('--poll', '100ms')
  // Each file that comes makes it look again.
  await world.receiver('bob')
  const watch = await outbox.watch(['--poll', '50ms'])
  for (const name of ['a.txt', 'b.txt', 'c.txt']) {
    outbox.drop(name, name)
    await watch.object((one) => one.type === 'ended' && one.name === name)
  }
  const left = watch.json.filter(({ type }) => type === 'left-alone')
  expect(once.stdout.split('\n').filter((line) => line.includes('left-alone'))).toHaveLength(3)
  expect(left.map(({ name }) => name).sort()).toEqual(['inner', 'link', '\uFFFD'])
  expect(left.find(({ name }) => name === 'link')?.reason).toContain('symbolic link')
  expect(left.find(({ name }) => name === 'inner')?.reason).toContain('drop folder')
  expect(once.code).toBe(0)
  expect(await transfersOf(world)).toHaveLength(3)
})

test('--delete removes what was delivered, and keeps what was not', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  outbox.drop('a.txt', 'a')
  outbox.write('photos/1.jpg', 'one')
  expect(await outbox.once('--delete')).toMatchObject({ code: 0 })
  expect(outbox.files).toEqual({})
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a', 'photos/1.jpg': 'one' })
})

test('--exclude leaves out what matches, in the drop folder and below', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  outbox.write('a.log', 'x')
  outbox.write('a.txt', 'a')
  outbox.write('tree/b.log', 'x')
  outbox.write('tree/b.txt', 'b')
  expect(await outbox.once('--exclude', '*.log')).toMatchObject({ code: 0 })
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a', 'tree/b.txt': 'b' })
  expect(Object.keys(outbox.files).sort()).toEqual(['a.log', 'sent/a.txt', 'sent/tree/b.log', 'sent/tree/b.txt'])
})

test('a file that a receiver refuses lies in failed/ with the reason and who has it; moved back, it is sent again', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const carol = await world.receiver('carol', ['--from', 'bob'])
  const outbox = new Outbox(world)
  const to = ['--to', 'bob,carol']
  const watch = await outbox.watch(to)
  outbox.drop('a.txt', 'a')
  await watch.object((one) => one.type === 'ended' && one.outcome === 'failed')
  await outbox.expectFiles({ 'failed/a.txt': 'a' })
  const text = readFileSync(outbox.path('failed/a.txt.problem.txt'), 'utf8')
  expect(text).toMatch(
    /a\.txt was not delivered to carol\.\n\ncarol: .*\(sender-not-accepted\)\nbob has it\.\n\nTransfer: /,
  )
  const problem = JSON.parse(readFileSync(outbox.path('failed/a.txt.problem.json'), 'utf8'))
  expect(problem).toMatchObject({
    delivered: ['bob'],
    failures: [{ receiver: 'carol' }],
    receipts: [{ receiver: 'bob' }],
  })

  await carol.stop()
  await world.receiver('carol')
  renameSync(outbox.path('failed/a.txt'), outbox.path('a.txt'))
  await watch.object((one) => one.type === 'ended' && one.outcome === 'delivered')
  await outbox.expectFiles({ 'sent/a.txt': 'a' })
  expect(outbox.notes.filter((name) => name.startsWith('sent'))).toEqual([
    'sent/a.txt.bob.receipt.json',
    'sent/a.txt.carol.receipt.json',
  ])
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a', 'a (1).txt': 'a' })
})

test('a file that the portal refuses lies in failed/; a receiver that nobody knows is named at the start', async () => {
  await using world = await outboxWorld('--max-transfer', '100')
  const outbox = new Outbox(world)
  outbox.drop('large.bin', 'x'.repeat(500))
  expect(await outbox.once()).toMatchObject({ code: 4 })
  expect(Object.keys(outbox.files)).toEqual(['failed/large.bin'])
  expect(readFileSync(outbox.path('failed/large.bin.problem.txt'), 'utf8')).toContain('(transfer-too-large)')
  outbox.drop('a.txt', 'a')
  const unknown = await outbox.start(['--to', 'nobody']).ended
  expect(unknown.code).toBe(4)
  expect(unknown.stderr).toContain('No account of that name can receive: nobody (receiver-unknown)')
  expect(outbox.files).toHaveProperty('a.txt')
})

test('--once names a file that is still written to, and leaves it for the next run', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  for (let longestMs = Number.POSITIVE_INFINITY, tries = 1; longestMs >= 1_000; tries++) {
    const name = `app-${tries}.log`
    let lastMs = performance.now()
    longestMs = 0
    const write = () => {
      longestMs = Math.max(longestMs, performance.now() - lastMs)
      lastMs = performance.now()
      appendFileSync(outbox.path(name), 'line\n')
    }
    write()
    const writing = setInterval(write, 10)
    const { code, stdout } = await outbox.once('--settle', '1s')
    clearInterval(writing)
    write()
    // On a machine that stood still the file was complete meanwhile, as it should be.
    if (longestMs >= 1_000) continue
    expect(code).toBe(0)
    expect(stdout).toContain(`"name":"${name}","reason":"it is still written to. The next run sends it"`)
    expect(readdirSync(outbox.path('sent'))).not.toContain(name)
  }
})

test('"sent" that is a symbolic link is named, and so is a .sending that was deleted', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  mkdirSync(world.path('archive'))
  symlinkSync(world.path('archive'), outbox.path('sent'))
  const { code, stderr } = await outbox.once()
  expect(code).toBe(2)
  expect(stderr).toContain('sent is a symbolic link')
  rmSync(outbox.path('sent'))
  const watch = await outbox.watch(['--poll', '200ms'])
  rmSync(outbox.path('.sending'), { recursive: true })
  const { reason } = await watch.object(({ type }) => type === 'waiting')
  expect(reason).toContain('If .sending was deleted')
})

test('a second watcher of the folder, and one inside or around it, are refused', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  await outbox.watch()
  const second = await outbox.start().ended
  expect(second.code).toBe(4)
  expect(second.stderr).toContain(`Another process watches the drop folder: ${outbox.folder} (outbox-busy)`)
  mkdirSync(outbox.path('inner'))
  const inner = await new Outbox(world, 'outbox-1/inner').start().ended
  expect(inner.code).toBe(2)
  expect(inner.stderr).toMatch(/lies in the drop folder/)
  await (await world.receiver('bob')).stop()
  const inbox = await new Outbox(world, 'inbox/bob').start().ended
  expect(inbox.code).toBe(2)
  expect(inbox.stderr).toMatch(/is a folder that is received into/)
})

test('a drop folder is not received into: what arrives would be sent again, without end', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  await outbox.watch()
  const receiver = await world.run('receive', '--into', outbox.folder, '--create', '--profile', 'bob')
  expect(receiver).toMatchObject({ code: 2, stderr: expect.stringContaining('is a drop folder: golooader watch') })
  expect(readdirSync(outbox.folder)).not.toContain('.golooader')
})

test('--once ends with the exit code of what happened: 6 when --wait ran out, and the next run continues', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  outbox.drop('a.txt', 'a')
  expect(await outbox.once('--wait', '300ms')).toMatchObject({ code: 6 })
  expect(Object.keys(outbox.files).filter((path) => path.endsWith('a.txt'))).toHaveLength(1)
  await world.receiver('bob')
  expect(await outbox.once()).toMatchObject({ code: 0 })
  expect(outbox.files).toEqual({ 'sent/a.txt': 'a' })
  expect(await transfersOf(world)).toHaveLength(1)
  expect(await outbox.once()).toMatchObject({ code: 0 })
})
