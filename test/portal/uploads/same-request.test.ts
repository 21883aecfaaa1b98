/** An Idempotency-Key belongs to one content. The portal refuses other content under it as a conflict, and never answers `stored`. */
import { expect, test } from 'vitest'
import { portalDefaults } from '../../../src/portal/options.ts'
import { newTransferId } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { contentDigest, manifestDigest, TestPortal } from '../portal.ts'
import type { Exchange } from './exchange.ts'
import { MIB, oneRequest, sendWhole, storedFiles } from './one-request.ts'

const monday = Buffer.from('monday')
const sunday = Buffer.from('sunday')
const large = Buffer.alloc(9 * MIB, 'a larger file, of two parts ')
const otherLarge = Buffer.from(large)
otherLarge[large.length - 1] = 0
const CONFLICT = /^refused: transfer-conflict: /

test.each([
  ['longer', monday, Buffer.from('tuesday, more'), null],
  ['shorter', monday, Buffer.from('mon'), null],
  ['empty', monday, Buffer.alloc(0), null],
  ['as long, of a length that is said', monday, sunday, monday.length],
  ['as long, of a length that is not said', monday, sunday, null],
  ['different in its last byte only', large, otherLarge, large.length],
  ['different in its last byte only, and of a length that is not said', large, otherLarge, null],
  ['one byte longer than a whole part', large.subarray(0, 8 * MIB), large.subarray(0, 8 * MIB + 1), null],
])(
  'content that is %s under a used key is a conflict, and the first stays',
  async (_what, content, other, lengthBytes) => {
    const portal = await TestPortal.start()
    const headers = { 'idempotency-key': newTransferId() }
    const sending = { lengthBytes: lengthBytes === null ? null : content.length, headers }
    const first = await sendWhole(portal, 'bob/dump.sql', content, sending)
    expect(first.lines[0]).toMatch(/^stored /)
    for (const more of [{}, { 'repr-digest': contentDigest(other) }]) {
      const answer = await sendWhole(portal, 'bob/dump.sql', other, { lengthBytes, headers: { ...headers, ...more } })
      expect(answer.text).toMatch(CONFLICT)
      expect(answer.status).toBe(409)
    }
    // The same content is the same request, whether or not the client declares its length.
    for (const again of [null, content.length]) {
      const repeated = await sendWhole(portal, 'bob/dump.sql', content, { lengthBytes: again, headers })
      expect(repeated).toMatchObject({ status: 200, text: first.text })
    }
  },
)

test('a repetition is compared also when the content is no longer stored', async () => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const headers = { 'idempotency-key': key }
  await sendWhole(portal, 'bob/x', large, { lengthBytes: null, headers })
  const { leaseId, manifestDigest: stored } = await portal.offerOf(key)
  await portal.dispose(key, { leaseId, disposition: 'received', manifestDigest: stored })
  await until(async () => (await storedFiles(portal)).length === 0, 'the portal removes the content')
  expect((await sendWhole(portal, 'bob/x', otherLarge, { lengthBytes: null, headers })).status).toBe(409)
  expect((await sendWhole(portal, 'bob/x', large, { lengthBytes: null, headers })).lines).toEqual([
    expect.stringMatching(/^stored /),
    'delivered bob',
  ])
})

test('a repetition that is damaged or breaks off may be sent again, and the stored file stays', async () => {
  const portal = await TestPortal.start()
  const headers = { 'idempotency-key': newTransferId(), 'repr-digest': contentDigest(monday) }
  await sendWhole(portal, 'bob/x', monday, { headers })
  const damaged = await sendWhole(portal, 'bob/x', sunday, { headers })
  expect(damaged.text).toMatch(/^resend: digest-mismatching-value: /)
  const broken = oneRequest(portal, 'bob/x', { lengthBytes: monday.length, headers })
  await broken.write(monday.subarray(0, 3))
  broken.cut()
  expect((await sendWhole(portal, 'bob/x', monday, { headers })).lines[0]).toMatch(/^stored /)
})

