/**
 * tus 1.0.0, request by request: what its document requires, and what the tests of its public servers check (tusd, tus-node-server,
 * lua-tus-server), in other words.
 */
import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { isTransferId } from '../../../src/protocol/index.ts'
import { type Answer, type Ask, KIB, TestPortal } from '../portal.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const METADATA = `filename ${base64('plan.pdf')},filetype ${base64('application/pdf')},to ${base64('bob')}`
const SECRET = 'A'.repeat(43)

class TusClient {
  readonly portal: TestPortal
  readonly account: string

  constructor(portal: TestPortal, account = 'alice') {
    this.portal = portal
    this.account = account
  }

  ask(method: string, path: string, headers: Record<string, string> = {}, body?: Ask['body']): Promise<Answer> {
    const fields = { 'tus-resumable': '1.0.0', ...headers }
    return this.portal.ask(method, path, { token: this.portal.token(this.account), headers: fields, body })
  }

  create(headers: Record<string, string>, body?: Buffer): Promise<Answer> {
    return this.ask('POST', '/v1/tus', { 'upload-metadata': METADATA, ...headers }, body)
  }

  /** Creates an upload. @returns its path */
  async created(headers: Record<string, string>, body?: Buffer): Promise<string> {
    const answer = await this.create(headers, body)
    expect(answer.status, answer.body.toString()).toBe(201)
    return pathOf(answer)
  }

  patch(path: string, offset: number, body: Buffer, headers: Record<string, string> = {}): Promise<Answer> {
    const fields = { 'content-type': 'application/offset+octet-stream', 'upload-offset': String(offset), ...headers }
    return this.ask('PATCH', path, fields, body)
  }

  head(path: string): Promise<Answer> {
    return this.ask('HEAD', path)
  }

  async offsetOf(path: string): Promise<number> {
    return Number((await this.head(path)).headers['upload-offset'])
  }
}

/** The path of the upload that an answer names, relative to where it was created. */
function pathOf({ headers }: Answer): string {
  return new URL(headers.location ?? '', 'http://portal/v1/tus').pathname
}

const codeOf = ({ body }: Answer): string => JSON.parse(body.toString()).code

async function scene(settings: Parameters<typeof TestPortal.start>[0] = {}) {
  const portal = await TestPortal.start(settings)
  return { portal, tus: new TusClient(portal) }
}

test('OPTIONS says what the portal offers, whatever version the client names, and needs no token', async () => {
  const { portal } = await scene({ transferSizeBytesMax: 1_000_000 })
  for (const headers of [{}, { 'tus-resumable': '0.2.2' }] as Record<string, string>[]) {
    const { status, headers: told, body } = await portal.ask('OPTIONS', '/v1/tus', { headers })
    expect(status).toBe(204)
    expect(body.length).toBe(0)
    expect(told).toMatchObject({
      'tus-resumable': '1.0.0',
      'tus-version': '1.0.0',
      'tus-max-size': '1000000',
      'tus-extension': 'creation,creation-defer-length,creation-with-upload,expiration,checksum,termination',
      'tus-checksum-algorithm': 'sha256,sha1',
    })
  }
})

test.each([undefined, '0.2.2', '2.0.0'])('version %s is answered 412, and nothing happens', async (version) => {
  const { portal } = await scene()
  const fields = { 'upload-length': '5', 'upload-metadata': METADATA }
  const headers = version === undefined ? fields : { ...fields, 'tus-resumable': version }
  for (const [method, path] of [
    ['POST', '/v1/tus'],
    ['HEAD', `/v1/tus/${SECRET}`],
    ['PATCH', `/v1/tus/${SECRET}`],
    ['DELETE', `/v1/tus/${SECRET}`],
  ] as const) {
    const answer = await portal.ask(method, path, { token: portal.token('alice'), headers })
    expect(answer.status, method).toBe(412)
    expect(answer.headers).toMatchObject({ 'tus-version': '1.0.0', 'tus-resumable': '1.0.0' })
  }
  expect((await portal.client('alice').transfers()).transfers).toEqual([])
})

test('a refusal has the version, too, also where no token came', async () => {
  const { portal } = await scene()
  const answer = await portal.ask('POST', '/v1/tus', { headers: { 'tus-resumable': '1.0.0' } })
  expect(answer).toMatchObject({ status: 401, headers: { 'tus-resumable': '1.0.0' } })
})

