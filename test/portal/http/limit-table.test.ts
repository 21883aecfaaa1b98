/** What PROTOCOL.md says of its limits: up to them all is well, and beyond them comes what the table says. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Announcement,
  type NewFileRequest,
  newTransferId,
  newWebhookSecret,
  transferSizeBytesMax,
} from '../../../src/protocol/index.ts'
import { limitRows } from '../../structure/limit-table.ts'
import { type Answer, announcement, manifestDigest, refusalOf, TestPortal } from '../portal.ts'

const KIB = 1024
const MIB = 1024 * KIB
let portal: TestPortal
const ends: (() => Promise<void>)[] = []
beforeAll(async () => {
  portal = await TestPortal.start(
    { transferSizeBytesMax, accountBytesMax: 2 ** 41, storageBytesMax: 2 ** 41 },
    { onEnd: (end) => ends.unshift(end) },
  )
})
afterAll(async () => {
  for (const end of ends) await end()
})

const asAlice = () => portal.token('alice')
const asBob = () => portal.token('bob')

function announce(changes: Partial<Announcement>): Promise<Answer> {
  const body = { ...announcement(1), ...changes }
  return portal.ask('PUT', `/v1/transfers/${newTransferId()}`, { token: asAlice(), body })
}

/** A refusal of an offer that there is not, with a problem like this. */
function dispose(problem: object): Promise<Answer> {
  const whole = { type: 'urn:x', title: 'x', status: 500, code: 'x', ...problem }
  const body = { leaseId: 'a'.repeat(16), disposition: 'refused', problem: whole }
  return portal.ask('POST', `/v1/inbox/${newTransferId()}/disposition`, { token: asBob(), body })
}

/** The head of an answer that does not end, or all of one that does. */
async function headOf(path: string, token: string): Promise<Answer> {
  const gone = new AbortController()
  const answer = await fetch(`${portal.url}${path}`, {
    headers: { authorization: `Bearer ${token}` },
    signal: gone.signal,
  })
  const { status, headers } = answer
  const body = status === 200 ? Buffer.alloc(0) : Buffer.from(await answer.arrayBuffer())
  gone.abort()
  return { status, headers: Object.fromEntries(headers), body }
}

function request(changes: Partial<NewFileRequest>): Promise<Answer> {
  const limits = { filesMax: 1, bytesMax: 1 }
  const expiresAt = new Date(Date.now() + 60_000).toISOString()
  const body = { requestId: newTransferId(), secretHash: '0'.repeat(64), label: null, expiresAt, ...limits, ...changes }
  return portal.ask('POST', '/v1/requests', { token: asAlice(), body })
}

