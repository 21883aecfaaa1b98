/** The IETF's resumable uploads over HTTP: draft-ietf-httpbis-resumable-upload, as PROTOCOL.md says which of it. */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { PortalOptions } from '../../../src/portal/index.ts'
import { newTransferId } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { TestPortal } from '../portal.ts'
import { Exchange, type ExchangeAnswer, exchange } from './exchange.ts'
import { storedFiles } from './one-request.ts'
import { film, MIB } from './resumable.ts'

const version = { 'upload-draft-interop-version': '9' }
const partial = { 'content-type': 'application/partial-upload', prefer: 'wait=0' }
const small = Buffer.from('a file of a few bytes')

/** The length of all files in the store. */
async function bytesIn({ dataFolder }: TestPortal): Promise<number> {
  const entries = await readdir(join(dataFolder, 'store'), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name !== 'owner')
  const sizes = await Promise.all(files.map(({ parentPath, name }) => stat(join(parentPath, name)).catch(() => null)))
  return sizes.reduce((sum, found) => sum + (found?.size ?? 0), 0)
}

async function begin(options: Partial<PortalOptions> = {}) {
  const portal = await TestPortal.start(options)
  const ask = (headers: Record<string, string> = {}, from = 'alice') => ({
    url: portal.url,
    token: portal.token(from),
    headers,
  })
  /** Creates an upload without content. @returns its address */
  const create = async (headers: Record<string, string> = {}, path = '/v1/to/bob/film'): Promise<string> => {
    const created = await exchange('POST', path, ask({ 'upload-complete': '?0', ...headers }))
    expect(created.status, created.text).toBe(201)
    return String(created.headers.location)
  }
  const patch = (
    location: string,
    offset: number,
    complete: boolean,
    body?: Buffer,
    headers: Record<string, string> = {},
  ): Promise<ExchangeAnswer> => {
    const fields = { 'upload-offset': `${offset}`, 'upload-complete': complete ? '?1' : '?0' }
    return exchange('PATCH', location, ask({ ...partial, ...fields, ...headers }), body)
  }
  /** The beginning of a request that brings the whole film. */
  const sending = (headers: Record<string, string> = {}, lengthBytes: number | null = film.length): Exchange => {
    const length: Record<string, string> =
      lengthBytes === null ? { 'transfer-encoding': 'chunked' } : { 'content-length': `${lengthBytes}` }
    const all = { ...version, 'upload-complete': '?1', prefer: 'wait=0', ...length, ...headers }
    const exchange = new Exchange('PUT', '/v1/to/bob/film', ask(all))
    exchange.flush()
    return exchange
  }
  const offsetOf = async (location: string): Promise<number> => {
    const { status, headers } = await exchange('HEAD', location, ask())
    expect(status).toBe(204)
    // RFC 9110 section 8.6
    expect(headers).not.toHaveProperty('content-length')
    return Number(headers['upload-offset'])
  }
  /** What bob gets. */
  const fetched = async (answer: ExchangeAnswer): Promise<Buffer> => {
    expect(answer.status, answer.text).toBe(200)
    const transferId = answer.text.split(' ')[1] ?? ''
    const status = await portal.ask('GET', `/v1/transfers/${transferId}`, { token: portal.token('alice') })
    const { sizeBytes, partSizeBytes } = JSON.parse(status.body.toString())
    const { leaseId } = await portal.offerOf(transferId)
    const parts: Buffer[] = []
    for (let partNumber = 1; partNumber <= Math.ceil(sizeBytes / partSizeBytes); partNumber++) {
      const path = `/v1/inbox/${transferId}/parts/${partNumber}?lease=${leaseId}`
      parts.push((await portal.ask('GET', path, { token: portal.token('bob') })).body)
    }
    return Buffer.concat(parts)
  }
  return { portal, ask, create, patch, sending, offsetOf, fetched }
}

function digestOfBytes(bytes: Buffer): string {
  return `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`
}

