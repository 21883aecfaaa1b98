/** `PUT /v1/to` sends a file in one request. The portal's answer is true, and a failed upload leaves nothing behind. */
import { expect, test } from 'vitest'
import { newTransferId, partCount } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { announcement, contentDigest, instance, refusalOf, TestPortal } from '../portal.ts'
import { MIB, oneRequest, sendWhole, storedFiles, transferIdIn } from './one-request.ts'

const small = Buffer.from('a small file')
const large = Buffer.alloc(9 * MIB, 'a larger file, of two parts ')
const REPR = 'repr-digest'

/** Fetches all parts of a transfer. Where the portal did not know the size, the room on the disk decided the part size. */
async function fetched(portal: TestPortal, transferId: string, name = 'bob'): Promise<Buffer> {
  const offer = await portal.offerOf(transferId, name)
  const { leaseId } = offer
  const parts: Buffer[] = []
  for (let partNumber = 1; partNumber <= partCount(offer); partNumber++) {
    const path = `/v1/inbox/${transferId}/parts/${partNumber}?lease=${leaseId}`
    parts.push((await portal.ask('GET', path, { token: portal.token(name) })).body)
  }
  return Buffer.concat(parts)
}

async function kindsInLog(portal: TestPortal, transferId: string): Promise<string[]> {
  const { notifications } = await portal.client('alice').transfer(transferId)
  return notifications.map(({ notification }) => notification)
}

/** How many transfers the ledger contains. */
async function transferCount(portal: TestPortal): Promise<number> {
  return (await portal.client('alice').transfers()).transfers.length
}

test.each([
  ['a small file, which the ledger keeps', small, small.length],
  ['a file of several parts', large, large.length],
  ['a file of unknown length', large, null],
  ['a small file of unknown length', small, null],
  ['an empty file', Buffer.alloc(0), 0],
  ['an empty file of unknown length', Buffer.alloc(0), null],
])('%s is stored, and fetched unchanged', async (_what, content, lengthBytes) => {
  const portal = await TestPortal.start()
  const answer = await sendWhole(portal, 'bob/plan.pdf', content, { lengthBytes })
  expect(answer.status).toBe(200)
  expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
  const transferId = transferIdIn(answer)
  expect(answer.lines[0]).toMatch(/^stored \S+ plan\.pdf, [\d.]+ (B|MiB), waiting for bob$/)
  expect(answer.lines[1]).toBe(`waiting for bob; ask later: GET /v1/transfers/${transferId}/events`)
  expect((await fetched(portal, transferId)).equals(content)).toBe(true)
})

test('name, media type and receivers are those of the request', async () => {
  const portal = await TestPortal.start()
  const headers = { 'content-type': 'text/CSV; charset=utf-8' }
  const answer = await sendWhole(portal, 'bob,c%61rol/a%2Fb%20%C3%A4.csv', small, { headers, method: 'POST' })
  const { metadata, to } = await portal.client('alice').transfer(transferIdIn(answer))
  expect(metadata).toEqual({ name: 'a/b ä.csv', mediaType: 'text/csv' })
  expect(to.sort()).toEqual(['bob', 'carol'])
})

test('the longest possible name is accepted, and a longer one is not', async () => {
  const portal = await TestPortal.start()
  const name = '\u4e00'.repeat(1024)
  const answer = await sendWhole(portal, `bob/${encodeURIComponent(name)}`, small)
  expect((await portal.client('alice').transfer(transferIdIn(answer))).metadata).toEqual({ name })
  expect((await sendWhole(portal, `bob/${'x'.repeat(1025)}`, small)).text).toMatch(/^refused: request-invalid: /)
})

test('the answer stays open until every receiver has answered, and foreign text in it cannot control a terminal', async () => {
  const portal = await TestPortal.start()
  const path = `bob,carol/${encodeURIComponent('\u001b[31mred\n\u202e\u0007')}`
  const sending = sendWhole(portal, path, small, { headers: { prefer: 'x' } })
  await until(async () => (await transferCount(portal)) === 1, 'it is stored')
  const [transfer] = (await portal.client('alice').transfers()).transfers
  const transferId = transfer?.transferId ?? ''
  const problem = {
    type: 'urn:x',
    title: 'No\u001b]0;title\u0007',
    status: 500,
    code: 'write-failed',
    detail: 'because\nstored all',
  }
  const { leaseId } = await portal.offerOf(transferId)
  await portal.dispose(transferId, { leaseId, disposition: 'refused', problem })
  const offer = await portal.offerOf(transferId, 'carol')
  const received = { leaseId: offer.leaseId, disposition: 'received', manifestDigest: offer.manifestDigest }
  await portal.dispose(transferId, received, 'carol')
  expect((await sending).lines).toEqual([
    `stored ${transferId} \\u001b[31mred\\u000a\\u202e\\u0007, 12 B, waiting for bob, carol`,
    'failed bob: write-failed: No\\u001b]0;title\\u0007: because\\u000astored all',
    'delivered carol',
  ])
})

