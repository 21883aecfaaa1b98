import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'
import {
  AccountName,
  Announcement,
  Disposition,
  JoinRequest,
  LeaseId,
  Notification,
  newInvite,
  newLeaseId,
  newToken,
  newTransferId,
  Problem,
  Timestamp,
  TransferId,
  transferSizeBytesMax,
} from '../../src/protocol/index.ts'

function takes(schema: TSchema, value: unknown): boolean {
  return Compile(schema).Check(value)
}

const announcement = {
  to: ['bob'],
  metadata: { name: 'plan.pdf' },
  sizeBytes: 0,
  partSizeBytes: 65_536,
  digestAlgorithm: 'sha-256',
}

describe('generated values have the documented form', () => {
  test('ids, tokens and invites', () => {
    for (let i = 0; i < 100; i++) {
      expect(takes(TransferId, newTransferId())).toBe(true)
      expect(takes(LeaseId, newLeaseId())).toBe(true)
      expect(takes(JoinRequest, { invite: newInvite(), token: newToken() })).toBe(true)
    }
  })

  test('no secret is generated twice', () => {
    const made = Array.from({ length: 1000 }, () => [newInvite(), newToken(), newTransferId(), newLeaseId()]).flat()
    expect(new Set(made).size).toBe(made.length)
  })

  test('later transfer ids sort later', () => {
    const ids = Array.from({ length: 100 }, newTransferId)
    expect([...ids].sort()).toEqual(ids)
  })
})

describe('an announcement', () => {
  test('is accepted as documented, for an empty file and for the largest', () => {
    expect(takes(Announcement, announcement)).toBe(true)
    expect(takes(Announcement, { ...announcement, sizeBytes: transferSizeBytesMax })).toBe(true)
    // Larger sizes pass validation, because they get a code of their own.
    expect(takes(Announcement, { ...announcement, sizeBytes: transferSizeBytesMax + 1 })).toBe(true)
    expect(takes(Announcement, { ...announcement, metadata: { name: 'ü', mediaType: 'text/plain' } })).toBe(true)
  })

  test.each([
    ['to nobody', { to: [] }],
    ['to more receivers than may be', { to: Array.from({ length: 33 }, (_, index) => `bob-${index}`) }],
    ['to a name that cannot be', { to: ['../bob'] }],
    ['without a name', { metadata: {} }],
    ['with an empty name', { metadata: { name: '' } }],
    ['with a name without end', { metadata: { name: 'x'.repeat(1025) } }],
    ['with a negative size', { sizeBytes: -1 }],
    ['with half a byte', { sizeBytes: 0.5 }],
    ['with a size as text', { sizeBytes: '5' }],
    ['in parts of nothing', { partSizeBytes: 0 }],
    ['with members that nobody knows', { isAdmin: true }],
    ['with metadata that nobody knows', { metadata: { name: 'a', path: '/etc' } }],
  ])('%s is refused', (_, difference) => {
    expect(takes(Announcement, { ...announcement, ...difference })).toBe(false)
  })
})

test.each(['a', 'bob', 'b.o-b_9', 'x'.repeat(63)])('%s can be the name of an account', (name) => {
  expect(takes(AccountName, name)).toBe(true)
})

test.each(['', '.bob', '-bob', 'Bob', 'b/b', 'b b', 'bob\n', 'x'.repeat(64), 'bøb'])('%j cannot', (name) => {
  expect(takes(AccountName, name)).toBe(false)
})

test.each([
  '',
  'x',
  '../../etc/passwd',
  newTransferId().toUpperCase(),
  `${newTransferId()}\n`,
  `${newTransferId()}/..`,
])('%j is not a transfer id, so that it can name a folder', (id) => {
  expect(takes(TransferId, id)).toBe(false)
})

test('a notification of a problem keeps unknown members', () => {
  const problem = { ...new Problem('disk-full').toJSON(), code: 'of-the-future', extra: { deep: [1] } }
  const base = { eventId: '7', at: new Date(0).toISOString(), transferId: newTransferId(), attempt: 1 }
  expect(takes(Notification, { ...base, notification: 'failed', receiver: 'bob', problem })).toBe(true)
  expect(takes(Notification, { ...base, notification: 'failed', receiver: 'bob' })).toBe(false)
  expect(takes(Notification, { ...base, notification: 'resend', problem, wanted: [[1, 2]] })).toBe(true)
  expect(takes(Notification, { ...base, notification: 'resend', problem, wanted: [[0, 2]] })).toBe(false)
  expect(takes(Notification, { ...base, notification: 'perhaps' })).toBe(false)
})

test('a disposition has exactly the members of its kind', () => {
  const leaseId = newLeaseId()
  const manifestDigest = 'ab'.repeat(32)
  expect(takes(Disposition, { leaseId, disposition: 'received', manifestDigest })).toBe(true)
  expect(takes(Disposition, { leaseId, disposition: 'received' })).toBe(false)
  expect(takes(Disposition, { disposition: 'received', manifestDigest })).toBe(false)
  const problem = new Problem('disk-full').toJSON()
  expect(takes(Disposition, { leaseId, disposition: 'refused', problem })).toBe(true)
  expect(takes(Disposition, { leaseId, disposition: 'refused', problem, manifestDigest })).toBe(false)
  expect(takes(Disposition, { leaseId, disposition: 'resend', problem, wanted: [] })).toBe(true)
})

describe('a time from another side', () => {
  test.each([
    '2026-02-31T00:00:00.000Z',
    '0000-01-01T00:00:00.000Z',
    '9999-12-31T23:59:59.999Z',
    new Date().toISOString(),
  ])('%s can be read', (at) => {
    expect(takes(Timestamp, at)).toBe(true)
    expect(new Date(Date.parse(at)).toISOString()).toMatch(/Z$/)
  })

  // Showing such a time would throw, and end a sender or receiver.
  test.each(['2026-13-01', '2026-00-01', '2026-01-00', '2026-01-32'])('%s is no day', (day) => {
    expect(takes(Timestamp, `${day}T00:00:00.000Z`)).toBe(false)
  })

  test.each(['24:00:00.000', '23:60:00.000', '23:59:60.000', '99:99:99.999'])('%s is no time of day', (time) => {
    expect(takes(Timestamp, `2026-01-01T${time}Z`)).toBe(false)
  })
})
