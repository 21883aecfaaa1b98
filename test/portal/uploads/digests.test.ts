/** Which digest algorithms a portal offers and accepts. */
import { describe, expect, test } from 'vitest'
import { nativeBlake3 } from '../../../src/digests/blake3.ts'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { type DigestAlgorithm, formatContentDigest, newTransferId } from '../../../src/protocol/index.ts'
import { announcement, partSizeBytes, partsOf, refusalOf, TestPortal } from '../portal.ts'

const content = Buffer.alloc(2 * partSizeBytes, 'content')

async function offered(portal: TestPortal): Promise<unknown> {
  return JSON.parse((await portal.ask('GET', '/v1/limits')).body.toString()).digestAlgorithms
}

function announce(portal: TestPortal, digestAlgorithm: DigestAlgorithm, transferId = newTransferId()) {
  const body = { ...announcement(content.length), digestAlgorithm }
  return portal.ask('PUT', `/v1/transfers/${transferId}`, { token: portal.token('alice'), body })
}

describe('a portal whose operator allows sha-256 alone', () => {
  test.each([{ digestAlgorithms: ['sha-256'] as const }, { digestAlgorithms: [] }])(
    'offers that, refuses another one, and says what it would take: %j',
    async (settings) => {
      const portal = await TestPortal.start(settings)
      expect(await offered(portal)).toEqual(['sha-256'])
      const refusal = await announce(portal, 'blake3')
      expect(refusalOf(refusal)).toBe('400 digest-unsupported-algorithm')
      expect(JSON.parse(refusal.body.toString()).wanted).toEqual(['sha-256'])
      expect((await announce(portal, 'sha-256')).status).toBe(201)
    },
  )
})

test.runIf(nativeBlake3)('a portal that computes blake3 fast offers it first, and always offers sha-256', async () => {
  const portal = await TestPortal.start({ digestAlgorithms: ['blake3'] })
  expect(await offered(portal)).toEqual(['blake3', 'sha-256'])
})

test.runIf(nativeBlake3)('parts and manifest of a transfer are verified with its own algorithm', async () => {
  const portal = await TestPortal.start()
  const transferId = newTransferId()
  const token = portal.token('alice')
  const digests = partsOf(content).map((bytes) => digestOf('blake3', bytes))
  expect((await announce(portal, 'blake3', transferId)).status).toBe(201)
  const put = async (partNumber: number, field: string) => {
    const body = partsOf(content)[partNumber - 1]
    const headers = { 'content-digest': field, 'content-type': 'application/octet-stream' }
    return portal.ask('PUT', `/v1/transfers/${transferId}/parts/${partNumber}`, { token, headers, body })
  }
  const [first = '', second = ''] = digests
  const wrong = await put(1, formatContentDigest('blake3', '00'.repeat(32)))
  expect(refusalOf(wrong)).toBe('400 digest-mismatching-value')
  const other = await put(1, formatContentDigest('sha-256', digestOf('sha-256', content.subarray(0, partSizeBytes))))
  expect(refusalOf(other)).toBe('400 digest-unsupported-algorithm')
  expect((await put(1, formatContentDigest('blake3', first))).status).toBe(204)
  expect((await put(2, formatContentDigest('blake3', second))).status).toBe(204)
  const complete = (manifestDigest: string, attempt: number) =>
    portal.ask('POST', `/v1/transfers/${transferId}/complete`, { token, body: { attempt, manifestDigest } })
  const { body } = await complete(manifestDigestOf('blake3', digests), 1)
  expect(JSON.parse(body.toString())).toMatchObject({ notification: 'stored' })
})