test.each([
  ['application/jsonl', 'application/jsonl'],
  ['application/json', 'application/jsonl'],
  ['text/html, application/x-ndjson;q=0.5', 'application/x-ndjson'],
])(
  'a client that accepts %s gets the notifications as objects, and a refusal as a problem',
  async (accept, contentType) => {
    const portal = await TestPortal.start()
    const answer = await sendWhole(portal, 'bob/plan.pdf', small, { headers: { accept } })
    expect(answer.headers['content-type']).toBe(contentType)
    const [stored, later] = answer.lines.map((line) => JSON.parse(line))
    const { notifications } = await portal.client('alice').transfer(stored.transferId)
    expect(stored).toEqual(notifications[0])
    const events = `/v1/transfers/${stored.transferId}/events`
    expect(later).toEqual({ transferId: stored.transferId, waitingFor: ['bob'], events })

    const refused = await sendWhole(portal, 'nobody/plan.pdf', small, { headers: { accept } })
    expect(refusalOf({ ...refused, headers: { ...refused.headers } as never, body: Buffer.from(refused.text) })).toBe(
      '404 receiver-unknown',
    )
  },
)

test.each<[string, string, Record<string, string>, number, RegExp]>([
  ['a receiver that is not there', 'bob,nobody/x', {}, 404, /^refused: receiver-unknown: .+: nobody\n$/],
  ['a receiver twice', 'bob,bob/x', {}, 400, /^refused: request-invalid: /],
  ['no receiver', ',/x', {}, 400, /^refused: request-invalid: /],
  ['no name', 'bob/', {}, 400, /^refused: request-invalid: /],
  ['a path below a name', 'bob/a/b', {}, 404, /^refused: not-found: /],
  ['a bad escape', 'bob/%zz', {}, 400, /^refused: request-invalid: /],
  ['a form', 'bob/x', { 'content-type': 'multipart/form-data; boundary=x' }, 415, /^refused: media-type-unsupported: /],
  [
    'what a form or curl --data sends',
    'bob/x',
    { 'content-type': 'Application/x-www-form-urlencoded; charset=utf-8' },
    415,
    /^refused: media-type-unsupported: .*curl -T/,
  ],
  ['a range', 'bob/x', { 'content-range': 'bytes 5-11/12' }, 400, /^refused: request-invalid: /],
  ['a coding', 'bob/x', { 'content-encoding': 'gzip' }, 415, /^refused: media-type-unsupported: /],
  ['a key that is none', 'bob/x', { 'idempotency-key': 'again' }, 400, /^refused: request-invalid: /],
  ['a digest of no known kind', 'bob/x', { [REPR]: 'sha-512=:AAAA:' }, 400, /^refused: digest-unsupported-algorithm: /],
  ['a digest that is none', 'bob/x', { [REPR]: 'sha-256=:AAAA:' }, 400, /^refused: digest-invalid-value: /],
  ['no valid token', 'bob/x', { authorization: 'Bearer x' }, 401, /^refused: credentials-invalid: /],
])('%s is refused with nothing stored', async (_what, path, headers, status, text) => {
  const portal = await TestPortal.start()
  const answer = await sendWhole(portal, path, small, { headers })
  expect(answer.text).toMatch(text)
  expect(answer.status).toBe(status)
  expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
  expect(await transferCount(portal)).toBe(0)
})

test('a request without any body does not count as an empty file', async () => {
  const portal = await TestPortal.start()
  const { status, body } = await portal.ask('PUT', '/v1/to/bob/x', { token: portal.token('alice') })
  expect(`${status} ${body}`).toMatch(/^411 refused: length-required: /)
})

test('a portal for sealed files only refuses this route', async () => {
  const portal = await TestPortal.start({ sealedOnly: true })
  expect((await sendWhole(portal, 'bob/x', small)).text).toMatch(/^refused: sealing-required: /)
  expect((await sendWhole(portal, 'bob/x', large, { lengthBytes: null })).status).toBe(403)
})

