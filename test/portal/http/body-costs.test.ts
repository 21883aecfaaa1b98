/** What a request costs the portal grows with its body and not faster, whatever is in the body. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newInvite, newToken, newTransferId, newWebhookSecret, Problem } from '../../../src/protocol/index.ts'
import { cpuMsOf } from '../../suites/cpu.ts'
import { hostileForms } from '../../suites/hostile.ts'
import { type Ask, announcement, contentDigest, KIB, manifestDigest, partSizeBytes, TestPortal } from '../portal.ts'

/** A small and a large body of JSON, and of content. */
const JSON_KIB = [2, 16] as const
const CONTENT_KIB = [64, 512] as const
const TRIES = 4
const JSON_TIMEOUT = { timeout: 240_000 }
/** How many times more a KiB of a large body may cost than a KiB of a small body. Quadratic cost would give 8. */
const GROWTH_MAX = 3
/** Lower costs of a KiB cannot be told from noise. Refused JSON costs a twentieth of it. */
const CPU_MS_PER_KIB_MIN = 0.1

interface Route {
  /** A true body of it. */
  readonly example: unknown
  readonly path: () => string
  /** What follows the JSON in the body. */
  readonly rest?: string
}

const content = Buffer.alloc(partSizeBytes, 'costs ')
const token = 'A'.repeat(107)
const jws = `${'a'.repeat(40)}.${'b'.repeat(300)}.${'c'.repeat(86)}`
const plain = { ...announcement(content.length) }
const sealed = { ...plain, metadata: { sealed: 's'.repeat(400), keys: { alice: token, bob: token } } }
const completion = { attempt: 1, manifestDigest: manifestDigest(content), manifest: jws }
const aGuest = {
  account: `guest-${'a'.repeat(24)}`,
  tokenId: 'A'.repeat(16),
  tokenHash: '0'.repeat(64),
  keys: { signing: 'A'.repeat(43), encryption: 'A'.repeat(43) },
}
const soon = new Date(Date.now() + 60_000).toISOString()
const problem = { ...new Problem('write-failed').toJSON(), detail: 'the disk is gone' }

let portal: TestPortal
let waiting: { transferId: string; leaseId: string }
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  const unlimited = { accountRequestsPerSecond: 1e6, accountTransfersMax: 1e6, allowsGuests: true }
  portal = await TestPortal.start(unlimited, { onEnd: (end) => ends.push(end) })
  const transferId = await portal.store(content)
  waiting = { transferId, leaseId: (await portal.offerOf(transferId)).leaseId }
})
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