test.each([
  ['known', film.length],
  ['unknown', null],
])(
  'a request of %s length that breaks is continued, and the last one is answered as the first would have been',
  async (_, lengthBytes) => {
    const { ask, patch, sending, fetched } = await begin({ transferSizeBytesMax: 1024 * MIB })
    const first = sending({}, lengthBytes)
    const location = await first.told('location')
    expect(location).toMatch(/^\/v1\/uploads\/[\w-]{43}$/)
    expect(first.interim[0]).toMatchObject({
      status: 104,
      headers: {
        'upload-draft-interop-version': '9',
        'upload-limit': expect.stringMatching(/max-size=\d+, max-age=\d+/),
      },
    })
    await first.write(film.subarray(0, 11 * MIB))
    expect(await first.told('upload-offset')).toBe(`${8 * MIB}`)
    first.cut()
    const where = await exchange('HEAD', location, ask())
    expect(where).toMatchObject({ status: 204, headers: { 'upload-complete': '?0', 'cache-control': 'no-store' } })
    expect(where.headers['upload-length']).toBe(lengthBytes === null ? undefined : `${lengthBytes}`)
    const offset = Number(where.headers['upload-offset'])
    expect(offset).toBeGreaterThanOrEqual(8 * MIB)
    const last = await patch(location, offset, true, film.subarray(offset), version)
    expect(last).toMatchObject({ status: 200, headers: { 'upload-complete': '?1' } })
    expect(last.text).toMatch(/^stored [\w-]{36} film, 17\.0 MiB, waiting for bob\nwaiting for bob; ask later/)
    expect(last.interim.every(({ headers }) => headers.location === undefined)).toBe(true)
    expect((await fetched(last)).equals(film)).toBe(true)
    const after = await exchange('HEAD', location, ask())
    expect(after.headers).toMatchObject({ 'upload-complete': '?1', 'upload-offset': `${film.length}` })
    const again = await patch(location, film.length, true)
    expect(again.text.split('\n')[0]).toBe(last.text.split('\n')[0])
  },
)

test('a file comes in small requests, each behind the one before it', async () => {
  const { ask, create, patch, fetched } = await begin()
  const bytes = film.subarray(0, 300_000)
  const location = await create({ 'upload-length': `${bytes.length}` })
  for (let offset = 0; offset < bytes.length; offset += 3_000) {
    const isLast = offset + 3_000 >= bytes.length
    const answer = await patch(location, offset, isLast, bytes.subarray(offset, offset + 3_000))
    if (isLast) expect((await fetched(answer)).equals(bytes)).toBe(true)
    else
      expect(answer).toMatchObject({
        status: 204,
        headers: { 'upload-complete': '?0', 'upload-offset': `${offset + 3_000}` },
      })
  }
  expect((await exchange('GET', location, ask())).headers['upload-complete']).toBe('?1')
})

test('the status of an upload says how much of it is safe, until it is stored', async () => {
  const { portal, create, patch } = await begin()
  const location = await create({ 'upload-length': `${small.length}` })
  const status = async () => {
    const [transfer] = (await portal.client('alice').transfers({ limit: 1 })).transfers
    return portal.client('alice').transfer(transfer?.transferId ?? '')
  }
  await patch(location, 0, false, small.subarray(0, 5))
  expect((await status()).upload).toEqual({ protocol: 'ietf', offsetBytes: 5 })
  await patch(location, 5, true, small.subarray(5))
  expect(await status()).toMatchObject({ state: 'stored' })
  expect(await status()).not.toHaveProperty('upload')
})

test('an upload whose content is there already is completed by a request without content', async () => {
  const { create, patch, fetched } = await begin()
  const location = await create()
  expect((await patch(location, 0, false, small)).status).toBe(204)
  expect((await fetched(await patch(location, small.length, true))).equals(small)).toBe(true)
  const empty = await create({}, '/v1/to/bob/empty')
  expect(await patch(empty, 0, true)).toMatchObject({ status: 200, text: expect.stringContaining('empty, 0 B') })
})

