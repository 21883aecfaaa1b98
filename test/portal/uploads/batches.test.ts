/** A sender sends several small files in one request. The portal answers for each file as if it had come alone. */
import { expect, test } from 'vitest'
import { batchItemsMax, newTransferId, type Offer } from '../../../src/protocol/index.ts'
import { announcement, KIB, manifestDigest, refusalOf, TestPortal } from '../portal.ts'

const fileOf = (index: number): Buffer => Buffer.alloc(100 + index, `content ${index} `)

interface One {
  readonly transferId: string
  readonly notification?: { readonly notification: string; readonly eventId: string }
  readonly problem?: { readonly code: string }
}

/** One item of a batch: a line of JSON and the content. */
function item(transferId: string, content: Buffer, changes: Record<string, unknown> = {}): Buffer {
  const line = { transferId, ...announcement(content.length), manifestDigest: manifestDigest(content), ...changes }
  return Buffer.concat([Buffer.from(`${JSON.stringify(line)}\n`), content])
}

function post(portal: TestPortal, body: Buffer | string, name = 'alice') {
  return portal.ask('POST', '/v1/transfers/batch', { token: portal.token(name), body })
}

async function answersOf(portal: TestPortal, items: readonly Buffer[]): Promise<One[]> {
  const { status, body } = await post(portal, Buffer.concat(items))
  expect(status, body.toString()).toBe(200)
  return JSON.parse(body.toString()).answers
}

const codesOf = (answers: readonly One[]): string[] =>
  answers.map(({ notification, problem }) => notification?.notification ?? problem?.code ?? '')

test('each file is stored, offered and delivered as a transfer of its own; a repeated batch gets the same answers', async () => {
  const portal = await TestPortal.start()
  const ids = Array.from({ length: 3 }, newTransferId)
  const items = ids.map((transferId, index) => item(transferId, fileOf(index)))
  const answers = await answersOf(portal, items)
  expect(answers.map(({ transferId }) => transferId)).toEqual(ids)
  expect(codesOf(answers)).toEqual(['stored', 'stored', 'stored'])
  expect(new Set(answers.map(({ notification }) => notification?.eventId)).size).toBe(3)
  expect(await answersOf(portal, items)).toEqual(answers)
  for (const [index, transferId] of ids.entries()) {
    const { leaseId } = await portal.offerOf(transferId)
    const received = { leaseId, disposition: 'received', manifestDigest: manifestDigest(fileOf(index)) }
    expect(await portal.dispose(transferId, received)).toBe('delivered')
  }
  // A sender that lost the answer repeats the request and gets the same answer, also for a single file.
  expect(await answersOf(portal, items)).toEqual(answers)
  const [first = '', , third = ''] = ids
  const alone = item('', fileOf(2)).toString().replace('"transferId":"",', '')
  const { body } = await portal.ask('PUT', `/v1/transfers/${third}/whole`, {
    token: portal.token('alice'),
    body: alone,
  })
  expect(JSON.parse(body.toString())).toEqual(answers[2]?.notification)
  expect((await portal.ask('GET', `/v1/transfers/${first}`, { token: portal.token('alice') })).status).toBe(200)
})

test('a refused file has its own problem, and does not affect the others', async () => {
  const portal = await TestPortal.start({ wholeSizeBytesMax: 200, accountBytesMax: 2_000 })
  const taken = newTransferId()
  await answersOf(portal, [item(taken, fileOf(0))])
  const damaged = item(newTransferId(), fileOf(1))
  damaged[damaged.length - 1] = 0
  const [good, last] = [newTransferId(), newTransferId()]
  const refused = newTransferId()
  const answers = await answersOf(portal, [
    item(good, fileOf(2)),
    damaged,
    item(newTransferId(), fileOf(3), { to: ['nobody'] }),
    item(newTransferId(), fileOf(4), { digestAlgorithm: 'md5' }),
    item(newTransferId(), fileOf(5), { unknown: true }),
    item(taken, fileOf(6)),
    item(newTransferId(), Buffer.alloc(300)),
    ...Array.from({ length: 16 }, (_, index) => item(newTransferId(), fileOf(index))),
    item(refused, Buffer.alloc(200)),
    item(last, Buffer.alloc(0)),
  ])
  const codes = codesOf(answers)
  expect(codes.slice(0, 7)).toEqual([
    'stored',
    'digest-mismatching-value',
    'receiver-unknown',
    'digest-unsupported-algorithm',
    'request-invalid',
    'transfer-conflict',
    'body-too-large',
  ])
  // The disk fills up within the batch. The portal records a first notification for that.
  expect(codes.slice(-2)).toEqual(['storage-full', 'stored'])
  expect(answers.at(-2)?.problem).toMatchObject({ transferId: refused, eventId: expect.any(String) })
  expect(await portal.offerOf(good)).toMatchObject({ state: 'stored' })
})