/** For each limit, a request that uses the given amount. */
const asking: Readonly<Record<string, (count: number) => Promise<Answer>>> = {
  partSizeBytesMin: (partSizeBytes) => announce({ partSizeBytes }),
  partSizeBytesMax: (partSizeBytes) => announce({ partSizeBytes }),
  partsPerTransferMax: (count) => announce({ sizeBytes: count * 64 * KIB, partSizeBytes: 64 * KIB }),
  transferSizeBytesMax: (sizeBytes) => announce({ sizeBytes, partSizeBytes: 64 * MIB }),
  wholeSizeBytesMax: (sizeBytes) => {
    const content = Buffer.alloc(sizeBytes)
    const head = { ...announcement(sizeBytes), partSizeBytes: MIB, manifestDigest: manifestDigest(Buffer.alloc(1)) }
    const body = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), content])
    return portal.ask('PUT', `/v1/transfers/${newTransferId()}/whole`, { token: asAlice(), body })
  },
  batchItemsMax: (count) => {
    const head = { ...announcement(0), manifestDigest: manifestDigest(Buffer.alloc(0)) }
    const lines = Array.from({ length: count }, () => `${JSON.stringify({ transferId: newTransferId(), ...head })}\n`)
    return portal.ask('POST', '/v1/transfers/batch', { token: asAlice(), body: Buffer.from(lines.join('')) })
  },
  batchBytesMax: (length) =>
    portal.ask('POST', '/v1/transfers/batch', { token: asAlice(), body: Buffer.alloc(length, '\n') }),
  receiversPerTransferMax: (count) => announce({ to: Array.from({ length: count }, (_, index) => `r${index}`) }),
  nameLengthMax: (length) => announce({ metadata: { name: 'n'.repeat(length) } }),
  mediaTypeLengthMax: (length) => announce({ metadata: { name: 'x', mediaType: 'm'.repeat(length) } }),
  digestAlgorithmLengthMax: (length) => announce({ digestAlgorithm: 'd'.repeat(length) }),
  sealedMetadataLengthMax: (length) => {
    const wrapped = 'A'.repeat(107)
    return announce({ metadata: { sealed: 'A'.repeat(length), keys: { alice: wrapped, bob: wrapped } } })
  },
  signedTokenLengthMax: async (length) => {
    const transferId = await portal.announce(Buffer.alloc(0))
    const manifest = `a.b.${'c'.repeat(length - 4)}`
    const body = { attempt: 1, manifestDigest: manifestDigest(Buffer.alloc(0)), manifest }
    return portal.ask('POST', `/v1/transfers/${transferId}/complete`, { token: asAlice(), body })
  },
  guestsPerRequestMax: (count) => {
    const keys = { signing: 'A'.repeat(43), encryption: 'A'.repeat(43) }
    const guests = Array.from({ length: count }, (_, index) => {
      const text = index.toString(2).replaceAll('0', 'a').replaceAll('1', 'b')
      const names = { account: `guest-${text.padStart(24, 'a')}`, tokenId: text.padStart(16, 'a') }
      return { ...names, tokenHash: '0'.repeat(64), keys }
    })
    return portal.ask('POST', '/v1/guests', {
      token: asAlice(),
      body: { guests, expiresAt: '2000-01-01T00:00:00.000Z' },
    })
  },
  requestFilesMax: (filesMax) => request({ filesMax }),
  requestBytesMax: (bytesMax) => request({ bytesMax }),
  sealedLabelLengthMax: (length) => request({ label: 'A'.repeat(length) }),
  leaseIdLengthMin: (length) => headOf(`/v1/inbox/${newTransferId()}?lease=${'l'.repeat(length)}`, asBob()),
  leaseIdLengthMax: (length) => headOf(`/v1/inbox/${newTransferId()}?lease=${'l'.repeat(length)}`, asBob()),
  instanceIdLengthMin: (length) => headOf(`/v1/inbox?instance=${'i'.repeat(length)}`, asBob()),
  instanceIdLengthMax: (length) => headOf(`/v1/inbox?instance=${'i'.repeat(length)}`, asBob()),
  offersOpenMax: (count) => headOf(`/v1/inbox?instance=instance-1&window=${count}`, asBob()),
  transfersPerPageMax: (count) => portal.ask('GET', `/v1/transfers?limit=${count}`, { token: asAlice() }),
  eventsPerPageMax: (count) => portal.ask('GET', `/v1/events?limit=${count}`, { token: asAlice() }),
  webhookUrlLengthMax: (length) => {
    const url = 'https://hooks.example/'.padEnd(length, 'x')
    const body = { webhookId: newTransferId(), url, on: ['failed'], secret: newWebhookSecret() }
    return portal.ask('POST', '/v1/webhooks', { token: asAlice(), body })
  },
  webhookMessagesPerPageMax: async (count) => {
    const body = {
      webhookId: newTransferId(),
      url: 'https://hooks.example/',
      on: ['failed'],
      secret: newWebhookSecret(),
    }
    await portal.ask('POST', '/v1/webhooks', { token: asBob(), body })
    return portal.ask('GET', `/v1/webhooks/${body.webhookId}/messages?limit=${count}`, { token: asBob() })
  },
  jsonBodyBytesMax: (length) => {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify(announcement(1)).padEnd(length)
    return portal.ask('PUT', `/v1/transfers/${newTransferId()}`, { token: asAlice(), headers, body })
  },
  secretsBodyBytesMax: (length) => {
    const headers = { 'content-type': 'application/json' }
    return portal.ask('POST', '/v1/join', { headers, body: JSON.stringify({ invite: 'none' }).padEnd(length) })
  },
  problemBytesMax: (length) => {
    const more = { type: 'urn:x', title: 'x', status: 500, code: 'x', more: '' }
    return dispose({ more: 'm'.repeat(length - JSON.stringify(more).length) })
  },
  // The problem itself is the first level.
  problemLevelsMax: (levels) => dispose({ more: JSON.parse('['.repeat(levels - 1) + ']'.repeat(levels - 1)) }),
  problemTypeLengthMax: (length) => dispose({ type: 't'.repeat(length) }),
  problemTitleLengthMax: (length) => dispose({ title: 't'.repeat(length) }),
  problemCodeLengthMax: (length) => dispose({ code: 'c'.repeat(length) }),
  problemDetailLengthMax: (length) => dispose({ detail: 'd'.repeat(length) }),
}

/** Limits that take long to reach. Other tests cover them. */
const seenElsewhere = [
  'inlineSizeBytesMax',
  'inlineBytesAtOnceMax',
  'answerBytesMax',
  'pageBytesMax',
  'statusNotificationsBytesMax',
  'waitSecondsMax',
  'heartbeatMs',
  'labelLengthMax',
  'requestTriesPerFileMax',
]
const rows = limitRows()

test('every limit of the table is tested', () => {
  const tried = [...Object.keys(asking), ...seenElsewhere]
  expect(rows.map(({ name }) => name).sort()).toEqual(tried.sort())
})

for (const { name, value, beyond } of rows.filter((row) => row.name in asking)) {
  test(`${name}: ${value} is accepted, and beyond it: ${beyond}`, async () => {
    const ask = asking[name]
    if (ask === undefined) throw new Error(`nothing asks for ${name}`)
    const refusal = /^(\d{3}) `([a-z-]+)`/.exec(beyond)
    const atLimit = await ask(value)
    const past = await ask(name.endsWith('Min') ? value - 1 : value + 1)
    if (refusal === null) {
      expect([atLimit.status, past.status, (await ask(1000 * value)).status]).toEqual([200, 200, 200])
      return
    }
    const [, status, code] = refusal
    expect(refusalOf(past)).toBe(`${status} ${code}`)
    if (atLimit.status >= 400) expect(refusalOf(atLimit)).not.toBe(`${status} ${code}`)
  })
}

test('a request for a page above the limit gets a page of the limit', async () => {
  for (let times = 0; times <= 100; times++) expect((await announce({})).status).toBe(201)
  for (const limit of [100, 101, 100_000]) {
    const { body } = await portal.ask('GET', `/v1/transfers?limit=${limit}`, { token: asAlice() })
    const { transfers, before } = JSON.parse(body.toString())
    expect(transfers).toHaveLength(100)
    expect(before).toBe(transfers.at(-1).transferId)
  }
})

test('a page of zero items, and a size that is no number, are refused', async () => {
  for (const query of ['limit=0', 'limit=-1', 'limit=1.5', 'limit=ten', 'limit=']) {
    for (const path of ['/v1/transfers', '/v1/deliveries', '/v1/events']) {
      const answer = await portal.ask('GET', `${path}?${query}`, { token: asAlice() })
      expect(refusalOf(answer), `${path}?${query}`).toBe('400 request-invalid')
    }
  }
})