test('a request at another offset is refused with the right one, and changes nothing', async () => {
  const { create, patch, offsetOf, fetched } = await begin()
  const location = await create()
  await patch(location, 0, false, small)
  for (const offset of [0, 1, small.length + 1]) {
    const refused = await patch(location, offset, true, small)
    expect(refused).toMatchObject({
      status: 409,
      headers: {
        'upload-complete': '?0',
        'upload-offset': `${small.length}`,
        'content-type': expect.stringContaining('application/problem+json'),
      },
    })
    expect(JSON.parse(refused.text)).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#mismatching-upload-offset',
      'expected-offset': small.length,
      'provided-offset': offset,
    })
  }
  expect(await offsetOf(location)).toBe(small.length)
  const last = await patch(location, small.length, true, small)
  expect((await fetched(last)).equals(Buffer.concat([small, small]))).toBe(true)
  const late = await patch(location, 0, true, small)
  expect(late).toMatchObject({ status: 409, headers: { 'upload-complete': '?0' } })
})

test('lengths that disagree are refused, and the upload can be continued', async () => {
  const { ask, create, patch, fetched } = await begin()
  const inconsistent = {
    status: 400,
    text: expect.stringContaining('https://iana.org/assignments/http-problem-types#inconsistent-upload-length'),
  }
  const headers = { ...version, 'upload-complete': '?1', 'upload-length': '5' }
  expect(await exchange('PUT', '/v1/to/bob/film', ask(headers), small)).toMatchObject(inconsistent)
  const location = await create({ 'upload-length': `${2 * small.length}` })
  expect(await patch(location, 0, true, small)).toMatchObject({ ...inconsistent, headers: { 'upload-complete': '?0' } })
  expect(await patch(location, 0, false, small, { 'upload-length': '9' })).toMatchObject(inconsistent)
  expect((await patch(location, 0, false, small)).status).toBe(204)
  expect(await patch(location, small.length, true)).toMatchObject(inconsistent)
  const open = { 'transfer-encoding': 'chunked' }
  expect(await patch(location, small.length, true, small.subarray(0, 5), open)).toMatchObject(inconsistent)
  const last = await patch(location, small.length + 5, true, small.subarray(5))
  expect((await fetched(last)).equals(Buffer.concat([small, small]))).toBe(true)
})

test.each([['content-length'], ['transfer-encoding']])(
  'content beyond the length ends the upload, whether its %s says so or not',
  async (field) => {
    const { portal, ask, create, patch } = await begin()
    const location = await create({ 'upload-length': '10' })
    const length: Record<string, string> = field === 'content-length' ? {} : { 'transfer-encoding': 'chunked' }
    const refused = await patch(location, 0, false, small, length)
    expect(refused).toMatchObject({ status: 400, headers: { 'upload-complete': '?1' } })
    const gone = await exchange('HEAD', location, ask({ accept: 'application/json' }))
    expect(gone.status).toBe(410)
    const why = JSON.parse((await exchange('GET', location, ask({ accept: 'application/json' }))).text)
    expect(why).toMatchObject({
      code: 'upload-gone',
      state: 'refused',
      problem: { code: 'inconsistent-upload-length' },
    })
    await until(async () => (await storedFiles(portal)).length === 0, 'nothing of it is kept')
  },
)