test('a repetition with Expect: 100-continue is asked for its body, unless it only asks by the key', async () => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const headers = { 'idempotency-key': key, expect: '100-continue' }
  await sendWhole(portal, 'bob/x', monday, { headers: { 'idempotency-key': key } })
  const again = oneRequest(portal, 'bob/x', { lengthBytes: monday.length, headers }).flush()
  await until(() => again.isAskedFor, 'it is asked for')
  expect((await again.end(sunday)).status).toBe(409)
  const { notifications } = await portal.client('alice').transfer(key)
  expect(notifications.map(({ notification }) => notification)).toEqual(['stored'])
})

test.each([
  ['of known length', large.length],
  ['of unknown length', null],
])('an upload %s in progress is not cut by another file under its key', async (_what, lengthBytes) => {
  const portal = await TestPortal.start()
  const headers = { 'idempotency-key': newTransferId() }
  const first = oneRequest(portal, 'bob/x', { lengthBytes, headers })
  await first.write(large.subarray(0, 8.5 * MIB))
  await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
  for (const [path, more] of [
    ['bob/y', {}],
    ['carol/x', {}],
    ['bob,carol/x', {}],
    ['bob/x', { 'content-type': 'text/csv' }],
  ] as const) {
    const other = await sendWhole(portal, path, large, { lengthBytes, headers: { ...headers, ...more } })
    expect(other.text).toMatch(CONFLICT)
  }
  expect((await first.end(large.subarray(8.5 * MIB))).lines[0]).toMatch(/^stored /)
})

test.each([
  ['broken off', true],
  ['under way', false],
])('a request without a length sends a file whose announced upload is %s', async (_what, breaksOff) => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const headers = { 'idempotency-key': key }
  const first = oneRequest(portal, 'bob/x', { lengthBytes: large.length, headers })
  await first.write(large.subarray(0, 8.5 * MIB))
  await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
  if (breaksOff) first.cut()
  const sending = { lengthBytes: null, headers }
  // A longer or shorter file is not the announced one.
  const longer = Buffer.concat([large, Buffer.from('x')])
  expect((await sendWhole(portal, 'bob/x', longer, sending)).text).toMatch(/transfer-conflict: /)
  expect((await sendWhole(portal, 'bob/x', large.subarray(1), sending)).text).toMatch(/^resend: part-incomplete: /)
  const again = await sendWhole(portal, 'bob/x', large, sending)
  expect(again.lines[0]).toMatch(/^stored /)
  const transfer = await portal.client('alice').transfer(key)
  expect(transfer).toMatchObject({ state: 'stored', sizeBytes: large.length })
  expect((await sendWhole(portal, 'bob/x', otherLarge, sending)).status).toBe(409)
})

test('concurrent requests with one key do not use up each other’s attempts', async () => {
  const portal = await TestPortal.start()
  const key = newTransferId()
  const sending = { lengthBytes: large.length, headers: { 'idempotency-key': key } }
  let newest: Exchange | null = null
  // Each of them takes the place of the one before, more often than an upload may be attempted.
  for (let at = 0; at <= portalDefaults.attemptsMax; at++) {
    newest = oneRequest(portal, 'bob/x', sending)
    await newest.write(large.subarray(0, 8.5 * MIB))
    await until(async () => (await storedFiles(portal)).length > 0, 'it is being taken in')
    await until(
      async () => (await portal.client('alice').transfer(key)).attempt === at + 1,
      'it has replaced the one before',
    )
  }
  newest?.cut()
  await until(async () => (await storedFiles(portal)).length === 0, 'what came is deleted')
  expect((await sendWhole(portal, 'bob/x', large, sending)).lines[0]).toMatch(/^stored /)
  const { notifications } = await portal.client('alice').transfer(key)
  const resends = notifications.flatMap((one) => (one.notification === 'resend' ? [one.problem.detail] : []))
  expect(resends.slice(0, -1)).toEqual(Array(portalDefaults.attemptsMax).fill('a newer request sends the file'))
})

test('a receiver that repeats `received` for other content gets a refusal', async () => {
  const portal = await TestPortal.start()
  const content = Buffer.alloc(100, 'x')
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const received = { leaseId, disposition: 'received', manifestDigest: manifestDigest(content) }
  expect(await portal.dispose(transferId, received)).toBe('delivered')
  expect(await portal.dispose(transferId, received)).toBe('delivered')
  const other = { ...received, manifestDigest: manifestDigest(Buffer.from('y')) }
  await expect(portal.dispose(transferId, other)).rejects.toThrow(/409.*manifest-mismatching/)
})