describe('a creation', () => {
  test('has an address, an end of its time and a transfer, and begins at offset 0', async () => {
    const { portal, tus } = await scene()
    const answer = await tus.create({ 'upload-length': '100' })
    expect(answer.status).toBe(201)
    expect(pathOf(answer)).toMatch(/^\/v1\/tus\/[A-Za-z0-9_-]{43}$/)
    expect(answer.headers['tus-resumable']).toBe('1.0.0')
    const expiresAtMs = Date.parse(answer.headers['upload-expires'] ?? '')
    expect(answer.headers['upload-expires']).toBe(new Date(expiresAtMs).toUTCString())
    expect(expiresAtMs).toBeGreaterThan(Date.now())
    const transferId = answer.headers['golooader-transfer'] ?? ''
    expect(isTransferId(transferId)).toBe(true)
    expect(await portal.client('alice').transfer(transferId)).toMatchObject({ state: 'receiving', to: ['bob'] })

    const { status, headers } = await tus.head(pathOf(answer))
    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'upload-offset': '0',
      'upload-length': '100',
      'upload-metadata': METADATA,
      'cache-control': 'no-store',
      'tus-resumable': '1.0.0',
    })
    expect(headers['upload-defer-length']).toBe(undefined)
    expect(headers['golooader-notification']).toBe(undefined)
  })

  test('without a length says so until it is known', async () => {
    const { tus } = await scene()
    const path = await tus.created({ 'upload-defer-length': '1' })
    const before = (await tus.head(path)).headers
    expect(before).toMatchObject({ 'upload-defer-length': '1', 'upload-offset': '0' })
    expect(before['upload-length']).toBe(undefined)
    expect((await tus.patch(path, 0, Buffer.from('hello'))).status).toBe(204)
    expect((await tus.patch(path, 5, Buffer.from(' w'), { 'upload-length': '11' })).headers['upload-offset']).toBe('7')
    const after = (await tus.head(path)).headers
    expect(after).toMatchObject({ 'upload-length': '11', 'upload-offset': '7' })
    expect(after['upload-defer-length']).toBe(undefined)
    expect((await tus.patch(path, 7, Buffer.from('orld'))).headers['golooader-notification']).toBe('stored')
  })

  test('of an empty file is complete at once', async () => {
    const { portal, tus } = await scene()
    const { status, headers } = await tus.create({ 'upload-length': '0' })
    expect(status).toBe(201)
    expect(headers['golooader-notification']).toBe('stored')
    const { transferId } = await portal.offerOf(headers['golooader-transfer'] ?? '')
    expect(transferId).toBe(headers['golooader-transfer'])
  })

  test('may bring the first bytes, or all of them', async () => {
    const { tus } = await scene()
    const type = { 'content-type': 'application/offset+octet-stream' }
    const some = await tus.create({ 'upload-length': '11', ...type }, Buffer.from('hello'))
    expect(some).toMatchObject({ status: 201, headers: { 'upload-offset': '5' } })
    expect(await tus.offsetOf(pathOf(some))).toBe(5)
    const all = await tus.create({ 'upload-length': '5', ...type }, Buffer.from('hello'))
    expect(all).toMatchObject({ status: 201, headers: { 'upload-offset': '5', 'golooader-notification': 'stored' } })
  })

  test('ignores a body of another media type', async () => {
    const { tus } = await scene()
    const type = { 'content-type': 'application/octet-stream' }
    const answer = await tus.create({ 'upload-length': '11', ...type }, Buffer.from('hello'))
    expect(answer).toMatchObject({ status: 201, headers: { 'upload-offset': '0' } })
    expect(await tus.offsetOf(pathOf(answer))).toBe(0)
  })

  test.each([
    [400, 'request-invalid', {}],
    [400, 'request-invalid', { 'upload-length': '5', 'upload-defer-length': '1' }],
    [400, 'request-invalid', { 'upload-length': '-5' }],
    [400, 'request-invalid', { 'upload-defer-length': '2' }],
    [400, 'request-invalid', { 'upload-length': '5', 'upload-concat': 'partial' }],
    [400, 'request-invalid', { 'upload-length': '5', 'upload-metadata': 'filename' }],
    [400, 'request-invalid', { 'upload-length': '5', 'upload-metadata': `to ${base64('bob')},filename !` }],
    [400, 'request-invalid', { 'upload-length': '5', 'upload-metadata': `to ${base64('Bob!')},filename YQ==` }],
    [400, 'request-invalid', { 'upload-length': '5', 'upload-metadata': `to ${base64('bob,bob')},filename YQ==` }],
    [404, 'receiver-unknown', { 'upload-length': '5', 'upload-metadata': `to ${base64('dave')},filename YQ==` }],
    [413, 'transfer-too-large', { 'upload-length': '1000001' }],
  ])('is refused with %i %s: %j', async (status, code, headers) => {
    const { tus } = await scene({ transferSizeBytesMax: 1_000_000 })
    const answer = await tus.create(headers as Record<string, string>)
    expect([answer.status, codeOf(answer)]).toEqual([status, code])
    expect(answer.headers['tus-resumable']).toBe('1.0.0')
  })

  test('with more bytes than its length is refused', async () => {
    const { tus } = await scene()
    const type = { 'content-type': 'application/offset+octet-stream' }
    const answer = await tus.create({ 'upload-length': '4', ...type }, Buffer.from('hello'))
    expect(answer.status).toBe(413)
  })
})