test('a digest of the whole file is verified, however the file came', async () => {
  const { ask, create, patch, sending, fetched } = await begin()
  const right = await create({ 'repr-digest': digestOfBytes(Buffer.concat([small, small])) })
  await patch(right, 0, false, small)
  expect((await patch(right, small.length, true, small)).status).toBe(200)
  const wrong = await create({ 'repr-digest': digestOfBytes(small) })
  await patch(wrong, 0, false, small)
  expect(await patch(wrong, small.length, true, small)).toMatchObject({
    status: 400,
    headers: { 'upload-complete': '?1' },
    text: expect.stringContaining('digest-mismatching-value'),
  })
  expect((await exchange('HEAD', wrong, ask())).status).toBe(410)
  const late = await create()
  await patch(late, 0, false, small)
  const lateWrong = await patch(late, small.length, true, small, { 'repr-digest': digestOfBytes(small) })
  expect(lateWrong).toMatchObject({ status: 400, headers: { 'upload-complete': '?1' } })
  // With the whole file in one request it is that of the content, and still verified when the request breaks.
  const whole = sending({ 'content-digest': digestOfBytes(film) })
  const location = await whole.told('location')
  await whole.write(film.subarray(0, 9 * MIB))
  await whole.told('upload-offset')
  whole.cut()
  const offset = Number((await exchange('HEAD', location, ask())).headers['upload-offset'])
  expect(offset).toBeGreaterThan(0)
  expect((await fetched(await patch(location, offset, true, film.subarray(offset)))).equals(film)).toBe(true)
})

test('nothing of a request counts whose own digest is wrong, or that breaks before it could be verified', async () => {
  const { portal, create, patch, offsetOf, ask, fetched } = await begin()
  const location = await create({ 'upload-length': `${film.length}` })
  const cut = film.subarray(0, 10 * MIB)
  const wrong = await patch(location, 0, false, cut, { 'content-digest': digestOfBytes(small) })
  expect(wrong).toMatchObject({ status: 400, headers: { 'upload-complete': '?0', 'upload-offset': '0' } })
  expect(await offsetOf(location)).toBe(0)
  expect(await storedFiles(portal)).toEqual([])
  const fields = { ...partial, 'upload-offset': '0', 'upload-complete': '?0', 'content-length': `${cut.length}` }
  const broken = new Exchange('PATCH', location, ask({ ...fields, 'content-digest': digestOfBytes(cut) }))
  await broken.write(cut.subarray(0, 9 * MIB))
  broken.cut()
  expect(await offsetOf(location)).toBe(0)
  const right = await patch(location, 0, false, cut, { 'content-digest': digestOfBytes(cut) })
  expect(right).toMatchObject({ status: 204, headers: { 'upload-offset': `${cut.length}` } })
  expect((await fetched(await patch(location, cut.length, true, film.subarray(cut.length)))).equals(film)).toBe(true)
})

test('a request that asks for the offset ends the one that still sends, and what that had brought counts', async () => {
  const { ask, create, patch, offsetOf, fetched } = await begin()
  const location = await create({ 'upload-length': `${film.length}` })
  const fields = { ...partial, 'upload-offset': '0', 'upload-complete': '?1', 'content-length': `${film.length}` }
  const running = new Exchange('PATCH', location, ask({ ...fields, ...version }))
  await running.write(film.subarray(0, 12 * MIB))
  await running.told('upload-offset')
  const offset = await offsetOf(location)
  expect(offset).toBeGreaterThanOrEqual(8 * MIB)
  await expect(running.answer).rejects.toThrow()
  expect(await offsetOf(location)).toBe(offset)
  expect((await fetched(await patch(location, offset, true, film.subarray(offset)))).equals(film)).toBe(true)
})

test('a cancelled upload is gone, and so is a request that still sends', async () => {
  const { portal, ask, create, sending } = await begin()
  const running = sending()
  const location = await running.told('location')
  await running.write(film.subarray(0, 12 * MIB))
  await running.told('upload-offset')
  expect((await exchange('DELETE', location, ask())).status).toBe(204)
  await expect(running.answer).rejects.toThrow()
  expect((await exchange('HEAD', location, ask())).status).toBe(404)
  await until(async () => (await storedFiles(portal)).length === 0, 'nothing of it is kept')
  const complete = await create()
  await exchange('PATCH', complete, ask({ ...partial, 'upload-offset': '0', 'upload-complete': '?1' }), small)
  expect((await exchange('DELETE', complete, ask())).status).toBe(204)
  const { transfers } = await portal.client('alice').transfers({ limit: 9 })
  expect(transfers.map(({ state }) => state)).toEqual(['stored', 'cancelled'])
})

