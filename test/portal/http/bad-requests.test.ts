/** The portal refuses every malformed request with a status, a code and a reason, and changes nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import {
  type Ask,
  announcement,
  contentDigest,
  KIB,
  manifestDigest,
  parseAnswer,
  partSizeBytes,
  partsOf,
  readToEnd,
  refusalOf,
  sha256,
  TestPortal,
} from '../portal.ts'

const content = Buffer.alloc(2 * partSizeBytes + 1000, 'a file of three parts, the last one short. ')
const [first = Buffer.alloc(0), , last = Buffer.alloc(0)] = partsOf(content)

let portal: TestPortal
let alice: string
/** The id of a transfer that accepts parts. */
let open: string
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  portal = await TestPortal.start({ transferSizeBytesMax: 1e9 }, { onEnd: (end) => ends.push(end) })
  alice = portal.token('alice')
  open = await portal.announce(content)
})
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

describe('a part', () => {
  const digest = contentDigest(first)
  const goodHeaders = { 'content-digest': digest }
  const wrongLength = String(first.length + 1)
  const cases: [what: string, refusal: string, part: Ask & { readonly number?: string }][] = [
    ['of number 0', '400 request-invalid', { number: '0' }],
    ['of a negative number', '400 request-invalid', { number: '-1' }],
    ['of a number that is none', '400 request-invalid', { number: 'one' }],
    ['of a number in scientific notation', '400 request-invalid', { number: '1e99' }],
    ['of a number with a leading zero', '400 request-invalid', { number: '01' }],
    ['of a fractional number', '400 request-invalid', { number: '1.5' }],
    ['of the number after the last', '404 part-unknown', { number: '4' }],
    ['of a huge number', '404 part-unknown', { number: '999999' }],
    ['of a number with too many digits', '400 request-invalid', { number: '9'.repeat(50) }],
    ['without a digest', '400 digest-required', { headers: {} }],
    ['with an empty digest', '400 digest-unsupported-algorithm', { headers: { 'content-digest': '' } }],
    ['with the digest of another algorithm', '400 digest-unsupported-algorithm', other('sha-512=:aGVsbG8=:')],
    ['with a digest in hex', '400 digest-invalid-value', other(`sha-256=${sha256(first)}`)],
    ['with a digest that is too short', '400 digest-invalid-value', other('sha-256=:aGVsbG8=:')],
    ['with a digest that is not base64', '400 digest-invalid-value', other(`sha-256=:${'*'.repeat(44)}:`)],
    ['with a digest without its colons', '400 digest-invalid-value', other(digest.replaceAll(':', ''))],
    ['with a digest whose algorithm is in capitals', '400 digest-unsupported-algorithm', other(digest.toUpperCase())],
    ['with a digest of other content', '400 digest-mismatching-value', other(contentDigest(last))],
    ['that is longer than its transfer says', '400 part-length-wrong', { body: Buffer.concat([first, last]) }],
    ['that is shorter than its transfer says', '400 part-length-wrong', { body: last }],
    ['that is empty', '400 part-length-wrong', { body: '' }],
    ['of the length of another part', '400 part-length-wrong', { number: '3' }],
    [
      'of unknown length',
      '411 length-required',
      { body: undefined, headers: { ...goodHeaders, 'transfer-encoding': 'chunked' } },
    ],
    ['without any body', '411 length-required', { body: undefined }],
    ['of a length that is too large by one', '400 part-length-wrong', lengthOf(wrongLength)],
    ['of a length in hex', '400 request-invalid', lengthOf('0x10000')],
    ['of a negative length', '400 request-invalid', lengthOf('-65536')],
    ['of a length with a sign', '400 request-invalid', lengthOf('+65536')],
    ['of a length that overflows', '400 request-invalid', lengthOf('9'.repeat(40))],
    ['of two lengths in one field', '400 request-invalid', lengthOf('65536, 65536')],
    [
      'of a length and of none',
      '400 request-invalid',
      { headers: { ...goodHeaders, 'content-length': '65536', 'transfer-encoding': 'chunked' } },
    ],
  ]

  function other(field: string): Ask {
    return { headers: { 'content-digest': field } }
  }
  function lengthOf(text: string): Ask {
    return { headers: { ...goodHeaders, 'content-length': text } }
  }

  test.each(cases)('%s is refused: %s', async (_what, refusal, { number = '1', ...part }) => {
    const ask = { token: alice, headers: goodHeaders, body: first, ...part }
    const answer = await portal.ask('PUT', `/v1/transfers/${open}/parts/${number}`, ask)
    expect(refusalOf(answer)).toBe(refusal)
    const { parts } = await portal.client('alice').transfer(open)
    expect(parts, 'nothing of it is kept').toEqual([])
  })

  test('with two different lengths is refused', async () => {
    const head = `PUT /v1/transfers/${open}/parts/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${alice}\r\n`
    const answer = await portal.raw(`${head}Content-Length: 65536\r\nContent-Length: 65537\r\n\r\n`)
    expect(refusalOf(parseAnswer(answer))).toBe('400 request-invalid')
  })

  test('whose connection ends early leaves nothing behind', async () => {
    const bytes = portal.request('PUT', `/v1/transfers/${open}/parts/1`, {
      token: alice,
      headers: goodHeaders,
      body: first,
    })
    const socket = await portal.connect()
    socket.end(bytes.subarray(0, bytes.length - 1))
    expect(refusalOf(parseAnswer(await readToEnd(socket)))).toMatch(/^400 /)
    expect((await portal.client('alice').transfer(open)).parts).toEqual([])
  })

  test('for an unknown transfer is refused', async () => {
    expect(refusalOf(await portal.putPart(newTransferId(), 1, first))).toBe('404 not-found')
  })

  test('with digests of several algorithms is verified by the agreed one, and accepted', async () => {
    const transferId = await portal.announce(content)
    const field = `sha-512=:aGVsbG8=:, ${contentDigest(first)}, md5=:zzz:`
    expect((await portal.putPart(transferId, 1, first, { 'content-digest': field })).status).toBe(204)
    // The portal accepts the same part again, but refuses other content under the same number.
    expect((await portal.putPart(transferId, 1, first)).status).toBe(204)
    const changed = Buffer.from(first).fill('x')
    expect(refusalOf(await portal.putPart(transferId, 1, changed))).toBe('409 part-conflict')
  })

  test('after the end of its transfer is refused', async () => {
    const transferId = await portal.store(content)
    expect(refusalOf(await portal.putPart(transferId, 1, first))).toBe('409 transfer-closed')
  })
})