test('lack of space is reported with Retry-After', async () => {
  const portal = await TestPortal.start({ storageBytesMax: large.length })
  expect((await sendWhole(portal, 'bob/first', large)).status).toBe(200)
  for (const [content, lengthBytes] of [
    [small, small.length],
    [large, large.length],
    [large, null],
  ] as const) {
    const answer = await sendWhole(portal, 'bob/x', content, { lengthBytes })
    expect(answer.text).toMatch(/^refused: storage-full: /)
    expect(answer.text).not.toContain('the limit is')
    expect(answer.status).toBe(507)
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  }
})

test.each([
  ['the quota', { accountBytesMax: 5 }],
  ['the storage', { storageBytesMax: 5 }],
])('for a file larger than %s the answer names the limit, without Retry-After', async (_what, bounds) => {
  const portal = await TestPortal.start(bounds)
  for (const [content, lengthBytes] of [
    [small, small.length],
    [large, large.length],
    [large, null],
  ] as const) {
    const answer = await sendWhole(portal, 'bob/x', content, { lengthBytes })
    expect(answer.text).toMatch(/^refused: storage-full: .*the limit is 5 B$/m)
    expect(answer.status).toBe(507)
    expect(answer.headers['retry-after']).toBeUndefined()
  }
  await until(async () => (await storedFiles(portal)).length === 0, 'nothing of it is kept')
})

test('the digest of the whole file is verified, and on a mismatch nothing is kept', async () => {
  const portal = await TestPortal.start()
  for (const [content, lengthBytes] of [
    [small, small.length],
    [large, large.length],
    [large, null],
  ] as const) {
    const good = { [REPR]: contentDigest(content), 'content-digest': `unixsum=0, ${contentDigest(content)}` }
    expect((await sendWhole(portal, 'bob/good', content, { lengthBytes, headers: good })).status).toBe(200)
    const before = (await storedFiles(portal)).length
    for (const field of [REPR, 'content-digest']) {
      const headers = { ...good, [field]: contentDigest(Buffer.from('another one')) }
      const answer = await sendWhole(portal, 'bob/bad', content, { lengthBytes, headers })
      expect(answer.text).toMatch(/^resend: digest-mismatching-value: /)
      expect(answer.status).toBe(400)
      expect((await storedFiles(portal)).length).toBe(before)
    }
  }
})

test.each([
  ['is compressed on its way', 'gzip, chunked', '', 415, 'media-type-unsupported'],
  ['brings its digest behind it', 'chunked', `Repr-Digest: ${contentDigest(small)}\r\n`, 400, 'request-invalid'],
  ['brings a digest behind it that is wrong', 'chunked', 'Content-Digest: sha-256=:AA==:\r\n', 400, 'request-invalid'],
])('a file that %s is not reported as stored', async (_what, coding, trailer, status, code) => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const send = async (transferCoding: string, end: string): Promise<string> => {
    const head = [
      'PUT /v1/to/bob/x HTTP/1.1',
      'Host: portal',
      'Connection: close',
      'Prefer: wait=0',
      `Authorization: Bearer ${portal.token('alice')}`,
      `Idempotency-Key: ${key}`,
      `Transfer-Encoding: ${transferCoding}`,
    ].join('\r\n')
    const chunk = `${small.length.toString(16)}\r\n${small}\r\n`
    return String(await portal.raw(`${head}\r\n\r\n${chunk}0\r\n${end}\r\n`))
  }
  const answer = await send(coding, trailer)
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  expect(answer).toContain(`refused: ${code}: `)
  expect(await storedFiles(portal)).toEqual([])
  expect(await send('chunked', 'X-Other: trailer\r\n')).toContain(`stored ${key} `)
  // The portal reads a repeated request to its end, too.
  if (trailer !== '') expect(await send(coding, trailer)).toContain(`refused: ${code}: `)
})

test('sent files are counted', async () => {
  const portal = await TestPortal.start()
  await sendWhole(portal, 'bob/x', small)
  await sendWhole(portal, 'bob/x', large)
  await sendWhole(portal, 'bob/x', large, { lengthBytes: null })
  const { body } = await portal.ask('GET', '/metrics')
  expect(body.toString()).toContain(`golooader_part_bytes_total{direction="in"} ${small.length + 2 * large.length}\n`)
  expect(body.toString()).toContain('golooader_notifications_total{notification="stored"} 3\n')
})