test('an upload is there only for its account, and only with its token', async () => {
  const { portal, ask, create, offsetOf } = await begin()
  const location = await create()
  for (const method of ['HEAD', 'PATCH', 'DELETE']) {
    const headers = { ...partial, 'upload-offset': '0', 'upload-complete': '?0' }
    expect((await exchange(method, location, ask(headers, 'carol'))).status, method).toBe(404)
    expect((await exchange(method, `${location.slice(0, -1)}!`, ask(headers))).status, method).toBe(404)
    expect((await exchange(method, location, { url: portal.url, token: 'none', headers })).status, method).toBe(401)
  }
  expect(await offsetOf(location)).toBe(0)
})

test('requests that are not of the documented form are refused', async () => {
  const { ask, create, offsetOf } = await begin()
  const location = await create()
  const fields = { ...partial, 'upload-offset': '0', 'upload-complete': '?0' }
  for (const [changes, status] of [
    [{ 'content-type': 'application/octet-stream' }, 415],
    [{ 'content-encoding': 'gzip' }, 415],
    [{ 'upload-offset': '-1' }, 400],
    [{ 'upload-offset': '"0"' }, 400],
    [{ 'upload-offset': '0, 0' }, 400],
    [{ 'upload-complete': 'true' }, 400],
    [{ 'upload-complete': '?2' }, 400],
    [{ 'upload-complete': '1' }, 400],
  ] as const) {
    const refused = await exchange('PATCH', location, ask({ ...fields, ...changes }), small)
    expect([refused.status, changes], refused.text).toEqual([status, changes])
  }
  expect(await offsetOf(location)).toBe(0)
  // Parameters of a structured field mean nothing here, and change nothing.
  const odd = { 'upload-offset': '0;unit=byte', 'upload-complete': '?0; why="so"', 'upload-length': 'many' }
  expect((await exchange('PATCH', location, ask({ ...fields, ...odd }), small)).status).toBe(204)
})

test.each([
  ['of another version', { 'upload-draft-interop-version': '99' }],
  ['without a version', {}],
  ['behind a proxy', { ...version, via: '1.1 cache' }],
  ['behind another proxy', { ...version, 'x-forwarded-for': '192.0.2.1' }],
  ['of a page', { ...version, 'sec-fetch-mode': 'cors' }],
  ['without content', { ...version, 'content-length': '0' }],
])('a whole file in a request %s is answered as a plain one, without interim answers', async (_, headers) => {
  const { portal, ask } = await begin()
  const body = 'content-length' in headers ? Buffer.alloc(0) : small
  const plain = await exchange('PUT', '/v1/to/bob/film', ask({ prefer: 'wait=0' }), body)
  const other = await exchange(
    'PUT',
    '/v1/to/bob/film',
    ask({ prefer: 'wait=0', 'upload-complete': '?1', ...headers }),
    body,
  )
  const names = ({ headers: all }: ExchangeAnswer): string[] => Object.keys(all).sort()
  expect([other.status, other.interim, names(other)]).toEqual([plain.status, [], names(plain)])
  expect(other.text.replaceAll(/[\w-]{36}/g, 'ID')).toBe(plain.text.replaceAll(/[\w-]{36}/g, 'ID'))
  const parts = { 'upload-complete': '?0', ...headers, 'content-length': '3' }
  expect(await exchange('PUT', '/v1/to/bob/film', ask(parts), small.subarray(0, 3))).toMatchObject({
    status: 201,
    ...('content-length' in headers ? {} : { interim: [] }),
    headers: { 'upload-offset': '3' },
  })
  expect(await storedFiles(portal)).toHaveLength(1)
})

