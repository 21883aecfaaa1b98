/**
 * The suite for every store: the obligations of `src/portal/store/contract.ts`. A driver passes all of them; none may be
 * skipped.
 */
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import type { PartKey, PartsKey, Store } from '../../src/portal/store/contract.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { randomBytes, randomInt } from './random.ts'

export interface StoreUnderTest {
  readonly store: Store
  cleanUp(): Promise<void>
}

/** The first generation of a transfer's parts. */
export function first(transferId: string): PartsKey {
  return { transferId, generation: '' }
}

/** A part with a content of its own. */
export function somePart(transferId: string, partNumber: number, byteCount = 1 + randomInt(100_000)) {
  const bytes = randomBytes(byteCount)
  return { key: { ...first(transferId), partNumber, digest: digestOf('sha-256', bytes) }, bytes }
}

/** Puts a part into a store, with several writes of several buffers each. */
export async function put(store: Store, { key, bytes }: { key: PartKey; bytes: Uint8Array }): Promise<void> {
  const sink = await store.openPart(key)
  const third = Math.ceil(bytes.length / 3)
  // Copies, because the store owns the written buffers.
  const copies = [bytes.subarray(0, third), bytes.subarray(third, 2 * third), bytes.subarray(2 * third)].map((one) =>
    Uint8Array.from(one),
  )
  await sink.write(copies.slice(0, 2))
  await sink.write(copies.slice(2))
  await sink.commit(key.digest)
}

async function contentOf(store: Store, key: PartKey, range?: { startByte: number; endByte: number }) {
  const content = await store.read(key, range)
  if (content === null) return null
  const bytes = await buffer(content.stream)
  expect(content.lengthBytes).toBe(bytes.length)
  return bytes
}

async function idsOf(store: Store): Promise<string[]> {
  const ids: string[] = []
  for await (const { transferId } of store.held()) ids.push(transferId)
  return ids.sort()
}

