/**
 * Whatever comes, the portal neither breaks nor says that it broke: an answer that says no is a problem with a code,
 * and the only statuses from 500 on are those of a portal that is full or stopping.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import '../../suites/random.ts'
import {
  type Answer,
  announcement,
  contentDigest,
  instance,
  manifestDigest,
  parseAnswer,
  partSizeBytes,
  refusalOf,
  TestPortal,
} from '../portal.ts'

const content = Buffer.alloc(partSizeBytes, 'fuzz ')
const RUNS = 300

let portal: TestPortal
let open: string
let offered: { transferId: string; leaseId: string }
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  portal = await TestPortal.start({}, { onEnd: (end) => ends.push(end) })
  open = await portal.announce(content)
  const transferId = await portal.store(content)
  offered = { transferId, leaseId: (await portal.offerOf(transferId)).leaseId }
})
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

function expectSane(answer: Answer): void {
  if (answer.status < 400) return
  const refusal = refusalOf(answer)
  if (answer.status >= 500) expect(refusal).toMatch(/^(503 unavailable|507 storage-full)$/)
}

async function expectAlive(): Promise<void> {
  expect((await portal.ask('GET', '/readyz')).status).toBe(200)
}

/** Text that is near to what belongs in a header, and text that is not. */
const headerText = fc.oneof(
  fc.string({ unit: fc.integer({ min: 32, max: 126 }).map((code) => String.fromCharCode(code)), maxLength: 200 }),
  fc.string({
    unit: fc.constantFrom('sha-256', '=', ':', ',', ' ', '"', ';', 'A', '/', '0', '-', 'bytes'),
    maxLength: 40,
  }),
)
const token = fc.constantFrom('alice', 'bob').map((name) => portal.token(name))

test('random bytes', async () => {
  const lineEnds = fc.constantFrom('\r\n', '\n', '\r\n\r\n', ' ', ':', 'GET /v1/limits HTTP/1.1\r\nHost: a\r\n')
  const bytes = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 50 }).map(Buffer.from),
      lineEnds.map((text) => Buffer.from(text)),
    ),
    {
      minLength: 1,
      maxLength: 10,
    },
  )
  await fc.assert(
    fc.asyncProperty(bytes, async (pieces) => {
      const socket = await portal.connect()
      const gathered: Buffer[] = []
      socket.on('data', (data: Buffer) => gathered.push(data))
      const closed = new Promise((resolve) => socket.once('close', resolve))
      // The client says that it is done, so that nothing is waited for.
      socket.end(Buffer.concat(pieces))
      await closed
      const answer = Buffer.concat(gathered)
      if (answer.length > 0) expectSane(parseAnswer(answer))
    }),
    { numRuns: RUNS },
  )
  await expectAlive()
})

test('a true request in which bytes were changed', async () => {
  const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), async (changes, isJson) => {
      const good = isJson
        ? portal.request('PUT', `/v1/transfers/${newTransferId()}`, {
            token: portal.token('alice'),
            body: announcement(5),
          })
        : portal.request('GET', `/v1/transfers/${open}`, { token: portal.token('alice') })
      for (const { at, byte } of changes) good[at % good.length] = byte
      const socket = await portal.connect()
      const gathered: Buffer[] = []
      socket.on('data', (data: Buffer) => gathered.push(data))
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.end(good)
      await closed
      const answer = Buffer.concat(gathered)
      if (answer.length > 0) expectSane(parseAnswer(answer, good.subarray(0, 4).toString() === 'HEAD' ? 'HEAD' : 'GET'))
    }),
    { numRuns: RUNS },
  )
  await expectAlive()
})

test('random JSON, and nearly right JSON, to every place that takes JSON', async () => {
  const problem = { type: 'urn:x', title: 'No', status: 500, code: 'write-failed' }
  const places = (): [string, string, Record<string, unknown>][] => [
    ['POST', '/v1/invite', { invite: `gli_${'i'.repeat(43)}` }],
    ['POST', '/v1/proof', { tokenId: 'a'.repeat(16), challenge: 'b'.repeat(43) }],
    ['POST', '/v1/join', { invite: `gli_${'i'.repeat(43)}`, token: `glt_${'a'.repeat(16)}_${'b'.repeat(43)}` }],
    ['PUT', `/v1/transfers/${newTransferId()}`, { ...announcement(100) }],
    ['POST', `/v1/transfers/${open}/complete`, { manifestDigest: manifestDigest(content), attempt: 7 }],
    [
      'POST',
      `/v1/inbox/${offered.transferId}/disposition`,
      { leaseId: 'l'.repeat(24), disposition: 'refused', problem },
    ],
    [
      'POST',
      `/v1/inbox/${open}/disposition`,
      { leaseId: 'l'.repeat(24), disposition: 'resend', problem, wanted: [[1, 1]] },
    ],
  ]
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 4 }),
    fc.constantFrom(-1, 0, 0.5, 1e308, 2 ** 53, '', '\u0000', '\ud800', [], {}, null, '__proto__', 'constructor'),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.nat(4),
      token,
      fc.oneof(fc.constant(null), value),
      fc.array(fc.tuple(fc.nat(), value), { maxLength: 2 }),
      async (place, who, whole, changes) => {
        const [method, path, good] = places()[place] ?? ['GET', '/', {}]
        for (const [index, changed] of changes) {
          const names = Object.keys(good)
          good[names[index % names.length] ?? ''] = changed
        }
        const body = JSON.stringify(whole ?? good)
        expectSane(
          await portal.ask(method, path, { token: who, headers: { 'content-type': 'application/json' }, body }),
        )
      },
    ),
    { numRuns: RUNS },
  )
  await expectAlive()
})