test.each(['5', '6', '7', '8', '9'])(
  'a client of version %s is told the address in an interim answer',
  async (name) => {
    const { ask, sending, patch, offsetOf, fetched } = await begin()
    const running = sending({ 'upload-draft-interop-version': name })
    const location = await running.told('location')
    expect(running.interim[0]?.headers['upload-draft-interop-version']).toBe(name)
    await running.write(film.subarray(0, 9 * MIB))
    await running.told('upload-offset')
    running.cut()
    const offset = await offsetOf(location)
    if (name === '5') {
      const fields = { 'upload-offset': `${offset}`, 'upload-complete': '?0', 'upload-draft-interop-version': name }
      expect((await exchange('PATCH', location, ask(fields), film.subarray(offset))).status).toBe(204)
    } else expect((await patch(location, offset, false, film.subarray(offset))).status).toBe(204)
    expect((await fetched(await patch(location, film.length, true))).equals(film)).toBe(true)
  },
)

test('limits are told, and kept', async () => {
  const { portal, ask, create, patch } = await begin({ transferSizeBytesMax: MIB, accountUploadsMax: 2 })
  const limits = { status: 204, headers: { 'upload-limit': `min-size=0, max-size=${MIB}` } }
  expect(await exchange('OPTIONS', '/v1/to/bob/film', ask())).toMatchObject(limits)
  const large = { 'upload-complete': '?0', 'upload-length': `${MIB + 1}` }
  expect(await exchange('POST', '/v1/to/bob/film', ask(large))).toMatchObject({ ...limits, status: 413 })
  const location = await create()
  expect(await exchange('OPTIONS', location, ask())).toMatchObject(limits)
  await create()
  const third = await exchange('POST', '/v1/to/bob/film', ask({ 'upload-complete': '?0' }))
  expect(third).toMatchObject({ status: 429, text: expect.stringContaining('too-many-transfers') })
  const beyond = await patch(location, 0, false, Buffer.alloc(MIB + 1))
  expect(beyond).toMatchObject({ status: 413, headers: { 'upload-complete': '?1' } })
  await create()
  await until(async () => (await storedFiles(portal)).length === 0, 'nothing of it is kept')
})

test('the quota of an account counts what its uploads announce, and what comes without that', async () => {
  const { create, patch, offsetOf, ask } = await begin({ accountBytesMax: 20 * MIB, transferSizeBytesMax: 1024 * MIB })
  const full = await exchange(
    'POST',
    '/v1/to/bob/film',
    ask({ 'upload-complete': '?0', 'upload-length': `${21 * MIB}` }),
  )
  expect(full.status).toBe(507)
  const location = await create()
  expect((await patch(location, 0, false, film)).status).toBe(204)
  expect(await offsetOf(location)).toBe(film.length)
  const beyond = await patch(location, film.length, false, film)
  expect(beyond).toMatchObject({ status: 507, headers: { 'upload-complete': '?1' } })
  expect((await exchange('HEAD', location, ask())).status).toBe(410)
})

test('what uploads of unknown length have of their next part counts in the quota', async () => {
  const { portal, ask, create, patch } = await begin({ accountBytesMax: 20 * MIB, transferSizeBytesMax: 1024 * MIB })
  const tail = film.subarray(0, 7 * MIB)
  const locations: string[] = []
  for (const status of [204, 204, 507, 507]) {
    const location = await create()
    locations.push(location)
    expect((await patch(location, 0, false, tail)).status).toBe(status)
  }
  expect(await bytesIn(portal)).toBe(2 * tail.length)
  // Parts and whole files find as little room.
  const whole = { 'upload-complete': '?0', 'upload-length': `${tail.length}` }
  expect((await exchange('POST', '/v1/to/bob/film', ask(whole))).status).toBe(507)
  const [first = '', second = ''] = locations
  expect((await exchange('DELETE', first, ask())).status).toBe(204)
  // The rest of the part takes only the room that its tail has not taken: 20 MiB in all.
  const rest = film.subarray(tail.length, 17 * MIB)
  expect((await patch(second, tail.length, false, rest)).status).toBe(204)
  expect((await patch(second, 17 * MIB, true, film.subarray(0, 3 * MIB))).status).toBe(200)
  expect((await patch(await create(), 0, false, small)).status).toBe(507)
})

