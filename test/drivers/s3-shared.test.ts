/** The store on S3 with several portals: which parts each portal sees, and how many requests that takes. */
import { buffer } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import type { HeldGeneration, PartKey, Store } from '../../src/portal/store/contract.ts'
import { parseS3Address } from '../../src/portal/store/s3/address.ts'
import type { RequestKind } from '../../src/portal/store/s3/requests.ts'
import { s3Store } from '../../src/portal/store/s3.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { FaultyNetwork } from '../e2e/harness/proxy.ts'
import { testBucket } from '../servers/radosgw.ts'
import { type S3Settings, testS3Store } from '../suites/s3.ts'
import { first, put, somePart } from '../suites/store.ts'

async function twoPortals(settings: S3Settings = {}): Promise<[one: Store, other: Store]> {
  const bucket = await testBucket()
  return [await testS3Store(bucket, settings), await testS3Store(bucket, settings)]
}

async function contentOf(store: Store, key: PartKey): Promise<Buffer | null> {
  const content = await store.read(key)
  return content === null ? null : buffer(content.stream)
}

async function heldBy(store: Store): Promise<HeldGeneration[]> {
  const held: HeldGeneration[] = []
  for await (const parts of store.held()) held.push(parts)
  return held
}

/** Counts requests to S3. */
function counting(): { counts: Map<RequestKind, number>; onRequest: (kind: RequestKind) => void } {
  const counts = new Map<RequestKind, number>()
  return { counts, onRequest: (kind) => counts.set(kind, (counts.get(kind) ?? 0) + 1) }
}

test('a part that was sent to one portal is found, listed and read at another at once', async () => {
  const [one, other] = await twoPortals()
  const part = somePart(newTransferId(), 1)
  expect(await other.find(part.key)).toBeNull()
  await put(one, part)
  expect(await other.find(part.key)).toBe(part.key.digest)
  expect([...(await other.list(first(part.key.transferId)))]).toEqual([[1, part.key.digest]])
  expect((await contentOf(other, part.key))?.equals(part.bytes)).toBe(true)
})

test('a part that one portal removed is no longer listed at another, and can be stored there again, with other content too', async () => {
  const [one, other] = await twoPortals()
  const transferId = newTransferId()
  const [part, changed] = [somePart(transferId, 1), somePart(transferId, 1)]
  await put(one, part)
  expect(await other.find(part.key)).toBe(part.key.digest)
  await one.removePart(part.key)
  expect((await other.list(first(transferId))).size).toBe(0)
  await put(other, part)
  await one.removePart(part.key)
  await put(other, changed)
  expect(await one.find(part.key)).toBe(changed.key.digest)
  expect(await contentOf(other, part.key)).toBeNull()
  expect(await other.find(part.key)).toBe(changed.key.digest)
})

test('a part that another portal removed is no longer found after a failed read', async () => {
  const [one, other] = await twoPortals()
  const part = somePart(newTransferId(), 1)
  await put(one, part)
  await other.removePart(part.key)
  expect(await one.find(part.key)).toBe(part.key.digest)
  expect(await contentOf(one, part.key)).toBeNull()
  expect(await one.find(part.key)).toBeNull()
})

test('a part that one portal holds conflicts with other content at another that has listed it', async () => {
  const [one, other] = await twoPortals()
  const transferId = newTransferId()
  const [held, late] = [somePart(transferId, 1), somePart(transferId, 1)]
  await put(one, held)
  expect(await other.find(late.key)).toBe(held.key.digest)
  await expect(put(other, late)).rejects.toMatchObject({ code: 'part-conflict' })
})

test('a portal that is about to store a part finds the parts of other portals, and its own', async () => {
  const [one, other] = await twoPortals()
  const transferId = newTransferId()
  const [early, own] = [somePart(transferId, 1), somePart(transferId, 2)]
  await put(one, early)
  expect(await other.findBeforePut({ ...first(transferId), partNumber: 2 })).toBeNull()
  expect(await other.findBeforePut({ ...first(transferId), partNumber: 1 })).toBe(early.key.digest)
  await put(other, own)
  expect(await other.findBeforePut(own.key)).toBe(own.key.digest)
  await expect(put(other, somePart(transferId, 2))).rejects.toMatchObject({ code: 'part-conflict' })
  await other.removeParts(first(transferId))
  expect(await other.findBeforePut(own.key)).toBeNull()
})