/** Runs the suite over one driver. @param make makes an empty store */
export function testStore(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`store: ${name}`, () => {
    let store: Store
    let cleanUp: () => Promise<void>
    let transferId: string
    beforeEach(async () => {
      const made = await make()
      store = made.store
      cleanUp = () => made.cleanUp()
      transferId = newTransferId()
    })
    afterEach(() => cleanUp())

    test('a committed part is found, listed and read as it was written', async () => {
      const part = somePart(transferId, 1)
      await put(store, part)
      expect(await store.find({ ...first(transferId), partNumber: 1 })).toBe(part.key.digest)
      expect(await store.findBeforePut({ ...first(transferId), partNumber: 1 })).toBe(part.key.digest)
      expect([...(await store.list(first(transferId)))]).toEqual([[1, part.key.digest]])
      expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)
    })

    test('a part of a single byte, and one larger than any buffer, are returned complete', async () => {
      const parts = [somePart(transferId, 1, 1), somePart(transferId, 2, 3 * 1024 * 1024 + 17)]
      for (const part of parts) {
        await put(store, part)
        expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)
      }
    })

    test('many buffers in one write are all there, in order', async () => {
      const part = somePart(transferId, 1, 5000)
      const sink = await store.openPart(part.key)
      await sink.write(Array.from({ length: 2500 }, (_, index) => part.bytes.subarray(2 * index, 2 * index + 2)))
      await sink.commit(part.key.digest)
      expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)
    })

    test('parts may come in any order and side by side', async () => {
      const parts = [10_000, 3, 1, 2, 77].map((partNumber) => somePart(transferId, partNumber))
      await Promise.all(parts.map((part) => put(store, part)))
      const listed = [...(await store.list(first(transferId)))].sort(([one], [other]) => one - other)
      expect(listed).toEqual(
        parts.map(({ key }): [number, string] => [key.partNumber, key.digest]).sort(([one], [other]) => one - other),
      )
    })

    test('missing parts are null or empty, not an error', async () => {
      const { key } = somePart(transferId, 1)
      expect(await store.find({ ...first(transferId), partNumber: 1 })).toBeNull()
      expect(await store.findBeforePut({ ...first(transferId), partNumber: 1 })).toBeNull()
      expect([...(await store.list(first(transferId)))]).toEqual([])
      expect(await store.read(key)).toBeNull()
      await put(store, { key, bytes: randomBytes(10) })
      expect(await store.find({ ...first(transferId), partNumber: 2 })).toBeNull()
      expect(await store.read({ ...key, partNumber: 2 })).toBeNull()
      expect(await store.read({ ...key, digest: '00'.repeat(32) })).toBeNull()
    })

    test('a part is invisible until it is committed', async () => {
      const { key, bytes } = somePart(transferId, 1)
      const sink = await store.openPart(key)
      await sink.write([Uint8Array.from(bytes)])
      expect(await store.find({ ...first(transferId), partNumber: 1 })).toBeNull()
      expect([...(await store.list(first(transferId)))]).toEqual([])
      expect(await store.read(key)).toBeNull()
      await sink.commit(key.digest)
      expect(await store.find({ ...first(transferId), partNumber: 1 })).toBe(key.digest)
    })

    test('a part that was discarded leaves nothing', async () => {
      const { key, bytes } = somePart(transferId, 1)
      const sink = await store.openPart(key)
      await sink.write([Uint8Array.from(bytes)])
      await sink.discard()
      expect([...(await store.list(first(transferId)))]).toEqual([])
      expect(await store.read(key)).toBeNull()
    })

    test('discarding one try leaves the part that another one committed', async () => {
      const part = somePart(transferId, 1)
      const abandoned = await store.openPart(part.key)
      await abandoned.write([part.bytes.subarray(0, 1)])
      await put(store, part)
      await abandoned.discard()
      expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)
    })

    test('of two tries at the same part the content is that of one, complete', async () => {
      const part = somePart(transferId, 1)
      await Promise.all([put(store, part), put(store, part), put(store, part)])
      expect([...(await store.list(first(transferId)))]).toEqual([[1, part.key.digest]])
      expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)
    })

    test('what turned out to be only the beginning of a part can be kept at another place', async () => {
      const part = somePart(transferId, 3)
      const generation = 'tail1'
      const sink = await store.openPart(part.key)
      await sink.write([Uint8Array.from(part.bytes)])
      const place = { transferId, generation, partNumber: 3 }
      await sink.commitAs(place, part.key.digest)
      await store.seal({ transferId, generation })
      expect([...(await store.list(first(transferId)))]).toEqual([])
      expect([...(await store.list(place))]).toEqual([[3, part.key.digest]])
      expect(part.bytes.equals((await contentOf(store, { ...part.key, generation })) ?? Buffer.alloc(0))).toBe(true)
      await put(store, part)
      expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)
      await store.removeParts(place)
      expect([...(await store.list(place))]).toEqual([])
      expect(await store.find({ ...first(transferId), partNumber: 3 })).toBe(part.key.digest)
    })

    test('a part moves to another generation of its transfer, once, and replaces nothing there', async () => {
      const [part, other] = [somePart(transferId, 3), somePart(transferId, 3)]
      const generation = 'waiting1'
      const waiting = { ...part.key, generation }
      await put(store, { ...part, key: waiting })
      await store.movePart(waiting, '')
      await store.seal(first(transferId))
      await store.movePart(waiting, '')
      await store.removeParts(waiting)
      expect([...(await store.list(waiting))]).toEqual([])
      expect([...(await store.list(first(transferId)))]).toEqual([[3, part.key.digest]])
      expect(await store.find(part.key)).toBe(part.key.digest)
      expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)

      const late = { ...other.key, generation }
      await put(store, { ...other, key: late })
      await expect(store.movePart(late, '')).rejects.toMatchObject({ code: 'part-conflict' })
      expect(await store.find(part.key)).toBe(part.key.digest)
      const missing = { ...late, partNumber: 4 }
      await expect(store.movePart(missing, '')).rejects.toMatchObject({ code: 'part-incomplete' })
      expect(await store.find({ ...first(transferId), partNumber: 4 })).toBeNull()
    })

    test('a held part is never replaced by other content', async () => {
      const [held, late] = [somePart(transferId, 1), somePart(transferId, 1)]
      await put(store, held)
      const sink = await store.openPart(late.key)
      await sink.write([late.bytes])
      await expect(sink.commit(late.key.digest)).rejects.toMatchObject({ code: 'part-conflict' })
      await sink.discard()
      expect([...(await store.list(first(transferId)))]).toEqual([[1, held.key.digest]])
      expect(await store.read(late.key)).toBeNull()
      expect(held.bytes.equals((await contentOf(store, held.key)) ?? Buffer.alloc(0))).toBe(true)
    })

    test('of different concurrent contents for one part exactly one is held', async () => {
      for (let partNumber = 1; partNumber <= 20; partNumber++) {
        const versions = [1, 2, 3, 4, 5].map(() => somePart(transferId, partNumber, 100))
        const outcomes = await Promise.all(
          versions.map(async ({ key, bytes }) => {
            const sink = await store.openPart(key)
            await sink.write([Uint8Array.from(bytes)])
            return sink.commit(key.digest).then(
              () => key.digest,
              async (refusal: unknown) => {
                expect(refusal).toMatchObject({ code: 'part-conflict' })
                await sink.discard()
                return null
              },
            )
          }),
        )
        const committed = outcomes.filter((digest) => digest !== null)
        expect(committed).toHaveLength(1)
        expect(await store.find({ ...first(transferId), partNumber: partNumber })).toBe(committed[0])
        for (const { key, bytes } of versions) {
          const read = await contentOf(store, key)
          if (key.digest === committed[0]) expect(read?.equals(bytes)).toBe(true)
          else expect(read).toBeNull()
        }
      }
    })

    test('a range of a part is read from its first to its last byte, both included', async () => {
      const { key, bytes } = somePart(transferId, 1, 1000)
      await put(store, { key, bytes })
      const ranges = [
        [0, 0],
        [0, 999],
        [999, 999],
        [10, 19],
      ] as const
      for (const [startByte, endByte] of ranges) {
        const read = await contentOf(store, key, { startByte, endByte })
        expect(read?.equals(bytes.subarray(startByte, endByte + 1)), `${startByte}-${endByte}`).toBe(true)
      }
    })

    test('a reader that leaves early affects nothing else', async () => {
      const part = somePart(transferId, 1, 3 * 1024 * 1024)
      await put(store, part)
      const content = await store.read(part.key)
      content?.stream.destroy()
      expect(part.bytes.equals((await contentOf(store, part.key)) ?? Buffer.alloc(0))).toBe(true)
    })

    test('several readers of one part each get all of it', async () => {
      const part = somePart(transferId, 1, 1024 * 1024)
      await put(store, part)
      const read = await Promise.all([contentOf(store, part.key), contentOf(store, part.key)])
      for (const bytes of read) expect(part.bytes.equals(bytes ?? Buffer.alloc(0))).toBe(true)
    })

    test('a removed part is gone, the others stay, and removing it again succeeds', async () => {
      const [gone, stays] = [somePart(transferId, 1), somePart(transferId, 2)]
      await put(store, gone)
      await put(store, stays)
      await store.removePart(gone.key)
      await store.removePart(gone.key)
      expect(await store.find({ ...first(transferId), partNumber: 1 })).toBeNull()
      expect(await store.read(gone.key)).toBeNull()
      expect([...(await store.list(first(transferId)))]).toEqual([[2, stays.key.digest]])
    })

    test('removing a part under another digest leaves the one that is held', async () => {
      const [held, other] = [somePart(transferId, 1), somePart(transferId, 1)]
      await put(store, held)
      await store.removePart(other.key)
      expect(await store.find({ ...first(transferId), partNumber: 1 })).toBe(held.key.digest)
      expect(await contentOf(store, held.key)).not.toBeNull()
    })

    test('a part that was removed can be put again, with the same content or other', async () => {
      const [part, other] = [somePart(transferId, 1), somePart(transferId, 1)]
      for (const next of [part, part, other]) {
        await put(store, next)
        expect(await store.find({ ...first(transferId), partNumber: 1 })).toBe(next.key.digest)
        await store.removePart(next.key)
      }
    })

    test('a returned list does not change afterwards', async () => {
      await put(store, somePart(transferId, 1))
      const before = await store.list(first(transferId))
      await put(store, somePart(transferId, 2))
      await store.remove(transferId)
      expect([...before.keys()]).toEqual([1])
    })

    test('removing a transfer removes all of it and nothing else, and succeeds again', async () => {
      const [mine, other] = [somePart(transferId, 1), somePart(newTransferId(), 1)]
      await put(store, mine)
      await put(store, somePart(transferId, 2))
      await put(store, other)
      await store.remove(transferId)
      await store.remove(transferId)
      await store.remove(newTransferId())
      expect([...(await store.list(first(transferId)))]).toEqual([])
      expect(await store.read(mine.key)).toBeNull()
      expect(await idsOf(store)).toEqual([other.key.transferId])
      expect(await store.find({ ...first(other.key.transferId), partNumber: 1 })).toBe(other.key.digest)
    })

    test('it is unbound until a ledger claims it; the claim is not listed as a part', async () => {
      expect(await store.owner()).toBeNull()
      await store.claim('one', { isOnlyFirst: true })
      expect(await store.owner()).toBe('one')
      await store.claim('another', { isOnlyFirst: true })
      expect(await store.owner()).toBe('one')
      await store.claim('another', { isOnlyFirst: false })
      expect(await store.owner()).toBe('another')
      expect(await idsOf(store)).toEqual([])
      await put(store, somePart(transferId, 1))
      expect(await store.owner()).toBe('another')
    })

    test('parts of different generations are independent, under the same number too', async () => {
      const old = somePart(transferId, 1)
      const [fresh, further] = [1, 2].map((partNumber) => {
        const part = somePart(transferId, partNumber)
        return { ...part, key: { ...part.key, generation: '2' } }
      })
      if (fresh === undefined || further === undefined) throw new Error('two were made')
      for (const part of [old, fresh, further]) await put(store, part)
      expect([...(await store.list(first(transferId)))]).toEqual([[1, old.key.digest]])
      expect(new Map(await store.list(fresh.key))).toEqual(
        new Map([
          [1, fresh.key.digest],
          [2, further.key.digest],
        ]),
      )
      expect(await store.find(old.key)).toBe(old.key.digest)
      expect(await store.find(fresh.key)).toBe(fresh.key.digest)
      expect(await store.read({ ...old.key, generation: '2' })).toBeNull()
      expect((await contentOf(store, fresh.key))?.equals(fresh.bytes)).toBe(true)
      expect((await contentOf(store, old.key))?.equals(old.bytes)).toBe(true)
      await store.seal(fresh.key)
    })

    test.each(['', '2'])('removing generation "%s" leaves the other one, and succeeds again', async (generation) => {
      const other = generation === '' ? '2' : ''
      const parts = [generation, other].map((one) => {
        const part = somePart(transferId, 1)
        return { ...part, key: { ...part.key, generation: one } }
      })
      for (const part of parts) await put(store, part)
      await store.removeParts({ transferId, generation })
      await store.removeParts({ transferId, generation })
      expect(await store.find({ transferId, generation, partNumber: 1 })).toBeNull()
      expect([...(await store.list({ transferId, generation }))]).toEqual([])
      expect(await store.find({ transferId, generation: other, partNumber: 1 })).toBe(parts[1]?.key.digest)
      const left: PartsKey[] = []
      for await (const held of store.held()) left.push({ transferId: held.transferId, generation: held.generation })
      expect(left).toEqual([{ transferId, generation: other }])
    })

    test('removing a transfer removes every generation of it', async () => {
      const parts = ['', '2', 'a7f3'].map((generation) => {
        const part = somePart(transferId, 1)
        return { ...part, key: { ...part.key, generation } }
      })
      for (const part of parts) await put(store, part)
      await store.remove(transferId)
      for (const { key } of parts) {
        expect(await store.find(key)).toBeNull()
        expect(await store.read(key)).toBeNull()
      }
      expect(await idsOf(store)).toEqual([])
    })

    test('the age of a transfer is that of its newest part', async () => {
      await put(store, somePart(transferId, 1))
      for await (const { newestAtMs } of store.held()) expect(Math.abs(newestAtMs - Date.now())).toBeLessThan(60_000)
    })

    test('every transfer with a part is listed', async () => {
      expect(await idsOf(store)).toEqual([])
      const ids = Array.from({ length: 5 }, newTransferId)
      for (const id of ids) await put(store, somePart(id, 1))
      expect(await idsOf(store)).toEqual(ids.sort())
    })

    test('sealing succeeds with parts, repeatedly, and for a transfer of an empty file', async () => {
      const part = somePart(transferId, 1)
      await put(store, part)
      await store.seal(first(transferId))
      await store.seal(first(transferId))
      await store.seal(first(newTransferId()))
      expect(await store.find({ ...first(transferId), partNumber: 1 })).toBe(part.key.digest)
    })

    test('the free space is a number of bytes, or unknown', async () => {
      const freeBytes = await store.freeBytes()
      if (freeBytes !== null) expect(freeBytes).toBeGreaterThanOrEqual(0)
    })
  })
}