test('an online receiver has the first part before the second one is sent', async () => {
  const portal = await TestPortal.start()
  const sending = oneRequest(portal, 'bob/plan.pdf', { lengthBytes: large.length })
  await sending.write(large.subarray(0, 8 * MIB))
  await until(async () => (await transferCount(portal)) === 1, 'it is announced')
  const [transfer] = (await portal.client('alice').transfers()).transfers
  const transferId = transfer?.transferId ?? ''
  const { leaseId } = await portal.offerOf(transferId)
  const part = await portal.ask('GET', `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`, {
    token: portal.token('bob'),
    headers: { prefer: 'wait=20' },
  })
  expect(part.status).toBe(200)
  expect(part.body.equals(large.subarray(0, 8 * MIB))).toBe(true)
  expect((await portal.client('alice').transfer(transferId)).state).toBe('receiving')
  expect((await sending.end(large.subarray(8 * MIB))).lines[0]).toMatch(/^stored /)
})

test('a body of unknown length that exceeds the limit is refused during the upload, and deleted', async () => {
  const limits = [{ transferSizeBytesMax: 4 * MIB }, { accountBytesMax: 4 * MIB }, { storageBytesMax: 4 * MIB }]
  for (const limit of limits) {
    const portal = await TestPortal.start(limit)
    const sending = oneRequest(portal, 'bob/x')
    await sending.write(large.subarray(0, 3 * MIB))
    await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
    await sending.write(large.subarray(3 * MIB, 5 * MIB))
    const answer = await sending.answer
    expect(answer.text).toMatch(
      'transferSizeBytesMax' in limit ? /^refused: transfer-too-large: / : /^refused: storage-full: /,
    )
    expect(answer.status).toBe('transferSizeBytesMax' in limit ? 413 : 507)
    expect(await storedFiles(portal)).toEqual([])
    expect(await transferCount(portal)).toBe(0)
    sending.cut()
  }
})

test('concurrent bodies of unknown length share the storage limit of their account', async () => {
  const portal = await TestPortal.start({ accountBytesMax: 12 * MIB })
  const first = oneRequest(portal, 'bob/first')
  await first.write(large.subarray(0, 7 * MIB))
  await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
  const second = await sendWhole(portal, 'bob/second', large, { lengthBytes: null })
  expect(second.text).toMatch(/^refused: storage-full: /)
  expect((await first.end()).lines[0]).toMatch(/^stored /)
})

test('a body that breaks off leaves nothing behind, and receivers that have started to fetch are notified', async () => {
  const portal = await TestPortal.start()
  const sending = oneRequest(portal, 'bob/x', { lengthBytes: large.length })
  await sending.write(large.subarray(0, 8.5 * MIB))
  for await (const event of portal.client('bob').watchInbox({ instanceId: instance, window: 4 })) {
    if (event.type === 'offer') {
      await until(async () => (await storedFiles(portal)).length > 1, 'one part of it is held, and another comes')
      sending.cut()
    }
    if (event.type === 'withdrawn') {
      expect(event.withdrawal.problem.code).toBe('part-incomplete')
      break
    }
  }
  await until(async () => (await storedFiles(portal)).length === 0, 'everything of it is deleted')
  const [transfer] = (await portal.client('alice').transfers()).transfers
  expect(await kindsInLog(portal, transfer?.transferId ?? '')).toEqual(['refused'])
})

test('a body of unknown length that breaks off leaves nothing behind', async () => {
  const portal = await TestPortal.start()
  const sending = oneRequest(portal, 'bob/x')
  await sending.write(large.subarray(0, 3 * MIB))
  await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
  sending.cut()
  await until(async () => (await storedFiles(portal)).length === 0, 'everything of it is deleted')
  expect(await transferCount(portal)).toBe(0)
})

test('a body that stalls is cut off, and nothing of it is kept', async () => {
  const portal = await TestPortal.start({ idleMs: 300 })
  for (const lengthBytes of [small.length, large.length, null]) {
    const sending = oneRequest(portal, 'bob/x', { lengthBytes })
    await sending.write(small.subarray(0, 5))
    await expect(sending.answer).rejects.toThrow()
  }
  await until(async () => (await storedFiles(portal)).length === 0, 'everything of it is deleted')
})