/** The routes whose body is JSON. */
const json: Readonly<Record<string, readonly Route[]>> = {
  'POST /v1/join': [{ path: () => '/v1/join', example: { invite: newInvite(), token: newToken() } }],
  'POST /v1/invite': [{ path: () => '/v1/invite', example: { invite: newInvite() } }],
  'POST /v1/proof': [{ path: () => '/v1/proof', example: { tokenId: aGuest.tokenId, challenge: 'A'.repeat(43) } }],
  'POST /v1/guests': [{ path: () => '/v1/guests', example: { guests: [aGuest], expiresAt: soon } }],
  'POST /v1/requests': [
    {
      path: () => '/v1/requests',
      example: {
        ...{ requestId: newTransferId(), secretHash: aGuest.tokenHash, label: 'A'.repeat(200), expiresAt: soon },
        ...{ filesMax: 1, bytesMax: 1 },
      },
    },
  ],
  'POST /v1/requests/look': [{ path: () => '/v1/requests/look', example: { secret: `glq_${'A'.repeat(43)}` } }],
  'POST /v1/requests/join': [
    {
      path: () => '/v1/requests/join',
      example: { secret: `glq_${'A'.repeat(43)}`, account: aGuest.account, token: newToken(), keys: aGuest.keys },
    },
  ],
  'POST /v1/webhooks': [
    {
      path: () => '/v1/webhooks',
      example: {
        ...{ webhookId: newTransferId(), url: `https://hooks.example/${'x'.repeat(500)}`, isWholePortal: false },
        ...{ on: ['stored', 'delivered', 'failed'], secret: newWebhookSecret() },
      },
    },
  ],
  'POST /v1/webhooks/{webhookId}/test': [
    { path: () => `/v1/webhooks/${newTransferId()}/test`, example: { testId: newTransferId() } },
  ],
  'PUT /v1/account/keys': [
    { path: () => '/v1/account/keys', example: { signing: 'A'.repeat(43), encryption: 'A'.repeat(43) } },
  ],
  'PUT /v1/transfers/{transferId}': [
    { path: () => `/v1/transfers/${newTransferId()}`, example: plain },
    { path: () => `/v1/transfers/${newTransferId()}`, example: sealed },
  ],
  'PUT /v1/transfers/{transferId}/whole': [
    {
      path: () => `/v1/transfers/${newTransferId()}/whole`,
      example: { ...sealed, manifestDigest: manifestDigest(content), manifest: jws },
      rest: '\ncontent',
    },
  ],
  'POST /v1/transfers/batch': [
    {
      path: () => '/v1/transfers/batch',
      example: {
        transferId: newTransferId(),
        ...sealed,
        sizeBytes: 7,
        manifestDigest: manifestDigest(content),
        manifest: jws,
      },
      rest: '\ncontent',
    },
  ],
  'POST /v1/inbox/dispositions': [
    {
      path: () => '/v1/inbox/dispositions',
      example: {
        dispositions: [
          {
            transferId: newTransferId(),
            answer: { leaseId: 'l'.repeat(24), disposition: 'resend', problem, wanted: [[1, 1]] },
          },
        ],
      },
    },
  ],
  'POST /v1/transfers/{transferId}/complete': [
    { path: () => `/v1/transfers/${waiting.transferId}/complete`, example: completion },
  ],
  'POST /v1/inbox/{transferId}/disposition': [
    {
      path: () => `/v1/inbox/${waiting.transferId}/disposition`,
      example: {
        leaseId: 'l'.repeat(24),
        disposition: 'received',
        manifestDigest: manifestDigest(content),
        receipt: jws,
      },
    },
    {
      path: () => `/v1/inbox/${waiting.transferId}/disposition`,
      example: { leaseId: 'l'.repeat(24), disposition: 'resend', problem, wanted: [[1, 1]] },
    },
  ],
}

/** Those whose body is the content of a file. */
const raw: Readonly<Record<string, (body: Buffer) => Promise<Ask & { method: string; path: string }>>> = {
  'PUT /v1/transfers/{transferId}/parts/{partNumber}': async (body) => {
    const partBytes = { sizeBytes: body.length, partSizeBytes: Math.max(body.length, partSizeBytes) }
    const transferId = await portal.announce(body, partBytes)
    const path = `/v1/transfers/${transferId}/parts/1`
    return { method: 'PUT', path, body, headers: { 'content-digest': contentDigest(body) } }
  },
  'PUT /v1/to/{receivers}/{name}': async (body) => ({
    method: 'PUT',
    path: '/v1/to/bob/plan.pdf?',
    body,
    headers: now,
  }),
  'PATCH /v1/uploads/{secret}': async (body) => {
    const created = { token: portal.token('alice'), headers: { 'upload-complete': '?0' } }
    const { headers } = await portal.ask('POST', '/v1/to/bob/plan.pdf', created)
    const append = { 'content-type': 'application/partial-upload', 'upload-offset': '0', 'upload-complete': '?1' }
    return { method: 'PATCH', path: headers.location ?? '', body, headers: { ...now, ...append } }
  },
  'POST /v1/to/{receivers}/{name}': async (body) => ({
    method: 'POST',
    path: '/v1/to/bob/plan.pdf',
    body,
    headers: now,
  }),
  'POST /v1/tus': async (body) => ({ method: 'POST', path: '/v1/tus', body, headers: tusFields(body) }),
  'PATCH /v1/tus/{secret}': async (body) => {
    const { 'content-type': _, ...headers } = tusFields(body)
    const created = await portal.ask('POST', '/v1/tus', { token: portal.token('alice'), headers })
    const path = `/v1/${created.headers.location}`
    return { method: 'PATCH', path, body, headers: { ...tusFields(body), 'upload-offset': '0' } }
  },
}
const now = { prefer: 'wait=0' }
const tusFields = (body: Buffer) => ({
  'tus-resumable': '1.0.0',
  'content-type': 'application/offset+octet-stream',
  'upload-length': String(body.length),
  'upload-metadata': `filename ${btoa('plan.pdf')},to ${btoa('bob')}`,
})