test.each([
  ['nothing', () => Buffer.alloc(0), 'request-invalid'],
  ['no line of JSON', () => Buffer.alloc(100, 'a'), 'request-invalid'],
  ['a line that names no transfer', () => item('a', fileOf(0)), 'request-invalid'],
  ['a line without a length', () => item(newTransferId(), fileOf(0), { sizeBytes: 'x' }), 'request-invalid'],
  ['a content that is cut off', () => item(newTransferId(), fileOf(0)).subarray(0, -1), 'request-invalid'],
  [
    'something behind the last file',
    () => Buffer.concat([item(newTransferId(), fileOf(0)), Buffer.from('x')]),
    'request-invalid',
  ],
  ['a length beyond its end', () => item(newTransferId(), fileOf(0), { sizeBytes: 1000 }), 'request-invalid'],
  ['more than fits', () => Buffer.alloc(1024 * KIB + 1), 'body-too-large'],
] as const)('a body with %s is refused as a whole, and nothing of it is taken', async (_, bodyOf, code) => {
  const portal = await TestPortal.start()
  const good = newTransferId()
  const body = Buffer.concat([item(good, fileOf(1)), bodyOf()])
  const answer = await post(portal, code === 'request-invalid' && bodyOf().length === 0 ? bodyOf() : body)
  expect(refusalOf(answer)).toMatch(new RegExp(` ${code}$`))
  expect((await portal.ask('GET', `/v1/transfers/${good}`, { token: portal.token('alice') })).status).toBe(404)
})

test('a batch has at most as many files as the limits say', async () => {
  const portal = await TestPortal.start()
  const limits = JSON.parse((await portal.ask('GET', '/v1/limits')).body.toString())
  expect(limits).toMatchObject({ batchItemsMax, batchBytesMax: 1024 * KIB })
  const items = Array.from({ length: batchItemsMax + 1 }, () => item(newTransferId(), fileOf(0)))
  expect(refusalOf(await post(portal, Buffer.concat(items)))).toMatch(/400 request-invalid/)
  expect(codesOf(await answersOf(portal, items.slice(1)))).toEqual(items.slice(1).map(() => 'stored'))
})

test('each file of a batch counts as a request of its account', async () => {
  const portal = await TestPortal.start({ accountRequestsPerSecond: 20 })
  const batch = (): Buffer => Buffer.concat(Array.from({ length: 30 }, () => item(newTransferId(), fileOf(0))))
  expect((await post(portal, batch())).status).toBe(200)
  const refused = await post(portal, batch())
  expect(refusalOf(refused)).toMatch(/429 rate-limited/)
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
})

test('a batch needs a token and a Content-Length', async () => {
  const portal = await TestPortal.start()
  const body = item(newTransferId(), fileOf(0))
  expect((await portal.ask('POST', '/v1/transfers/batch', { body })).status).toBe(401)
})

/** The offers of one connection: a second one of the same receiver would take them over. */
async function offersOf(portal: TestPortal, transferIds: readonly string[]): Promise<(Offer | undefined)[]> {
  const gone = new AbortController()
  const offers = new Map<string, Offer>()
  const inbox = portal.client('bob').watchInbox({ instanceId: 'instance-1', window: 64 }, { signal: gone.signal })
  for await (const event of inbox) {
    if (event.type === 'offer') offers.set(event.offer.transferId, event.offer)
    if (transferIds.every((transferId) => offers.has(transferId))) break
  }
  gone.abort()
  return transferIds.map((transferId) => offers.get(transferId))
}

test('several answers of a receiver in one request are processed separately', async () => {
  const portal = await TestPortal.start()
  const ids = Array.from({ length: 4 }, newTransferId)
  await answersOf(
    portal,
    ids.map((transferId, index) => item(transferId, fileOf(index))),
  )
  const offers = await offersOf(portal, ids)
  const problem = { type: 'urn:x', title: 'It is no good', status: 422, code: 'declined', note: 'as it is' }
  const received = (index: number) => ({
    transferId: ids[index],
    answer: {
      leaseId: offers[index]?.leaseId,
      disposition: 'received',
      manifestDigest: manifestDigest(fileOf(index)),
    },
  })
  const dispositions = [
    received(0),
    { transferId: ids[1], answer: { leaseId: offers[1]?.leaseId, disposition: 'refused', problem } },
    { ...received(2), answer: { ...received(2).answer, leaseId: 'l'.repeat(24) } },
    { ...received(3), transferId: newTransferId() },
    received(3),
  ]
  const ask = () => portal.ask('POST', '/v1/inbox/dispositions', { token: portal.token('bob'), body: { dispositions } })
  const states = [
    { transferId: ids[0], state: 'delivered' },
    { transferId: ids[1], state: 'failed' },
    { transferId: ids[2], problem: expect.objectContaining({ code: 'lease-lost' }) },
    { transferId: dispositions[3]?.transferId, problem: expect.objectContaining({ code: 'not-found' }) },
    { transferId: ids[3], state: 'delivered' },
  ]
  for (const _ of [1, 2]) expect(JSON.parse((await ask()).body.toString())).toEqual({ answers: states })
  const { body } = await portal.ask('GET', `/v1/transfers/${ids[1]}`, { token: portal.token('alice') })
  expect(JSON.parse(body.toString()).notifications.at(-1)).toMatchObject({ notification: 'failed', problem })
})

test('no dispositions, too many, and those of another form are refused as a whole', async () => {
  const portal = await TestPortal.start()
  const one = { transferId: newTransferId(), answer: { leaseId: 'l'.repeat(24), disposition: 'refused', problem: {} } }
  for (const dispositions of [[], Array(batchItemsMax + 1).fill(one), [one], 'x']) {
    const answer = await portal.ask('POST', '/v1/inbox/dispositions', {
      token: portal.token('bob'),
      body: { dispositions },
    })
    expect(refusalOf(answer)).toMatch(/400 request-invalid/)
  }
})