describe('an announcement', () => {
  const good = announcement(content.length)
  /** A wrapped key: 80 bytes, encoded. */
  const wrapped = 'A'.repeat(107)
  const sealedFor = (keys: Record<string, string>) => ({ ...good, metadata: { sealed: 's'.repeat(80), keys } })
  const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `name-${index}`)
  const cases: [what: string, refusal: string, body: unknown][] = [
    ['that is empty', '400 request-invalid', {}],
    ['that is an array', '400 request-invalid', [good]],
    ['that is a number', '400 request-invalid', '5'],
    ['that is null', '400 request-invalid', 'null'],
    ['that is not JSON', '400 request-invalid', '{"to": ['],
    ['that is nothing', '400 request-invalid', ''],
    [
      'with a member of the prototype',
      '400 request-invalid',
      `{"__proto__": {"a": 1}, ${JSON.stringify(good).slice(1)}`,
    ],
    ['with a member that is not known', '400 request-invalid', { ...good, urgent: true }],
    ['with metadata that is not known', '400 request-invalid', { ...good, metadata: { name: 'a', owner: 'b' } }],
    ['to nobody', '400 request-invalid', { ...good, to: [] }],
    ['to too many', '400 request-invalid', { ...good, to: names(33) }],
    ['to the same receiver twice', '400 request-invalid', { ...good, to: ['bob', 'bob'] }],
    ['sealed for its receivers and not its sender', '400 request-invalid', sealedFor({ bob: wrapped })],
    ['sealed for its sender and not its receivers', '400 request-invalid', sealedFor({ alice: wrapped })],
    ['sealed for others, too', '400 request-invalid', sealedFor({ alice: wrapped, bob: wrapped, carol: wrapped })],
    [
      'sealed for what is no account',
      '400 request-invalid',
      sealedFor({ alice: wrapped, bob: wrapped, 'A B': 'junk' }),
    ],
    ['sealed with a key that is too long', '400 request-invalid', sealedFor({ alice: wrapped, bob: `${wrapped}A` })],
    ['to a text', '400 request-invalid', { ...good, to: 'bob' }],
    ['to a name in capitals', '400 request-invalid', { ...good, to: ['Bob'] }],
    ['to an account that does not exist', '404 receiver-unknown', { ...good, to: ['bob', 'nobody'] }],
    ['of a name that is too long', '400 request-invalid', { ...good, metadata: { name: 'n'.repeat(2000) } }],
    ['of an empty name', '400 request-invalid', { ...good, metadata: { name: '' } }],
    ['without a name', '400 request-invalid', { ...good, metadata: {} }],
    [
      'of a media type that is too long',
      '400 request-invalid',
      { ...good, metadata: { name: 'a', mediaType: 'm'.repeat(200) } },
    ],
    ['of a size in quotes', '400 request-invalid', { ...good, sizeBytes: '100' }],
    ['of a negative size', '400 request-invalid', { ...good, sizeBytes: -1 }],
    ['of a fractional size', '400 request-invalid', { ...good, sizeBytes: 1.5 }],
    [
      'of an infinite size',
      '400 request-invalid',
      JSON.stringify(good).replace(/"sizeBytes":\d+/, '"sizeBytes":1e999'),
    ],
    ['of a size beyond the protocol', '413 transfer-too-large', { ...good, sizeBytes: 2 ** 52 }],
    ['of a size beyond all numbers', '413 transfer-too-large', { ...good, sizeBytes: 1e300 }],
    ['of 512 GiB and a byte', '413 transfer-too-large', { ...good, sizeBytes: 2 ** 39 + 1, partSizeBytes: 2 ** 26 }],
    [
      'of a size beyond this portal',
      '413 transfer-too-large',
      { ...good, sizeBytes: 1e9 + 1, partSizeBytes: 64 * KIB * KIB },
    ],
    ['of parts that are too small', '400 part-size-unsuitable', { ...good, partSizeBytes: 64 * KIB - 1 }],
    ['of parts of nothing', '400 request-invalid', { ...good, partSizeBytes: 0 }],
    ['of parts that are too large', '400 part-size-unsuitable', { ...good, partSizeBytes: 64 * KIB * KIB + 1 }],
    ['of too many parts', '400 part-size-unsuitable', { ...good, sizeBytes: 10_001 * 64 * KIB }],
    [
      'of a digest algorithm that is not known',
      '400 digest-unsupported-algorithm',
      { ...good, digestAlgorithm: 'md5' },
    ],
    ['of a digest algorithm that is no name', '400 request-invalid', { ...good, digestAlgorithm: 'SHA 256' }],
    [
      'of a digest algorithm named like a member of objects',
      '400 digest-unsupported-algorithm',
      { ...good, digestAlgorithm: 'constructor' },
    ],
    ['that is too large', '413 body-too-large', { ...good, metadata: { name: 'n'.repeat(64 * KIB) } }],
    ['that is nested deeply', '400 request-invalid', `${'['.repeat(30_000)}${']'.repeat(30_000)}`],
  ]

  test.each(cases)('%s is refused: %s', async (_what, refusal, body) => {
    const transferId = newTransferId()
    const ask = { token: alice, headers: { 'content-type': 'application/json' }, body }
    const answer = await portal.ask('PUT', `/v1/transfers/${transferId}`, ask)
    expect(refusalOf(answer)).toBe(refusal)
    const afterwards = await portal.ask('GET', `/v1/transfers/${transferId}`, { token: alice })
    expect(refusalOf(afterwards), 'nothing is recorded').toBe('404 not-found')
  })

  test.each([
    ['a UUID of version 4', '9c2f1f70-6c0b-4b6e-8f0a-0c6a7a3f3b11'],
    ['an id in capitals', newTransferId().toUpperCase()],
    ['an id that is too short', newTransferId().slice(1)],
    ['an id with something behind it', `${newTransferId()}0`],
    ['an id with a line break behind it', `${newTransferId()}%0a`],
    ['a path out of the folder', '..%2f..%2fledger.sqlite'],
    ['a NUL', '%00'],
    ['a very long id', 'a'.repeat(4000)],
  ])('under %s is refused', async (_what, id) => {
    for (const [method, path, body] of [
      ['PUT', `/v1/transfers/${id}`, good],
      ['GET', `/v1/transfers/${id}`, undefined],
      ['DELETE', `/v1/transfers/${id}`, undefined],
      ['PUT', `/v1/transfers/${id}/parts/1`, first],
      ['POST', `/v1/transfers/${id}/complete`, { manifestDigest: manifestDigest(content), attempt: 1 }],
      ['GET', `/v1/transfers/${id}/events`, undefined],
      ['GET', `/v1/inbox/${id}?lease=${'l'.repeat(24)}`, undefined],
      ['GET', `/v1/inbox/${id}/parts/1?lease=${'l'.repeat(24)}`, undefined],
    ] as const) {
      expect(refusalOf(await portal.ask(method, path, { token: alice, body })), `${method} ${path}`).toMatch(
        /^(400 request-invalid|404 not-found)$/,
      )
    }
  })

  test('with another media type is refused', async () => {
    for (const type of ['text/plain', 'application/xml', 'application/octet-stream', 'nonsense']) {
      const ask = { token: alice, headers: { 'content-type': type }, body: JSON.stringify(good) }
      expect(refusalOf(await portal.ask('PUT', `/v1/transfers/${newTransferId()}`, ask)), type).toMatch(
        /^415 media-type-unsupported$/,
      )
    }
  })

  test('with a Content-Length that is too small is refused, and the rest is no request', async () => {
    const text = JSON.stringify(good)
    const headers = { 'content-type': 'application/json', 'content-length': String(text.length - 1) }
    const answer = await portal.ask('PUT', `/v1/transfers/${newTransferId()}`, { token: alice, headers, body: text })
    expect(refusalOf(answer)).toBe('400 request-invalid')
  })

  test('that is repeated with other content is refused, and the first one stays', async () => {
    const transferId = await portal.announce(content)
    for (const changed of [
      { ...good, sizeBytes: 1 },
      { ...good, to: ['carol'] },
      { ...good, metadata: { name: 'other.pdf' } },
    ]) {
      const answer = await portal.ask('PUT', `/v1/transfers/${transferId}`, { token: alice, body: changed })
      expect(refusalOf(answer)).toBe('409 transfer-conflict')
    }
    expect((await portal.ask('PUT', `/v1/transfers/${transferId}`, { token: alice, body: good })).status).toBe(200)
    expect(await portal.client('alice').transfer(transferId)).toMatchObject(good)
  })
})