test('an upload of a revoked account is cut, and nothing of it is kept', async () => {
  const portal = await TestPortal.start()
  const sending = [large.length, null].map((lengthBytes) => oneRequest(portal, 'bob/x', { lengthBytes }))
  for (const one of sending) await one.write(large.subarray(0, 3 * MIB))
  await until(async () => (await storedFiles(portal)).length === 2, 'they are being taken in')
  await portal.operate((ledger) => ledger.revokeAccount('alice'))
  for (const one of sending) await expect(one.answer).rejects.toThrow()
  await until(async () => (await storedFiles(portal)).length === 0, 'everything of it is deleted')
})

test('a repeated request gets the same answer, and creates no second transfer', async () => {
  const portal = await TestPortal.start()
  for (const [content, lengthBytes] of [
    [small, small.length],
    [large, large.length],
    [large, null],
  ] as const) {
    const key = newTransferId()
    const before = await transferCount(portal)
    const answer = await sendWhole(portal, 'bob,carol/x', content, { lengthBytes, headers: { 'idempotency-key': key } })
    expect(transferIdIn(answer)).toBe(key)
    for (const again of ['bob,carol/x', 'carol,bob/x']) {
      const headers = { 'idempotency-key': `"${key.toUpperCase()}"` }
      expect(await sendWhole(portal, again, content, { lengthBytes, headers })).toMatchObject({ text: answer.text })
    }
    expect(await kindsInLog(portal, key)).toEqual(['stored'])
    expect(await transferCount(portal)).toBe(before + 1)
  }
})

test('a key that was used for other content is a conflict', async () => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const headers = { 'idempotency-key': key }
  await sendWhole(portal, 'bob/x', large, { headers })
  const native = await portal.announce(large)
  const others = [
    sendWhole(portal, 'bob/x', large, { headers, from: 'carol' }),
    sendWhole(portal, 'bob/y', large, { headers }),
    sendWhole(portal, 'bob,carol/x', large, { headers }),
    sendWhole(portal, 'bob/x', small, { headers }),
    sendWhole(portal, 'bob/x', large, { headers: { ...headers, 'content-type': 'text/csv' } }),
    sendWhole(portal, 'bob/plan.pdf', large, { headers: { 'idempotency-key': native } }),
  ]
  for (const { status, text } of await Promise.all(others)) {
    expect(text).toMatch(/^refused: transfer-conflict: /)
    expect(status).toBe(409)
  }
  expect((await portal.client('alice').transfer(native)).state).toBe('receiving')
  expect(await kindsInLog(portal, key)).toEqual(['stored'])
})

test.each([
  ['of known length', large.length, ['resend', 'stored']],
  ['of unknown length', null, ['stored']],
])('a body %s that broke off can be sent again under its key', async (_what, lengthBytes, kinds) => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const sending = { lengthBytes, headers: { 'idempotency-key': key } }
  const first = oneRequest(portal, 'bob/x', sending)
  // The content differs, so that a part left over from it would show.
  await first.write(Buffer.alloc(8.5 * MIB, 'broken'))
  await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
  first.cut()
  await until(async () => (await storedFiles(portal)).length === 0, 'everything of it is deleted')
  const answer = await sendWhole(portal, 'bob/x', large, sending)
  expect(answer.lines[0]).toMatch(/^stored /)
  expect(await kindsInLog(portal, key)).toEqual(kinds)
  expect((await fetched(portal, key)).equals(large)).toBe(true)
})

test.each([
  ['of known length', large.length],
  ['of unknown length', null],
])(
  'the newest request %s replaces an unfinished one with the same key; that of another account does not',
  async (_what, lengthBytes) => {
    const portal = await TestPortal.start()
    const key = newTransferId()
    const sending = { lengthBytes, headers: { 'idempotency-key': key } }
    const first = oneRequest(portal, 'bob/x', sending)
    await first.write(large.subarray(0, 8.5 * MIB))
    await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
    expect((await sendWhole(portal, 'bob/x', large, { ...sending, from: 'carol' })).status).toBe(409)
    expect((await sendWhole(portal, 'bob/x', large, sending)).lines[0]).toMatch(/^stored /)
    await expect(first.answer).rejects.toThrow()
    expect((await fetched(portal, key)).equals(large)).toBe(true)
  },
)

test('a request that ended otherwise keeps its key', async () => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const headers = { 'idempotency-key': key }
  const first = oneRequest(portal, 'bob/x', { lengthBytes: large.length, headers })
  await first.write(large.subarray(0, MIB))
  await until(async () => (await transferCount(portal)) === 1, 'it is announced')
  await portal.client('alice').cancel(key)
  expect((await first.end(large.subarray(MIB))).text).toMatch(/^refused: transfer-closed: /)
  expect((await sendWhole(portal, 'bob/x', large, { headers })).text).toMatch(
    /^refused: transfer-conflict: .*cancelled/,
  )
  expect(await storedFiles(portal)).toEqual([])
})