test('every route that takes a body is measured here', async () => {
  const { body } = await portal.ask('GET', '/openapi.json')
  const { paths } = JSON.parse(body.toString()) as { paths: Record<string, Record<string, unknown>> }
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => ['put', 'post', 'patch'].includes(method))
      .map((method) => `${method.toUpperCase()} ${path}`),
  )
  expect(routes.sort()).toEqual([...Object.keys(json), ...Object.keys(raw)].sort())
})

/**
 * Fails unless a KiB of a large body costs about what one of a small body does.
 *
 * @param costOf what a body of so many KiB costs, in milliseconds of CPU beyond that of an empty one
 */
async function expectLinear(
  what: string,
  costOf: (kib: number) => Promise<number>,
  [smallKib, largeKib]: readonly [number, number],
): Promise<void> {
  let [small, large] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  const isLinear = (): boolean => large < GROWTH_MAX * Math.max(small, CPU_MS_PER_KIB_MIN)
  // Collecting garbage falls upon some of the tries, so the least of several counts.
  for (let tries = 0; tries < TRIES && !isLinear(); tries++) {
    small = Math.min(small, (await costOf(smallKib)) / smallKib)
    large = Math.min(large, (await costOf(largeKib)) / largeKib)
  }
  expect(isLinear(), `${what}: ${large} CPU ms a KiB, of a small one ${small}`).toBe(true)
}

test.each(Object.keys(json))('%s: hostile JSON costs no more a KiB when it is longer', JSON_TIMEOUT, async (route) => {
  const who = route.includes('inbox') ? 'bob' : 'alice'
  const [method = ''] = route.split(' ')
  for (const { example, path, rest = '' } of json[route] ?? []) {
    const costOf = (text: string): Promise<number> =>
      cpuMsOf(async () => {
        const headers = { 'content-type': rest === '' ? 'application/json' : 'application/octet-stream' }
        const { status } = await portal.ask(method, path(), { token: portal.token(who), headers, body: text + rest })
        expect(status, text.slice(0, 100)).toBeLessThan(500)
      })
    await costOf('{}')
    const aloneMs = await costOf('{}')
    for (const { what, text } of hostileForms(example)) {
      const beyond = async (kib: number): Promise<number> => (await costOf(text(kib * KIB))) - aloneMs
      await expectLinear(`${route}, ${what}`, beyond, JSON_KIB)
    }
  }
})

test.each(Object.keys(raw))('%s: content costs no more a KiB when there is more of it', async (route) => {
  const costOf = async (kib: number): Promise<number> => {
    const content = Buffer.alloc(kib * KIB, 'content ')
    const { method, path, ...ask } = (await raw[route]?.(content)) ?? { method: '', path: '' }
    return cpuMsOf(async () => {
      const { status } = await portal.ask(method, path, { token: portal.token('alice'), ...ask })
      expect(status).toBeLessThan(300)
    })
  }
  await costOf(1)
  const aloneMs = await costOf(1)
  await expectLinear(route, async (kib) => (await costOf(kib)) - aloneMs, CONTENT_KIB)
})

test('strangers send no more than an invite needs', async () => {
  const body = { invite: newInvite(), token: newToken(), filler: 'a'.repeat(4 * KIB) }
  for (const path of ['/v1/join', '/v1/invite', '/v1/proof'])
    expect((await portal.ask('POST', path, { body })).status).toBe(413)
})

test('the line before the content of a small file is as bounded as other JSON', async () => {
  const path = `/v1/transfers/${newTransferId()}/whole`
  const line = (length: number): string => `{"a":"${'a'.repeat(length - 8)}"}\n`
  const ask = (body: string) => portal.ask('PUT', path, { token: portal.token('alice'), body })
  expect((await ask(line(64 * KIB))).status).toBe(400)
  expect((await ask(line(64 * KIB + 1))).status).toBe(413)
})

test('what is wrong is named in a request as long as an honest one, and not looked for in a longer one', async () => {
  const detailOf = async (to: readonly string[]): Promise<string> => {
    const body = { ...plain, to }
    const answer = await portal.ask('PUT', `/v1/transfers/${newTransferId()}`, { token: portal.token('alice'), body })
    expect(answer.status).toBe(400)
    return JSON.parse(answer.body.toString()).detail
  }
  expect(await detailOf(Array.from({ length: 33 }, (_, index) => `bob-${index}`))).toMatch(/^body\/to /)
  expect(await detailOf(Array.from({ length: 1000 }, (_, index) => `bob-${index}`))).toBe(
    'body is not of the documented form',
  )
})