describe('a completion', () => {
  const good = { manifestDigest: manifestDigest(content), attempt: 1 }
  test.each([
    ['without a digest', { attempt: 1 }],
    ['without an attempt', { manifestDigest: good.manifestDigest }],
    ['of a digest in capitals', { ...good, manifestDigest: good.manifestDigest.toUpperCase() }],
    ['of a digest that is none', { ...good, manifestDigest: 'none' }],
    ['of attempt 0', { ...good, attempt: 0 }],
    ['of an attempt that is still to come', { ...good, attempt: 2 }],
    ['of an attempt beyond all numbers', { ...good, attempt: 1e308 }],
    ['with a member that is not known', { ...good, force: true }],
  ])('%s is refused, and the transfer stays open', async (_what, body) => {
    const answer = await portal.ask('POST', `/v1/transfers/${open}/complete`, { token: alice, body })
    expect(refusalOf(answer)).toBe('400 request-invalid')
    expect(await portal.client('alice').transfer(open)).toMatchObject({ state: 'receiving', attempt: 1 })
  })
})

describe('a request of a receiver', () => {
  const lease = 'l'.repeat(24)
  test.each([
    ['/v1/inbox', 'the inbox without an instance'],
    ['/v1/inbox?instance=short', 'the inbox of an instance whose name is too short'],
    ['/v1/inbox?instance=..%2f..%2fetc', 'the inbox of an instance that is a path'],
    ['/v1/inbox?instance=instance-1&window=0', 'a window of nothing'],
    ['/v1/inbox?instance=instance-1&window=-1', 'a window of less than nothing'],
    ['/v1/inbox?instance=instance-1&window=ten', 'a window that is no number'],
    ['/v1/inbox?instance=instance-1&more=1', 'the inbox and something that is not known'],
    ['/v1/inbox?instance=instance-1&instance=instance-2', 'two instances at once'],
    ['/v1/inbox/ID/parts/1', 'a part without a lease'],
    ['/v1/inbox/ID?lease=short', 'an offer with a lease that is too short'],
    [`/v1/inbox/ID?lease=${lease}&held=-1`, 'an offer, holding a negative number of bytes'],
    [`/v1/inbox/ID?lease=${lease}&held=many`, 'an offer, holding no number of bytes'],
    [`/v1/inbox/ID/parts/0?lease=${lease}`, 'part 0'],
    [`/v1/inbox/ID/parts/1e9?lease=${lease}`, 'a part whose number is in scientific notation'],
  ])('%s: %s is refused', async (path) => {
    const answer = await portal.ask('GET', path.replace('ID', open), { token: portal.token('bob') })
    expect(refusalOf(answer)).toBe('400 request-invalid')
  })

  test('with an outdated lease is refused', async () => {
    const transferId = await portal.store(content)
    await portal.offerOf(transferId)
    for (const path of [`/v1/inbox/${transferId}?lease=${lease}`, `/v1/inbox/${transferId}/parts/1?lease=${lease}`]) {
      expect(refusalOf(await portal.ask('GET', path, { token: portal.token('bob') }))).toBe('409 lease-lost')
    }
  })
})