describe('a PATCH', () => {
  test('moves the offset by its bytes, and the last one has the first notification', async () => {
    const { portal, tus } = await scene()
    const content = randomBytes(200 * KIB)
    const path = await tus.created({ 'upload-length': String(content.length) })
    const first = await tus.patch(path, 0, content.subarray(0, 70 * KIB))
    expect(first).toMatchObject({ status: 204, headers: { 'upload-offset': String(70 * KIB) } })
    expect(Date.parse(first.headers['upload-expires'] ?? '')).toBeGreaterThan(Date.now())
    expect(first.headers['golooader-notification']).toBe(undefined)
    const last = await tus.patch(path, 70 * KIB, content.subarray(70 * KIB))
    expect(last).toMatchObject({
      status: 204,
      headers: { 'upload-offset': String(content.length), 'golooader-notification': 'stored' },
    })
    const transferId = last.headers['golooader-transfer'] ?? ''
    expect(await portal.offerOf(transferId)).toMatchObject({ sizeBytes: content.length, from: 'alice' })

    // A client that lost that answer asks again.
    const { headers } = await tus.head(path)
    expect(headers).toMatchObject({
      'upload-offset': String(content.length),
      'golooader-notification': 'stored',
      'golooader-transfer': transferId,
    })
    const again = await tus.patch(path, content.length, Buffer.alloc(0))
    expect(again).toMatchObject({ status: 204, headers: { 'golooader-notification': 'stored' } })
    const { events } = await portal.client('alice').events()
    expect(events.map(({ notification }) => notification)).toEqual(['stored'])
  })

  test('at another offset is answered 409, and changes nothing', async () => {
    const { tus } = await scene()
    const path = await tus.created({ 'upload-length': '11' })
    await tus.patch(path, 0, Buffer.from('hello'))
    for (const offset of [0, 4, 6, 11, 12]) {
      const answer = await tus.patch(path, offset, Buffer.from('xyz'))
      expect([answer.status, codeOf(answer)]).toEqual([409, 'mismatching-upload-offset'])
    }
    expect(await tus.offsetOf(path)).toBe(5)
  })

  test.each([
    [415, 'media-type-unsupported', { 'content-type': 'application/octet-stream' }],
    [400, 'request-invalid', { 'upload-offset': '-1' }],
    [400, 'request-invalid', { 'upload-offset': '' }],
    [400, 'request-invalid', { 'upload-length': 'x' }],
    [400, 'request-invalid', { 'upload-checksum': 'md5 XrY7u+Ae7tCTyyK7j1rNww==' }],
  ])('is refused with %i %s: %j', async (status, code, headers) => {
    const { tus } = await scene()
    const path = await tus.created({ 'upload-length': '11' })
    const answer = await tus.patch(path, 0, Buffer.from('hello'), headers as Record<string, string>)
    expect([answer.status, codeOf(answer)]).toEqual([status, code])
    expect(await tus.offsetOf(path)).toBe(0)
  })

  test('with more bytes than the length is refused, and they do not count', async () => {
    const { tus } = await scene()
    const path = await tus.created({ 'upload-length': '7' })
    expect((await tus.patch(path, 0, Buffer.from('hello'))).status).toBe(204)
    expect((await tus.patch(path, 5, Buffer.from('world'))).status).toBe(413)
    expect((await tus.head(path)).headers['golooader-notification']).toBe(undefined)
  })

  test('does not change a length, nor set one below the offset', async () => {
    const { tus } = await scene()
    const known = await tus.created({ 'upload-length': '11' })
    const other = await tus.patch(known, 0, Buffer.from('hello'), { 'upload-length': '12' })
    expect(other.status).toBe(400)
    const open = await tus.created({ 'upload-defer-length': '1' })
    await tus.patch(open, 0, Buffer.from('hello'))
    expect((await tus.patch(open, 5, Buffer.alloc(0), { 'upload-length': '4' })).status).toBe(400)
    expect((await tus.patch(open, 5, Buffer.alloc(0), { 'upload-length': '5' })).headers).toMatchObject({
      'golooader-notification': 'stored',
    })
  })

  test('does not set a length that the portal does not take', async () => {
    const { tus } = await scene({ transferSizeBytesMax: 1_000_000 })
    const path = await tus.created({ 'upload-defer-length': '1' })
    const { status } = await tus.patch(path, 0, Buffer.from('hello'), { 'upload-length': '9007199254740991' })
    expect(status).toBe(413)
    expect((await tus.head(path)).headers).toMatchObject({ 'upload-defer-length': '1', 'upload-offset': '0' })
    expect((await tus.patch(path, 0, Buffer.from('hello'), { 'upload-length': '5' })).status).toBe(204)
  })

  test('to an unknown upload, or to one of another account, is answered 404', async () => {
    const { portal, tus } = await scene()
    const path = await tus.created({ 'upload-length': '5' })
    const carol = new TusClient(portal, 'carol')
    for (const [client, target] of [
      [tus, `/v1/tus/${SECRET}`],
      [carol, path],
    ] as const) {
      for (const answer of [
        await client.patch(target, 0, Buffer.from('hello')),
        await client.head(target),
        await client.ask('DELETE', target),
      ]) {
        expect(answer.status).toBe(404)
        expect(answer.headers['upload-offset']).toBe(undefined)
      }
    }
    expect(await tus.offsetOf(path)).toBe(0)
  })
})