test('an upload whose sender does not come back is refused when its time is up', async () => {
  const portal = await TestPortal.start({ uploadTimeoutMs: 2_500, sweepMs: 20 })
  const key = newTransferId()
  const first = oneRequest(portal, 'bob/x', { lengthBytes: large.length, headers: { 'idempotency-key': key } })
  await first.write(large.subarray(0, MIB))
  await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
  first.cut()
  // The test reads the ledger, because a request to the portal would postpone the timeout.
  const state = () => portal.operate(async (ledger) => (await ledger.transfer(key))?.state)
  await until(async () => (await state()) === 'refused', 'it is refused')
  const { notifications } = await portal.client('alice').transfer(key)
  expect(notifications.at(-1)).toMatchObject({ notification: 'refused', problem: { code: 'upload-timeout' } })
})

test('a client with Expect: 100-continue is asked for the body only once no refusal is possible', async () => {
  const portal = await TestPortal.start({ accountBytesMax: 20 * MIB })
  const headers = { expect: '100-continue' }
  for (const lengthBytes of [small.length, large.length, null]) {
    const content = lengthBytes === small.length ? small : large
    const welcome = oneRequest(portal, 'bob/x', { lengthBytes, headers }).flush()
    await until(() => welcome.isAskedFor, 'it is asked for')
    expect((await welcome.end(content)).status).toBe(200)
    for (const [path, more, status] of [
      ['nobody/x', {}, 404],
      ['bob/x', { authorization: 'Bearer x' }, 401],
      ['bob/x', { 'idempotency-key': 'x' }, 400],
    ] as const) {
      const refused = oneRequest(portal, path, { lengthBytes, headers: { ...headers, ...more } }).flush()
      expect((await refused.answer).status).toBe(status)
      expect(refused.isAskedFor).toBe(false)
    }
  }
  const full = oneRequest(portal, 'bob/x', { lengthBytes: 30 * MIB, headers }).flush()
  expect((await full.answer).status).toBe(507)
  expect(full.isAskedFor).toBe(false)
})

test('for other requests the body is requested once the token is known, and not for an unknown path', async () => {
  const portal = await TestPortal.start()
  const expecting = (path: string, token: string | undefined, body: unknown) =>
    portal.ask('PUT', path, { token, body, headers: { expect: '100-continue' } })
  const raw = async (path: string, token: string) =>
    (await portal.raw(portal.request('PUT', path, { token, body: {}, headers: { expect: '100-continue' } }))).toString()
  const path = `/v1/transfers/${newTransferId()}`
  expect((await expecting(path, portal.token('alice'), announcement(5))).status).toBe(201)
  expect(await raw(path, portal.token('alice'))).toMatch(/^HTTP\/1\.1 100 /)
  expect(await raw(path, 'x')).toMatch(/^HTTP\/1\.1 401 /)
  expect(await raw('/v1/nothing', portal.token('alice'))).toMatch(/^HTTP\/1\.1 404 /)
})

test('a client that sends without waiting, and is refused, can read the reason', async () => {
  const portal = await TestPortal.start()
  const sending = oneRequest(portal, 'nobody/x', { lengthBytes: 64 * MIB })
  for (let sent = 0; sent < 32; sent++) sending.write(Buffer.alloc(MIB))
  expect((await sending.answer).text).toMatch(/^refused: receiver-unknown: /)
  sending.cut()
})

test('an answer that waits sends signs of life', async () => {
  const portal = await TestPortal.start()
  const sending = sendWhole(portal, 'bob/x', small, { headers: { prefer: 'wait=27' } })
  expect((await sending).text).toMatch(/^stored .+\n\nwaiting for bob; .+\n$/)
})

test('an answer that waits ends when the portal stops, and says where to ask', async () => {
  const portal = await TestPortal.start({ stopMs: 5_000 })
  const sending = oneRequest(portal, 'bob/x', { lengthBytes: small.length, headers: { prefer: 'x' } })
  const answer = sending.end(small)
  await until(async () => (await transferCount(portal)) === 1, 'it is stored')
  await portal.stop()
  expect((await answer).text).toMatch(/^stored .+\nwaiting for bob; ask later: GET \/v1\/transfers\/\S+\/events\n$/)
})