test('random digest fields, lengths and part numbers', async () => {
  const number = fc.oneof(
    fc.integer().map(String),
    fc.double().map(String),
    fc.constantFrom('1', '01', '%31', '1%2f', '..'),
  )
  const length = fc.oneof(
    fc.constant(null),
    fc.integer({ min: -1, max: 70_000 }).map(String),
    fc.constant(String(content.length)),
  )
  const digest = fc.oneof(
    headerText,
    headerText.map((text) => `${contentDigest(content)}${text}`),
  )
  await fc.assert(
    fc.asyncProperty(number, digest, length, async (partNumber, field, declared) => {
      const headers = { 'content-digest': field, ...(declared === null ? {} : { 'content-length': declared }) }
      const body = content.subarray(0, Math.max(0, Math.min(content.length, Number(declared ?? content.length))))
      const request = portal.request('PUT', `/v1/transfers/${open}/parts/${encodeURI(partNumber)}`, {
        token: portal.token('alice'),
        headers,
        body,
      })
      const socket = await portal.connect()
      const gathered: Buffer[] = []
      socket.on('data', (data: Buffer) => gathered.push(data))
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.end(request)
      await closed
      if (gathered.length > 0) expectSane(parseAnswer(Buffer.concat(gathered)))
    }),
    { numRuns: RUNS },
  )
  await expectAlive()
  const { parts } = await portal.client('alice').transfer(open)
  const digestOfContent = Buffer.from(contentDigest(content).slice('sha-256=:'.length, -1), 'base64').toString('hex')
  for (const part of parts) expect(part).toEqual({ partNumber: 1, digest: digestOfContent })
})

test('random fields of tus: an upload is created, appended to or refused', async () => {
  const bytes = Buffer.from('hello world')
  const good = {
    'tus-resumable': '1.0.0',
    'content-type': 'application/offset+octet-stream',
    'upload-length': String(bytes.length),
    'upload-metadata': `filename ${btoa('a')},to ${btoa('bob')}`,
  }
  const value = fc.oneof(
    headerText,
    fc.integer({ min: -1, max: 20 }).map(String),
    fc.constantFrom(
      '1',
      'partial',
      'PATCH',
      'HEAD',
      'TRACE',
      'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=',
      'a b,c',
      '9'.repeat(16),
    ),
  )
  const names = ['length', 'defer-length', 'metadata', 'offset', 'checksum', 'concat'].map((name) => `upload-${name}`)
  const fields = fc.dictionary(fc.constantFrom(...names, 'tus-resumable'), value, {
    maxKeys: 3,
  })
  const who = { token: portal.token('alice') }
  await fc.assert(
    fc.asyncProperty(fields, fields, fc.nat(bytes.length), async (creation, append, length) => {
      const created = await portal.ask('POST', '/v1/tus', {
        ...who,
        headers: { ...good, ...creation },
        body: bytes.subarray(0, length),
      })
      if (created.status !== 201) {
        expectSane(created)
        return
      }
      const path = `/v1/${created.headers.location}`
      const offset = created.headers['upload-offset'] ?? ''
      const headers = { ...good, 'upload-offset': offset, ...append }
      expectSane(await portal.ask('PATCH', path, { ...who, headers, body: bytes.subarray(Number(offset)) }))
      const ended = await portal.ask('DELETE', path, { ...who, headers: good })
      expect([204, 404, 410]).toContain(ended.status)
    }),
    { numRuns: RUNS },
  )
  await expectAlive()
})