test('a portal that stores other content for a part without knowing of the first does not replace it', async () => {
  const [one, other] = await twoPortals()
  const transferId = newTransferId()
  const [early, late] = [somePart(transferId, 1), somePart(transferId, 1)]
  expect(await other.findBeforePut(late.key)).toBeNull()
  await put(one, early)
  expect(await other.findBeforePut(late.key)).toBeNull()
  await put(other, late)
  for (const store of [other, one]) expect([...(await store.list(first(transferId)))]).toEqual([[1, early.key.digest]])
  // From then on it knows the part.
  expect(await other.findBeforePut(late.key)).toBe(early.key.digest)
})

test('the same part that is sent to several portals is stored once, with the age of the first', async () => {
  const [one, other] = await twoPortals()
  const part = somePart(newTransferId(), 1)
  await put(one, part)
  const [before] = await heldBy(one)
  await put(other, part)
  await Promise.all([put(one, part), put(other, part)])
  expect(await heldBy(other)).toEqual([before])
})

test('of two contents for one part that two portals stored, the older one counts at both', async () => {
  const [one, other] = await twoPortals()
  const transferId = newTransferId()
  for (let partNumber = 1; partNumber <= 10; partNumber++) {
    const [early, late] = [somePart(transferId, partNumber), somePart(transferId, partNumber)]
    await put(one, early)
    // The other portal has not listed the parts, as if both had arrived at the same moment.
    await put(other, late)
    for (const store of [one, other]) {
      expect((await store.list(first(transferId))).get(partNumber)).toBe(early.key.digest)
      expect(await store.find(early.key)).toBe(early.key.digest)
    }
    await one.removePart(early.key)
    expect((await one.list(first(transferId))).get(partNumber)).toBe(late.key.digest)
  }
})

test('of two contents that were stored at the same instant both portals choose the same one', async () => {
  const [one, other] = await twoPortals()
  const transferId = newTransferId()
  for (let partNumber = 1; partNumber <= 10; partNumber++) {
    const parts = [somePart(transferId, partNumber, 100), somePart(transferId, partNumber, 100)] as const
    await Promise.all([put(one, parts[0]), put(other, parts[1])])
    const chosen = (await one.list(first(transferId))).get(partNumber)
    expect(parts.map(({ key }) => key.digest)).toContain(chosen)
    expect((await other.list(first(transferId))).get(partNumber)).toBe(chosen)
  }
})

test('more parts than a page of a listing are all found, listed and removed, with few requests', async () => {
  const { counts, onRequest } = counting()
  const [one, other] = await twoPortals({ onRequest })
  const transferId = newTransferId()
  const parts = Array.from({ length: 1203 }, (_, index) => somePart(transferId, index + 1, 10))
  const again = somePart(transferId, 7, 10)
  await put(one, { key: { ...again.key, generation: 'second' }, bytes: again.bytes })
  for (let start = 0; start < parts.length; start += 50) {
    await Promise.all(parts.slice(start, start + 50).map((part) => put(one, part)))
  }
  const expected = parts.map(({ key }) => [key.partNumber, key.digest])

  counts.clear()
  for (const { key } of parts) expect(await other.find(key)).toBe(key.digest)
  // A receiver asks for one part after another, so a look-up reads the following parts, too: a thousand at a time, and at most once a
  // second. Parts that are asked for sooner are looked up one by one.
  expect(counts.get('list')).toBeLessThanOrEqual(parts.length - 1000 + 2)
  expect([...(await other.list(first(transferId)))].sort(([a], [b]) => a - b)).toEqual(expected)
  expect(await heldBy(other)).toEqual([
    { ...first(transferId), newestAtMs: expect.any(Number) },
    { transferId, generation: 'second', newestAtMs: expect.any(Number) },
  ])

  counts.clear()
  await other.removeParts(first(transferId))
  expect(counts).toEqual(
    new Map<RequestKind, number>([
      ['list', 2],
      ['delete', 2],
    ]),
  )
  expect((await one.list(first(transferId))).size).toBe(0)
  expect([...(await one.list({ transferId, generation: 'second' }))]).toEqual([[7, again.key.digest]])
  await one.remove(transferId)
  expect(await heldBy(other)).toEqual([])
})

