/** The cache of listings is bounded, and never remembers that a part is missing. */
import { expect, test } from 'vitest'
import { Listings } from '../../src/portal/store/s3/listings.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { first } from '../suites/store.ts'

const digest = 'ab'.repeat(32)

test('the least recently used transfer is evicted first, as a whole', () => {
  const listings = new Listings()
  const transferIds = Array.from({ length: 30 }, newTransferId)
  for (const transferId of transferIds) {
    for (let partNumber = 1; partNumber <= 10_000; partNumber++)
      listings.add({ ...first(transferId), partNumber, digest })
    // The first transfer is used all the time.
    expect(listings.startLookUp(first(String(transferIds[0])))).toBeTypeOf('boolean')
  }
  const remembered = transferIds.filter((id) => listings.recall({ ...first(id), partNumber: 1 }) !== null)
  expect(remembered).toContain(transferIds[0])
  expect(remembered).toContain(transferIds.at(-1))
  expect(remembered.length).toBeGreaterThan(5)
  expect(remembered.length).toBeLessThan(15)
})

test('of a transfer with more parts than fit some are cached, and later ones are cached again', () => {
  const listings = new Listings()
  const [large, next] = [newTransferId(), newTransferId()]
  const held = new Map(Array.from({ length: 150_000 }, (_, index) => [index + 1, digest]))
  listings.replace(first(large), held, 0)
  expect(listings.isListed(first(large))).toBe(false)
  expect(listings.find({ ...first(large), partNumber: 1 })).toBe(digest)
  expect(listings.find({ ...first(large), partNumber: 150_000 })).toBeNull()
  listings.add({ ...first(next), partNumber: 1, digest })
  expect(listings.find({ ...first(next), partNumber: 1 })).toBe(digest)
  expect(listings.find({ ...first(large), partNumber: 1 })).toBeNull()
})

test('a part that was put during a listing is cached even if the listing lacks it; older entries follow the listing', () => {
  const listings = new Listings()
  const parts = first(newTransferId())
  listings.add({ ...parts, partNumber: 1, digest })
  const startedAtMs = performance.now()
  listings.add({ ...parts, partNumber: 2, digest })
  expect(listings.isListed(parts)).toBe(false)
  listings.replace(parts, new Map([[3, digest]]), startedAtMs)
  expect(listings.isListed(parts)).toBe(true)
  expect([1, 2, 3].map((partNumber) => listings.recall({ ...parts, partNumber }))).toEqual([null, digest, digest])
})

test('generations are kept apart, and can be removed one by one or all at once', () => {
  const listings = new Listings()
  const transferId = newTransferId()
  const places = ['', 'second', 'third'].map((generation) => ({ transferId, generation, partNumber: 1 }))
  for (const place of places) listings.add({ ...place, digest })
  const found = () => places.map((place) => listings.find(place) !== null)
  listings.removeParts({ transferId, generation: 'second' })
  expect(found()).toEqual([true, false, true])
  listings.remove({ transferId, generation: '', partNumber: 1, digest: 'other' })
  expect(found()).toEqual([true, false, true])
  listings.remove({ transferId, generation: '', partNumber: 1, digest })
  expect(found()).toEqual([false, false, true])
  listings.removeTransfer(transferId)
  expect(found()).toEqual([false, false, false])
})