test('random headers and query strings, wherever they are looked at', async () => {
  const names = [
    'range',
    'if-range',
    'prefer',
    'accept',
    'last-event-id',
    'authorization',
    'content-type',
    'expect',
    'upgrade',
  ]
  const headers = fc.dictionary(fc.constantFrom(...names), headerText, { maxKeys: 4 })
  const query = fc.array(
    fc.tuple(
      fc.constantFrom('after', 'limit', 'before', 'lease', 'held', 'instance', 'window', '__proto__'),
      fc.string({ unit: 'binary' }),
    ),
    {
      maxLength: 3,
    },
  )
  const paths = (): string[] => [
    `/v1/inbox/${offered.transferId}/parts/1`,
    `/v1/inbox/${offered.transferId}`,
    '/v1/transfers',
    `/v1/transfers/${open}`,
    '/v1/account',
    '/v1/limits',
  ]
  await fc.assert(
    fc.asyncProperty(fc.nat(5), token, headers, query, fc.boolean(), async (place, who, extra, pairs, isLeased) => {
      const path = paths()[place] ?? '/'
      const search = new URLSearchParams(pairs)
      if (isLeased && path.startsWith('/v1/inbox')) search.set('lease', offered.leaseId)
      // A wait would be granted, and this test would take as long.
      const { prefer = '', ...rest } = extra
      const request = { token: who, headers: { ...rest, prefer: prefer.replaceAll('wait', '') } }
      expectSane(await portal.ask('GET', `${path}?${search}`, request))
    }),
    { numRuns: RUNS },
  )
  await expectAlive()
})

test('random pages of the event log', async () => {
  const text = fc.oneof(fc.integer().map(String), fc.string({ unit: 'binary', maxLength: 30 }))
  await fc.assert(
    fc.asyncProperty(text, text, fc.constantFrom('after', 'limit'), async (first, second, name) => {
      const search = new URLSearchParams([
        [name, first],
        ['limit', second],
      ])
      expectSane(await portal.ask('GET', `/v1/events?${search}`, { token: portal.token('alice') }))
      expectSane(
        await portal.ask('GET', `/v1/inbox?${new URLSearchParams({ instance, window: first, [second]: '' })}x=`, {
          token: portal.token('carol'),
        }),
      )
    }),
    { numRuns: RUNS / 3 },
  )
  await expectAlive()
})

test('random addresses and headers of a file in one request', async () => {
  const names = [
    'content-type',
    'content-encoding',
    'content-range',
    'repr-digest',
    'content-digest',
    'idempotency-key',
    'prefer',
    'accept',
    'expect',
  ]
  const near: Record<string, fc.Arbitrary<string>> = {
    'content-type': fc.constantFrom('text/plain', 'multipart/form-data', 'a/b;c=d', '/'),
    'repr-digest': headerText.map((text) => `${contentDigest(content)}${text}`),
    'idempotency-key': fc.constantFrom(newTransferId(), open, `"${newTransferId()}"`),
    accept: fc.constantFrom('application/json', 'application/jsonl', '*/*'),
    expect: fc.constantFrom('100-continue', '200-ok'),
  }
  const header = fc
    .constantFrom(...names)
    .chain((name) => fc.tuple(fc.constant(name), fc.oneof(headerText, near[name] ?? headerText)))
  const address = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('bob', 'bob,carol', 'carol,', '%62ob', 'bob%2Ccarol'),
        fc.string({ unit: 'binary', minLength: 1 }).filter((name) => name.isWellFormed()),
      )
      .map(([receivers, name]) => `${receivers}/${encodeURIComponent(name)}`),
    fc.string({ unit: fc.constantFrom('b', '/', '%', '2', 'f', '.', ',', ';', '?', '#', '~'), maxLength: 20 }),
  )
  const framing = fc.constantFrom<Record<string, string>>(
    {},
    { 'transfer-encoding': 'chunked' },
    { 'transfer-encoding': 'chunked', 'content-length': '5' },
    { 'content-length': '0' },
  )
  await fc.assert(
    fc.asyncProperty(token, address, fc.array(header, { maxLength: 3 }), framing, async (who, path, pairs, frame) => {
      const { prefer = '', ...rest } = Object.fromEntries(pairs)
      const isFramed = 'transfer-encoding' in frame
      const request = portal.request('PUT', `/v1/to/${path}`, {
        token: who,
        // An answer that waited would take this test as long.
        headers: { ...rest, ...frame, prefer: `wait=0 ${prefer.replaceAll('wait', '')}` },
        body: isFramed ? '5\r\nfuzz!\r\n0\r\n\r\n' : 'fuzz!',
      })
      const socket = await portal.connect()
      const gathered: Buffer[] = []
      socket.on('data', (data: Buffer) => gathered.push(data))
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.write(request)
      const given = setTimeout(() => socket.destroy(), 5_000)
      await closed
      clearTimeout(given)
      const { status, headers, body } = parseAnswer(Buffer.concat(gathered))
      if (headers['content-type']?.startsWith('text/plain') !== true) expectSane({ status, headers, body })
      else if (status >= 400) expect(body.toString()).toMatch(/^(refused|resend): [a-z-]+: [^\p{C}]+\n$/u)
      else expect(status).toBe(200)
    }),
    { numRuns: RUNS },
  )
  await expectAlive()
})