test('a part costs one request in and one out, and a listing of a transfer one request each time', async () => {
  const { counts, onRequest } = counting()
  const [one, other] = await twoPortals({ onRequest })
  const transferId = newTransferId()
  const parts = Array.from({ length: 20 }, (_, index) => somePart(transferId, index + 1))
  counts.clear()
  const putAll = (some: typeof parts) =>
    Promise.all(
      some.map(async (part) => {
        expect(await one.findBeforePut(part.key)).toBeNull()
        await put(one, part)
      }),
    )
  await putAll(parts.slice(0, 5))
  await putAll(parts.slice(5))
  for (const { key } of parts) expect(await one.findBeforePut(key)).toBe(key.digest)
  expect(Object.fromEntries(counts)).toEqual({ list: 1, put: 20 })
  counts.clear()
  for (const { key } of parts) {
    expect(await other.find(key)).toBe(key.digest)
    await contentOf(other, key)
  }
  expect(Object.fromEntries(counts)).toEqual({ list: 1, get: 20 })
  counts.clear()
  await other.remove(transferId)
  expect(Object.fromEntries(counts)).toEqual({ list: 1, delete: 1 })
})

test('a link allows anyone to read the part until it expires, and nothing else', async () => {
  const [store] = await twoPortals()
  const part = somePart(newTransferId(), 1)
  await put(store, part)
  const link = await store.linkTo?.(part.key, { lifetimeMs: 60_000 })
  const short = await store.linkTo?.(part.key, { lifetimeMs: 1_000 })
  if (link === undefined || short === undefined) throw new Error('there are no links')
  const whole = await fetch(link)
  expect(Buffer.from(await whole.arrayBuffer()).equals(part.bytes)).toBe(true)
  const range = await fetch(link, { headers: { range: 'bytes=3-9' } })
  expect(range.status).toBe(206)
  expect((await fetch(link, { method: 'DELETE' })).status).toBe(403)
  expect((await fetch(link.replace('/1.', '/2.'))).status).toBe(403)
  await expect.poll(async () => (await fetch(short)).status, { timeout: 90_000, interval: 200 }).toBe(403)
})

test('a link contains the public address of the endpoint', async () => {
  const bucket = await testBucket()
  Object.assign(process.env, bucket.env)
  const network = await FaultyNetwork.open(() => bucket.endpoint)
  onTestFinished(() => network[Symbol.asyncDispose]())
  const store = await s3Store(parseS3Address(`${bucket.address}&publicEndpoint=${network.url}`))
  onTestFinished(() => store.close())
  const part = somePart(newTransferId(), 1)
  await put(store, part)
  expect(network.seen).toEqual([])
  const link = await store.linkTo?.(part.key, { lifetimeMs: 60_000 })
  const answer = await fetch(String(link))
  expect(Buffer.from(await answer.arrayBuffer()).equals(part.bytes)).toBe(true)
  expect(network.seen).toHaveLength(1)
})

test('S3 verifies a part under another digest algorithm, too', async () => {
  const [one, other] = await twoPortals()
  const { key, bytes } = somePart(newTransferId(), 1)
  const named = { ...key, digest: 'ab'.repeat(32) }
  const sink = await one.openPart(named, 'blake3')
  await sink.write([bytes])
  await sink.commit(named.digest)
  expect((await contentOf(other, named))?.equals(bytes)).toBe(true)
})