describe('a disposition', () => {
  const problem = { type: 'urn:x', title: 'No', status: 500, code: 'write-failed' }
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`
  const cases: [what: string, refusal: string, body: (leaseId: string) => unknown][] = [
    ['of another word', '400 request-invalid', (leaseId) => ({ leaseId, disposition: 'accepted' })],
    [
      'without a lease',
      '400 request-invalid',
      () => ({ disposition: 'received', manifestDigest: manifestDigest(content) }),
    ],
    ['under another lease', '409 lease-lost', () => ({ leaseId: 'l'.repeat(24), disposition: 'refused', problem })],
    [
      'without the digest of what was received',
      '400 request-invalid',
      (leaseId) => ({ leaseId, disposition: 'received' }),
    ],
    [
      'of other content',
      '409 manifest-mismatching',
      (leaseId) => ({ leaseId, disposition: 'received', manifestDigest: '0'.repeat(64) }),
    ],
    ['that refuses without a problem', '400 request-invalid', (leaseId) => ({ leaseId, disposition: 'refused' })],
    [
      'whose problem has no code',
      '400 request-invalid',
      (leaseId) => ({ leaseId, disposition: 'refused', problem: { ...problem, code: undefined } }),
    ],
    [
      'whose problem has a code that is no code',
      '400 request-invalid',
      (leaseId) => ({ leaseId, disposition: 'refused', problem: { ...problem, code: 'No!' } }),
    ],
    [
      'whose problem has a status that is none',
      '400 request-invalid',
      (leaseId) => ({ leaseId, disposition: 'refused', problem: { ...problem, status: 99 } }),
    ],
    [
      'whose problem is larger than 8 KiB',
      '413 body-too-large',
      (leaseId) => ({ leaseId, disposition: 'refused', problem: { ...problem, trace: 't'.repeat(8 * KIB) } }),
    ],
    [
      'whose problem is larger than 8 KiB in bytes, not in characters',
      '413 body-too-large',
      (leaseId) => ({ leaseId, disposition: 'refused', problem: { ...problem, trace: 'ü'.repeat(5 * KIB) } }),
    ],
    [
      'whose problem is nested deeply',
      '413 body-too-large',
      (leaseId) =>
        `{"leaseId":"${leaseId}","disposition":"refused","problem":{"type":"a","title":"b","status":500,"code":"c","deep":${nested(30_000)}}}`,
    ],
    [
      'that wants what is no range',
      '400 request-invalid',
      (leaseId) => ({ leaseId, disposition: 'resend', problem, wanted: [1] }),
    ],
    [
      'that wants part 0',
      '400 request-invalid',
      (leaseId) => ({ leaseId, disposition: 'resend', problem, wanted: [[0, 1]] }),
    ],
    [
      'with a member that is not known',
      '400 request-invalid',
      (leaseId) => ({ leaseId, disposition: 'received', manifestDigest: manifestDigest(content), by: 'me' }),
    ],
  ]

  test.each(cases)('%s is refused: %s', async (_what, refusal, bodyOf) => {
    const transferId = await portal.store(content)
    const { leaseId } = await portal.offerOf(transferId)
    const ask = { token: portal.token('bob'), headers: { 'content-type': 'application/json' }, body: bodyOf(leaseId) }
    const answer = await portal.ask('POST', `/v1/inbox/${transferId}/disposition`, ask)
    expect(refusalOf(answer)).toBe(refusal)
    // The lease stays valid: the right answer is still accepted.
    const body = { leaseId, disposition: 'received', manifestDigest: manifestDigest(content) }
    expect(await portal.dispose(transferId, body)).toBe('delivered')
  })
})

describe('a request', () => {
  test.each([
    ['to an unknown place', 'GET', '/v1/nothing', '404 not-found'],
    ['by another method to the page', 'POST', '/', '404 not-found'],
    ['by a method that the place does not have', 'POST', '/v1/limits', '404 not-found'],
    ['by a method of another protocol', 'PROPFIND', '/v1/limits', '404 not-found'],
    ['with double slashes', 'GET', '//v1//limits', '404 not-found'],
    ['with a slash at the end', 'GET', '/v1/limits/', '404 not-found'],
    ['in capitals', 'GET', '/V1/LIMITS', '404 not-found'],
    ['to a path out of the folder', 'GET', '/v1/../../etc/passwd', '404 not-found'],
    ['to a path that cannot be decoded', 'GET', '/v1/transfers/%zz', '400 request-invalid'],
    ['to no path at all', 'GET', 'v1/limits', '400 request-invalid'],
    ['by a method that does not exist', 'FETCH', '/v1/limits', '400 request-invalid'],
  ])('%s is refused', async (_what, method, path, refusal) => {
    expect(refusalOf(await portal.ask(method, path, { token: alice }))).toBe(refusal)
  })

  test.each([
    ['that is garbage', '\0\u0001\u0002 garbage \r\n\r\n', '400 request-invalid'],
    ['that is TLS', Buffer.from('160301020001000001fc0303', 'hex'), '400 request-invalid'],
    ['of another version', 'GET / HTTP/3.7\r\n\r\n', '400 request-invalid'],
    ['without a host', 'GET /v1/limits HTTP/1.1\r\nConnection: close\r\n\r\n', '400 request-invalid'],
    ['with a header without a name', 'GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n', '400 request-invalid'],
    [
      'with a folded header',
      'GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\nConnection: close\r\n\r\n',
      '400 request-invalid',
    ],
    [
      'with headers of 17 KiB',
      `GET / HTTP/1.1\r\nHost: a\r\nA: ${'b'.repeat(17 * KIB)}\r\n\r\n`,
      '431 headers-too-large',
    ],
    ['with an address of 17 KiB', `GET /${'b'.repeat(17 * KIB)} HTTP/1.1\r\nHost: a\r\n\r\n`, '431 headers-too-large'],
  ])('%s is refused', async (_what, bytes, refusal) => {
    expect(refusalOf(parseAnswer(await portal.raw(bytes)))).toBe(refusal)
  })

  test('with 100 header lines is refused', async () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`x-${index}`, 'y']))
    expect(refusalOf(await portal.ask('GET', '/v1/limits', { headers: many }))).toBe('431 headers-too-large')
  })

  test('with another expectation than 100-continue is served', async () => {
    const answer = await portal.ask('GET', '/v1/limits', { headers: { expect: 'the-unexpected' } })
    expect(answer.status).toBe(200)
  })

  test('to switch to another protocol is ignored', async () => {
    const answer = await portal.ask('GET', '/v1/limits', {
      headers: { connection: 'upgrade, close', upgrade: 'websocket' },
    })
    expect(answer.status).toBe(200)
  })

  test('that is refused before its body was read still gets the reason', async () => {
    const ask = { headers: { 'content-digest': contentDigest(first) }, body: first }
    const answer = await portal.ask('PUT', `/v1/transfers/${open}/parts/1`, ask)
    expect(refusalOf(answer)).toBe('401 credentials-missing')
  })
})