describe('a checksum', () => {
  const checksum = (algorithm: string, bytes: Buffer): Record<string, string> => ({
    'upload-checksum': `${algorithm} ${createHash(algorithm).update(bytes).digest('base64')}`,
  })

  test.each(['sha1', 'sha256'])('by %s that matches lets the bytes count, and no other does', async (algorithm) => {
    const { tus } = await scene()
    const content = randomBytes(150 * KIB)
    const [first, second] = [content.subarray(0, 100 * KIB), content.subarray(100 * KIB)]
    const path = await tus.created({ 'upload-length': String(content.length) })
    expect((await tus.patch(path, 0, first, checksum(algorithm, first))).status).toBe(204)
    const damaged = Buffer.from(second)
    damaged[0] = (damaged[0] ?? 0) ^ 1
    const refused = await tus.patch(path, first.length, damaged, checksum(algorithm, second))
    expect([refused.status, codeOf(refused)]).toEqual([460, 'checksum-mismatching'])
    expect(await tus.offsetOf(path)).toBe(first.length)
    const last = await tus.patch(path, first.length, second, checksum(algorithm, second))
    expect(last.headers['golooader-notification']).toBe('stored')
  })

  test('of a creation is verified, too', async () => {
    const { portal, tus } = await scene()
    const type = { 'content-type': 'application/offset+octet-stream' }
    const wrong = checksum('sha1', Buffer.from('other'))
    const answer = await tus.create({ 'upload-length': '5', ...type, ...wrong }, Buffer.from('hello'))
    expect([answer.status, codeOf(answer)]).toEqual([460, 'checksum-mismatching'])
    // No client knows its address, so nothing of it stays.
    const { transfers } = await portal.client('alice').transfers()
    expect(transfers.map(({ state }) => state)).toEqual(['refused'])
  })
})