test('what is on its way in several requests of unknown length counts in the quota, too', async () => {
  const { portal, create, ask } = await begin({ accountBytesMax: 20 * MIB, transferSizeBytesMax: 1024 * MIB })
  const fields = { ...partial, 'upload-offset': '0', 'upload-complete': '?0', 'transfer-encoding': 'chunked' }
  const locations = await Promise.all(Array.from({ length: 5 }, () => create()))
  const running = locations.map((location) => new Exchange('PATCH', location, ask(fields)))
  const refused: number[] = []
  for (const { answer } of running) answer.then(({ status }) => refused.push(status)).catch(() => {})
  // None of them ends.
  for (const one of running) one.write(film.subarray(0, 7 * MIB))
  await until(() => refused.length >= 3, 'there is room for two of them at most')
  expect(refused.every((status) => status === 507)).toBe(true)
  await until(async () => (await bytesIn(portal)) <= 20 * MIB, 'what was refused is removed')
})

test('content whose digest is still to be verified is neither told nor offered, and is both once it is verified', async () => {
  const { portal, create, ask } = await begin()
  const location = await create({ 'upload-length': `${film.length}` })
  const { transfers } = await portal.client('alice').transfers({ limit: 1 })
  const transferId = transfers[0]?.transferId ?? ''
  const { leaseId } = await portal.offerOf(transferId)
  const path = `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`
  const fetchPart = () => portal.ask('GET', path, { token: portal.token('bob') })
  const toldBytes = async () => (await portal.client('alice').transfer(transferId)).upload?.offsetBytes
  const cut = film.subarray(0, 10 * MIB)
  const fields = { ...partial, ...version, 'upload-offset': '0', 'upload-complete': '?0' }
  const length = { 'content-length': `${cut.length}`, 'content-digest': digestOfBytes(cut) }
  const sending = new Exchange('PATCH', location, ask({ ...fields, ...length }))
  await sending.write(cut.subarray(0, 9 * MIB))
  await until(
    async () => (await storedFiles(portal)).some((name) => /^1\.[0-9a-f]{64}$/.test(name)),
    'a part is stored',
  )
  expect((await fetchPart()).status).toBe(404)
  expect(await toldBytes()).toBe(0)
  expect(sending.interim).toEqual([])
  expect(await sending.end(cut.subarray(9 * MIB))).toMatchObject({
    status: 204,
    headers: { 'upload-offset': `${cut.length}` },
  })
  expect(await toldBytes()).toBe(cut.length)
  expect((await fetchPart()).body.equals(film.subarray(0, 8 * MIB))).toBe(true)
})

test.each([
  ['its length', { 'content-length': `${4 * film.length}` }],
  ['no length', { 'transfer-encoding': 'chunked' }],
])('content with %s whose digest is still to be verified takes no more than the quota', async (_, length) => {
  const { portal, create, ask } = await begin({ accountBytesMax: 20 * MIB, transferSizeBytesMax: 1024 * MIB })
  const location = await create()
  const digest = `sha-256=:${createHash('sha256').update('of what never ends').digest('base64')}:`
  const fields = { ...partial, 'upload-offset': '0', 'upload-complete': '?0', 'content-digest': digest, ...length }
  const endless = new Exchange('PATCH', location, ask(fields as Record<string, string>))
  endless.flush()
  // Its end never comes.
  await endless.write(film)
  await endless.write(film.subarray(0, 5 * MIB))
  expect(await endless.answer).toMatchObject({ status: 507, headers: { 'upload-complete': '?1' } })
  await until(async () => (await storedFiles(portal)).length === 0, 'nothing of it is kept')
})

test('an upload whose client stays silent ends, and one whose client asks does not', async () => {
  const { portal, ask, create, offsetOf } = await begin({ uploadTimeoutMs: 1500, sweepMs: 50 })
  const [silent, asked] = [await create(), await create()]
  expect((await exchange('HEAD', silent, ask())).headers['upload-limit']).toContain('max-age=1')
  await until(async () => {
    expect(await offsetOf(asked)).toBe(0)
    const { transfers } = await portal.client('alice').transfers({ limit: 9 })
    return transfers.some(({ state }) => state === 'refused')
  }, 'the silent one is refused')
  const gone = JSON.parse((await exchange('GET', silent, ask({ accept: 'application/json' }))).text)
  expect(gone).toMatchObject({ code: 'upload-gone', problem: { code: 'upload-timeout' } })
  expect(await offsetOf(asked)).toBe(0)
})

