/** One request announces, sends and completes a small file. The portal keeps it in the ledger. */

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { announcement, contentDigest, KIB, manifestDigest, refusalOf, sha256, TestPortal } from '../portal.ts'

const content = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7) % 251))

/** The body of such a request. */
function bodyOf(bytes: Buffer, changes: Record<string, unknown> = {}): Buffer {
  const line = { ...announcement(bytes.length), manifestDigest: manifestDigest(bytes), ...changes }
  return Buffer.concat([Buffer.from(`${JSON.stringify(line)}\n`), bytes])
}

function put(portal: TestPortal, transferId: string, body: Buffer | string, name = 'alice') {
  return portal.ask('PUT', `/v1/transfers/${transferId}/whole`, { token: portal.token(name), body })
}

const isKnown = async (portal: TestPortal, transferId: string): Promise<boolean> =>
  (await portal.ask('GET', `/v1/transfers/${transferId}`, { token: portal.token('alice') })).status === 200

test('is stored by one request, fetched like a part of any other, and delivered', async () => {
  const portal = await TestPortal.start()
  const transferId = newTransferId()
  const { status, body } = await put(portal, transferId, bodyOf(content))
  expect(status).toBe(200)
  const stored = JSON.parse(body.toString())
  expect(stored).toMatchObject({ notification: 'stored', transferId, attempt: 1 })
  // A sender that lost the answer repeats the request.
  expect(JSON.parse((await put(portal, transferId, bodyOf(content))).body.toString())).toEqual(stored)

  const offer = await portal.offerOf(transferId)
  expect(offer).toMatchObject({ state: 'stored', sizeBytes: content.length, manifestDigest: manifestDigest(content) })
  const path = `/v1/inbox/${transferId}/parts/1?lease=${offer.leaseId}`
  const part = await portal.ask('GET', path, { token: portal.token('bob') })
  expect(part.status).toBe(200)
  expect(part.headers).toMatchObject({ 'content-digest': contentDigest(content), etag: `"${sha256(content)}"` })
  expect(part.body.equals(content)).toBe(true)
  const range = await portal.ask('GET', path, { token: portal.token('bob'), headers: { range: 'bytes=10-19' } })
  expect(range.status).toBe(206)
  expect(range.body.equals(content.subarray(10, 20))).toBe(true)
  const received = { leaseId: offer.leaseId, disposition: 'received', manifestDigest: manifestDigest(content) }
  expect(await portal.dispose(transferId, received)).toBe('delivered')
  expect(JSON.parse((await put(portal, transferId, bodyOf(content))).body.toString())).toEqual(stored)
})

test('survives a restart of the portal', async () => {
  const portal = await TestPortal.start()
  const transferId = newTransferId()
  await put(portal, transferId, bodyOf(content))
  await portal.stop()
  const found = await portal.operate((ledger) => ledger.content(transferId))
  expect(Buffer.from(found?.content ?? []).equals(content)).toBe(true)
})

test('an empty file is stored as well', async () => {
  const portal = await TestPortal.start()
  const transferId = newTransferId()
  const { body } = await put(portal, transferId, bodyOf(Buffer.alloc(0)))
  expect(JSON.parse(body.toString()).notification).toBe('stored')
  expect(await portal.offerOf(transferId)).toMatchObject({ state: 'stored', sizeBytes: 0 })
})

test.each([
  ['damaged on the way', () => bodyOf(content).fill(0, 1000, 1001), '400 digest-mismatching-value'],
  ['cut off', () => bodyOf(content).subarray(0, 3000), '400 part-incomplete'],
  ['followed by more', () => Buffer.concat([bodyOf(content), Buffer.from('more')]), '400 part-incomplete'],
  ['without its line of JSON', () => Buffer.alloc(100, 'a'), '400 request-invalid'],
  ['behind a line that is not JSON', () => Buffer.from('{"to":\nhello'), '400 request-invalid'],
  ['behind a line of another form', () => bodyOf(content, { surprise: 1 }), '400 request-invalid'],
  [
    'behind a line without its manifestDigest',
    () => bodyOf(content, { manifestDigest: undefined }),
    '400 request-invalid',
  ],
  ['for nobody', () => bodyOf(content, { to: ['nobody'] }), '404 receiver-unknown'],
  [
    'of an algorithm that is not known',
    () => bodyOf(content, { digestAlgorithm: 'crc32c' }),
    '400 digest-unsupported-algorithm',
  ],
  ['of more parts than one', () => bodyOf(Buffer.alloc(70 * KIB)), '413 body-too-large'],
])('%s it is refused, and nothing of it is kept; then it can be sent correctly', async (_what, damaged, refusal) => {
  const portal = await TestPortal.start()
  const transferId = newTransferId()
  expect(refusalOf(await put(portal, transferId, damaged()))).toBe(refusal)
  expect(await isKnown(portal, transferId)).toBe(false)
  expect(await portal.operate((ledger) => ledger.content(transferId))).toBeNull()
  expect((await put(portal, transferId, bodyOf(content))).status).toBe(200)
})

test('a portal accepts inline uploads up to the size that its operator sets', async () => {
  const portal = await TestPortal.start({ wholeSizeBytesMax: 4999 })
  expect(refusalOf(await put(portal, newTransferId(), bodyOf(content)))).toBe('413 body-too-large')
  expect((await put(portal, newTransferId(), bodyOf(content.subarray(1)))).status).toBe(200)
})

test('without free space it is refused, which is the first notification', async () => {
  const portal = await TestPortal.start({ storageBytesMax: 4999 })
  const transferId = newTransferId()
  const answer = await put(portal, transferId, bodyOf(content))
  expect(refusalOf(answer)).toBe('507 storage-full')
  const { eventId } = JSON.parse(answer.body.toString())
  const { events } = await portal.client('alice').events()
  expect(events).toMatchObject([{ eventId, notification: 'refused', transferId }])
})

test('an upload does not touch the transfer of another account', async () => {
  const portal = await TestPortal.start()
  const transferId = newTransferId()
  await put(portal, transferId, bodyOf(content))
  expect(refusalOf(await put(portal, transferId, bodyOf(content), 'carol'))).toBe('409 transfer-conflict')
  expect(refusalOf(await put(portal, transferId, bodyOf(content, { to: ['carol'] })))).toBe('409 transfer-conflict')
})

test('content that is damaged in the ledger is reported, and not sent repeatedly', async () => {
  const portal = await TestPortal.start()
  const transferId = newTransferId()
  await put(portal, transferId, bodyOf(content))
  const database = new DatabaseSync(join(portal.dataFolder, 'ledger.sqlite'))
  database.prepare('update contents set content = ? where transfer_id = ?').run(Buffer.alloc(5000), transferId)
  database.close()
  const { leaseId } = await portal.offerOf(transferId)
  const wanted = { leaseId, disposition: 'resend', wanted: [[1, 1]], problem: { code: 'digest-mismatching-value' } }
  const problem = { type: 'urn:x', title: 'it is bad', status: 400, ...wanted.problem }
  expect(await portal.dispose(transferId, { ...wanted, problem })).toBe('failed')
  const { notifications } = await portal.client('alice').transfer(transferId)
  expect(notifications.at(-1)).toMatchObject({ notification: 'failed', problem: { code: 'stored-part-corrupt' } })
})
