/** Programs that send their streams, and receive into them: `me.send(stream)` and `me.receiveInto`, in processes of their own. */
import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Running, sha256Of, until, World } from '../e2e/harness/world.ts'
import { startProgram } from './program.ts'

const PART_BYTES = 64 * 1024

/** Prints each event and, at the end, what the call gave, as lines of JSON. */
const PRINTING = `
const say = (object) => console.log(JSON.stringify(object))
const acknowledged = Promise.withResolvers()
const onEvent = (event) => {
  if (event.acknowledgedBytes > 0) acknowledged.resolve()
  say({ ...event, type: event.notification?.notification ?? event.type })
}
const ended = (call) => call.then((value) => say({ type: 'value', value }), (error) => say({ type: 'error', code: error.code, message: error.message }))
`

async function worldOf(...args: string[]): Promise<World> {
  const world = await World.create()
  await world.portal(args)
  await world.join(['alice', 'bob'])
  return world
}

/** Runs a program in which `me` is the profile of a person. */
async function program(world: World, person: 'alice' | 'bob', body: string): Promise<Running> {
  const path = world.path(`program-${createHash('sha256').update(body).digest('hex').slice(0, 8)}.mjs`)
  const imports = `import { openProfile } from 'golooader'\nimport { createWriteStream } from 'node:fs'\nimport { Writable } from 'node:stream'\n`
  await writeFile(path, `${imports}${PRINTING}\nawait using me = await openProfile()\n${body}`)
  return startProgram(world, [path], person, { hasInput: true })
}

const sendOptions = (more = '') => `{ name: 'dump.sql', to: 'bob', partSizeBytes: ${PART_BYTES}, onEvent, ${more} }`

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function expectNothingAtPortal(world: World): Promise<void> {
  await until(async () => (await world.stored()).length === 0, 'the portal deleted the parts')
}

test('send(process.stdin) and receiveInto(a stream): delivered while it is written, with a receipt', async () => {
  await using world = await worldOf()
  const receiving = await program(world, 'bob', `await ended(me.receiveInto(createWriteStream('out'), { onEvent }))`)
  const sending = await program(world, 'alice', `await ended(me.send(process.stdin, ${sendOptions()}))`)
  const content = randomBytes(9 * PART_BYTES + 5)
  sending.child.stdin?.write(content.subarray(0, 6 * PART_BYTES))
  const written = async () => (await readFile(world.path('out')).catch(() => Buffer.alloc(0))).length
  await until(async () => (await written()) >= 4 * PART_BYTES, 'parts are written before the end')
  sending.child.stdin?.end(content.subarray(6 * PART_BYTES))

  const { value } = await sending.object((one) => one.type === 'value')
  expect(value).toMatchObject([{ path: 'dump.sql', outcome: 'delivered' }])
  const received = await receiving.object((one) => one.type === 'value')
  expect(received.value).toMatchObject({ from: 'alice', name: 'dump.sql', sizeBytes: content.length, isSealed: true })
  expect(received.value).not.toHaveProperty('path')
  expect(sha256(await readFile(world.path('out')))).toBe(sha256(content))
  expect((await sending.ended).code).toBe(0)
  expect((await receiving.ended).code).toBe(0)

  const { transferId } = received.value as { transferId: string }
  const home = world.path('home-alice')
  const env = { XDG_CONFIG_HOME: home, XDG_STATE_HOME: `${home}/state` }
  const saved = await world.start(['receipt', transferId, '--out', 'a.receipt'], { env }).ended
  expect(saved.code, saved.stderr).toBe(0)
  expect(await world.run('verify', 'out', '--receipt', 'a.receipt')).toMatchObject({ code: 0 })
})

test('send(a stream that has been read to its end) is refused: it would arrive empty', async () => {
  await using world = await worldOf()
  const child = `import { spawn } from 'node:child_process'
import { once } from 'node:events'
const child = spawn('seq', ['4000'])
await once(child, 'close')
await ended(me.send(child.stdout, ${sendOptions()}))`
  const sending = await program(world, 'alice', child)
  const error = await sending.object((one) => one.type === 'error')
  expect(error).toMatchObject({ code: 'options-invalid', message: expect.stringContaining('has ended before send()') })
})

test('send(a generator of text) sends its UTF-8 bytes', async () => {
  await using world = await worldOf()
  await world.receiver('bob')
  const rows = `async function* rows() { for (let row = 0; row < 20_000; row++) yield \`\${row} äöü\\n\` }`
  const sending = await program(world, 'alice', `${rows}\nawait ended(me.send(rows(), ${sendOptions()}))`)
  await sending.object((one) => one.type === 'value')
  const expected = Array.from({ length: 20_000 }, (_, row) => `${row} äöü\n`).join('')
  expect(await readFile(world.path('inbox', 'bob', 'dump.sql'), 'utf8')).toBe(expected)
})