describe('DELETE', () => {
  test('ends an upload: its transfer is cancelled, and its address is gone', async () => {
    const { portal, tus } = await scene()
    const answer = await tus.create({ 'upload-length': '11' })
    const path = pathOf(answer)
    await tus.patch(path, 0, Buffer.from('hello'))
    const { status, headers } = await tus.ask('DELETE', path)
    expect(status).toBe(204)
    expect(headers['tus-resumable']).toBe('1.0.0')
    for (const method of ['HEAD', 'PATCH', 'DELETE']) {
      const fields = { 'content-type': 'application/offset+octet-stream', 'upload-offset': '5' }
      expect([404, 410], method).toContain((await tus.ask(method, path, fields)).status)
    }
    const transferId = answer.headers['golooader-transfer'] ?? ''
    expect((await portal.client('alice').transfer(transferId)).state).toBe('cancelled')
  })
})

describe('X-HTTP-Method-Override', () => {
  test.each(['PATCH', 'patch'])('%s in a POST is a PATCH', async (override) => {
    const { tus } = await scene()
    const path = await tus.created({ 'upload-length': '5' })
    const fields = { 'content-type': 'application/offset+octet-stream', 'upload-offset': '0' }
    const answer = await tus.ask('POST', path, { 'x-http-method-override': override, ...fields }, Buffer.from('hello'))
    expect(answer).toMatchObject({ status: 204, headers: { 'golooader-notification': 'stored' } })
  })

  test('DELETE and HEAD in a POST are a DELETE and a HEAD', async () => {
    const { tus } = await scene()
    const path = await tus.created({ 'upload-length': '5' })
    const head = await tus.ask('POST', path, { 'x-http-method-override': 'HEAD' })
    expect(head).toMatchObject({ status: 200, headers: { 'upload-offset': '0' } })
    expect((await tus.ask('POST', path, { 'x-http-method-override': 'DELETE' })).status).toBe(204)
  })

  test('changes no other request', async () => {
    const { portal } = await scene()
    const headers = { 'x-http-method-override': 'DELETE' }
    const { status } = await portal.ask('GET', '/v1/account', { token: portal.token('alice'), headers })
    expect(status).toBe(200)
  })

  test('an unknown method is refused', async () => {
    const { tus } = await scene()
    const path = await tus.created({ 'upload-length': '5' })
    for (const override of ['TRACE', 'constructor', '']) {
      const { status } = await tus.ask('POST', path, { 'x-http-method-override': override })
      expect(status, override).toBe(404)
    }
  })
})

test('a later request ends an earlier one that still runs, and the offset that it is told is accepted', async () => {
  const { portal, tus } = await scene()
  const content = randomBytes(300 * KIB)
  const path = await tus.created({ 'upload-length': String(content.length) })
  const headers = {
    'tus-resumable': '1.0.0',
    'content-type': 'application/offset+octet-stream',
    'upload-offset': '0',
    'content-length': String(content.length),
  }
  const silent = await portal.connect()
  silent.write(portal.request('PATCH', path, { token: portal.token('alice'), headers }))
  silent.write(content.subarray(0, 100 * KIB))
  // It has not ended: the rest of its bytes never comes.
  let offset = 0
  while (offset === 0) offset = await tus.offsetOf(path)
  expect(offset).toBeLessThanOrEqual(100 * KIB)
  const last = await tus.patch(path, offset, content.subarray(offset))
  expect(last).toMatchObject({ status: 204, headers: { 'golooader-notification': 'stored' } })
  silent.destroy()
})

test('a HEAD tells an offset that is the length only once the file is stored', async () => {
  const { portal, tus } = await scene()
  const content = randomBytes(100 * KIB)
  const path = await tus.created({ 'upload-length': String(content.length) })
  const headers = {
    'tus-resumable': '1.0.0',
    'content-type': 'application/offset+octet-stream',
    'upload-offset': '0',
    'transfer-encoding': 'chunked',
  }
  // All bytes come, and the end of the request does not.
  const cut = await portal.connect()
  cut.write(portal.request('PATCH', path, { token: portal.token('alice'), headers }))
  cut.write(Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from('\r\n')]))
  let told = (await tus.head(path)).headers
  while (told['upload-offset'] === '0') told = (await tus.head(path)).headers
  cut.destroy()
  // A client sends no further request then.
  expect(told).toMatchObject({ 'upload-offset': String(content.length), 'golooader-notification': 'stored' })
  expect(await portal.offerOf(told['golooader-transfer'] ?? '')).toMatchObject({ sizeBytes: content.length })
})