test('a creation that breaks before its client knows the address leaves nothing', async () => {
  const { portal, ask } = await begin()
  const broken = new Exchange('PUT', '/v1/to/bob/film', ask({ 'upload-complete': '?0', 'content-length': '100' }))
  await broken.write(small)
  broken.cut()
  await until(async () => {
    const { transfers } = await portal.client('alice').transfers({ limit: 9 })
    return transfers[0]?.state === 'refused'
  }, 'it is refused')
  await until(async () => (await storedFiles(portal)).length === 0, 'nothing of it is kept')
})

test('under an idempotency key an upload begins again, and a stored one is not sent twice', async () => {
  const { ask, create, patch, offsetOf, sending, fetched } = await begin()
  const key = newTransferId()
  const first = await create({ 'idempotency-key': key, 'upload-length': `${film.length}` })
  await patch(first, 0, false, film.subarray(0, 9 * MIB))
  const second = await create({ 'idempotency-key': key, 'upload-length': `${film.length}` })
  expect((await exchange('HEAD', first, ask())).status).toBe(404)
  expect(await offsetOf(second)).toBe(0)
  expect((await fetched(await patch(second, 0, true, film))).equals(film)).toBe(true)
  const again = await sending({ 'idempotency-key': key }).end(film)
  expect(again).toMatchObject({ status: 200, interim: [], text: expect.stringContaining(key) })
  const conflict = await exchange('POST', '/v1/to/bob/film', ask({ 'upload-complete': '?0', 'idempotency-key': key }))
  expect(conflict).toMatchObject({ status: 409, text: expect.stringContaining('transfer-conflict') })
})

test('an online receiver has the first part while the upload is interrupted', async () => {
  const { portal, ask, create, patch } = await begin()
  const location = await create({ 'upload-length': `${film.length}` })
  await patch(location, 0, false, film.subarray(0, 9 * MIB))
  const { transfers } = await portal.client('alice').transfers({ limit: 1 })
  const transferId = transfers[0]?.transferId ?? ''
  const { leaseId } = await portal.offerOf(transferId)
  const path = (partNumber: number): string => `/v1/inbox/${transferId}/parts/${partNumber}?lease=${leaseId}`
  const part = await portal.ask('GET', path(1), { token: portal.token('bob') })
  expect(part.body.equals(film.subarray(0, 8 * MIB))).toBe(true)
  // The tail is no part of the file yet.
  expect((await portal.ask('GET', path(2), { token: portal.token('bob') })).status).toBe(404)
  expect((await exchange('HEAD', location, ask())).headers['upload-offset']).toBe(`${9 * MIB}`)
})

test('the answer to the last request is text or JSON lines, as it asks for', async () => {
  const { create, patch } = await begin()
  const location = await create()
  const lines = await patch(location, 0, true, small, { accept: 'application/jsonl' })
  expect(lines.headers['content-type']).toBe('application/jsonl')
  expect(JSON.parse(lines.text.split('\n')[0] ?? '')).toMatchObject({ notification: 'stored' })
})

test('a client that waits to be asked for its content gets 100, too', async () => {
  const { ask, create } = await begin()
  const location = await create()
  const fields = { ...partial, 'upload-offset': '0', 'upload-complete': '?0', expect: '100-continue' }
  const asked = new Exchange('PATCH', location, ask({ ...fields, 'content-length': `${small.length}` }))
  asked.flush()
  await asked.continued
  expect((await asked.end(small)).status).toBe(204)
  const wrong = new Exchange('PATCH', location, ask({ ...fields, 'content-length': `${small.length}` }))
  wrong.flush()
  expect((await wrong.answer).status).toBe(409)
})