test('send(the output of a child process) sends all of it, also if the child ends before the portal answers', async () => {
  await using world = await worldOf()
  await world.receiver('bob')
  const child = `import { spawn } from 'node:child_process'
import { once } from 'node:events'
const child = spawn('seq', ['4000'])
const sent = me.send(child.stdout, ${sendOptions()})
await once(child, 'exit')
await ended(sent)`
  const sending = await program(world, 'alice', child)
  const { value } = await sending.object((one) => one.type === 'value')
  expect(value).toMatchObject([{ outcome: 'delivered' }])
  const expected = Array.from({ length: 4000 }, (_, row) => `${row + 1}\n`).join('')
  expect(await readFile(world.path('inbox', 'bob', 'dump.sql'), 'utf8')).toBe(expected)
})

test.each([
  ['fails', `throw new Error('the database went away')`],
  ['gives something that is neither bytes nor text', 'yield { row: 1 }'],
])('a stream that %s in the middle is not delivered, and nothing stays at the portal', async (_what, end) => {
  await using world = await worldOf()
  await world.receiver('bob')
  const rows = `async function* rows() {
    for (let part = 0; part < 5; part++) yield Buffer.alloc(${PART_BYTES}, part)
    await acknowledged.promise
    ${end}
  }`
  const sending = await program(world, 'alice', `${rows}\nawait ended(me.send(rows(), ${sendOptions()}))`)
  const { value } = await sending.object((one) => one.type === 'value')
  expect(value).toMatchObject([{ outcome: 'refused', problem: { code: 'source-unreadable' } }])
  expect(sending.json.some((one) => one.type === 'stored')).toBe(false)
  await expectNothingAtPortal(world)
  expect(await world.received('bob')).toEqual([])
})

test.each([
  ['is refused', ['--quota', '256KiB'], '', { type: 'value', value: [{ outcome: 'refused' }] }],
  ['is aborted', [], 'signal: AbortSignal.any([stop.signal])', { type: 'error', message: 'changed my mind' }],
])(
  'the generator of a stream that %s is closed, and nothing stays at the portal',
  async (_what, args, more, ending) => {
    await using world = await worldOf(...args)
    const sending = await program(
      world,
      'alice',
      `const stop = new AbortController()
    async function* endless() {
      try {
        for (let part = 0; ; part++) {
          if (part === 8) stop.abort(new Error('changed my mind'))
          yield Buffer.alloc(${PART_BYTES}, part)
        }
      } finally {
        say({ type: 'closed' })
      }
    }
    await ended(me.send(endless(), ${sendOptions(more)}))`,
    )
    expect(await sending.object((one) => one.type === 'value' || one.type === 'error')).toMatchObject(ending)
    await sending.object((one) => one.type === 'closed')
    expect((await sending.ended).code).toBe(0)
    await expectNothingAtPortal(world)
  },
)

test('receiveInto a stream that fails signs no receipt: the next call gets the file', async () => {
  await using world = await worldOf('--lease', '2s')
  const path = await world.file('report.bin', 6 * PART_BYTES)
  const sending = world.send(path, 'bob', '--part-size', '64KiB')
  await sending.notification('stored')
  const full = `let seen = 0
  const full = new Writable({ write: (bytes, _, done) => done((seen += bytes.length) > ${2 * PART_BYTES} ? new Error('the tape is full') : null) })`
  const failing = await program(world, 'bob', `${full}\nawait ended(me.receiveInto(full, { onEvent }))`)
  const error = await failing.object((one) => one.type === 'value' || one.type === 'error')
  expect(error).toMatchObject({
    type: 'error',
    code: 'write-failed',
    message: expect.stringContaining('the tape is full'),
  })
  expect((await failing.ended).code).toBe(0)
  expect(sending.json.some((one) => one.notification === 'delivered' || one.notification === 'failed')).toBe(false)

  const again = await program(world, 'bob', `await ended(me.receiveInto(createWriteStream('again')))`)
  expect(await again.object((one) => one.type === 'value')).toMatchObject({ value: { sizeBytes: 6 * PART_BYTES } })
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await sha256Of(world.path('again'))).toBe(await sha256Of(path))
})

test('receiveInto gives one part after the other to a slow stream, and refuses for the reason that decide gives', async () => {
  await using world = await worldOf()
  const path = await world.file('report.bin', 20 * PART_BYTES)
  const refused = world.send(path, 'bob', '--part-size', '64KiB')
  const refusing = await program(
    world,
    'bob',
    `await ended(me.receiveInto(createWriteStream('out'), { decide: () => ({ refuse: 'not today' }) }))`,
  )
  expect(await refusing.object((one) => one.type === 'error' || one.type === 'value')).toMatchObject({ type: 'error' })
  expect(await refused.ended).toMatchObject({ code: 3, stdout: expect.stringContaining('not today') })

  const sending = world.send(path, 'bob', '--part-size', '64KiB')
  const slow = `let most = 0
  const slow = new Writable({ highWaterMark: 1, write: (bytes, _, done) => {
    most = Math.max(most, slow.writableLength)
    setTimeout(done, 5)
  } })
  await ended(me.receiveInto(slow))
  say({ type: 'most', most })`
  const receiving = await program(world, 'bob', slow)
  const { most } = await receiving.object((one) => one.type === 'most')
  expect(most, 'bytes that wait in the stream').toBeLessThanOrEqual(PART_BYTES)
  expect(await sending.ended).toMatchObject({ code: 0 })
})
