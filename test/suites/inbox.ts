/** The suite for every inbox and its incoming files. */
import { createHash, randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { newTransferId, partCount, partSpan } from '../../src/protocol/index.ts'
import type { PartialLayout, Published } from '../../src/receiver/index.ts'
import { sealPart } from '../../src/trust/index.ts'
import type { InboxUnderTest, PlainPart } from './inbox-calls.ts'

const DAY_MS = 86_400_000
const PART_BYTES = 300_000
const LAYOUT: PartialLayout = { sizeBytes: 3 * PART_BYTES - 1, partSizeBytes: PART_BYTES, digestAlgorithm: 'sha-256' }
const manifestDigest = 'ab'.repeat(32)

interface Content {
  readonly transferId: string
  readonly layout: PartialLayout
  readonly bytes: Uint8Array
  readonly parts: readonly PlainPart[]
}

async function newContent(layout: PartialLayout = LAYOUT, isSealed = false, atMs?: number): Promise<Content> {
  const transferId = newTransferId(atMs)
  const bytes = randomBytes(layout.sizeBytes)
  const partKey = isSealed ? randomBytes(32) : null
  const { digestAlgorithm } = layout
  const parts: PlainPart[] = []
  for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
    const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
    const plain = bytes.subarray(offsetBytes, offsetBytes + lengthBytes)
    const position = { transferId, partNumber, isLast: partNumber === partCount(layout) }
    const travels = partKey === null ? plain : await sealPart(partKey, position, plain)
    const seal = partKey === null ? null : { partKey: new Uint8Array(partKey), position }
    const digest = digestOf(digestAlgorithm, travels)
    parts.push({
      partNumber,
      digestAlgorithm,
      digest,
      lengthBytes: travels.length,
      seal,
      bytes: new Uint8Array(travels),
    })
  }
  return { transferId, layout, bytes, parts }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export function testInbox(name: string, openInbox: () => Promise<InboxUnderTest>): void {
  describe(`inbox: ${name}`, () => {
    let inbox: InboxUnderTest
    beforeEach(async () => {
      inbox = await openInbox()
    })

    const part = ({ parts }: Content, partNumber: number): PlainPart => {
      const found = parts[partNumber - 1]
      if (found === undefined) throw new Error('no such part')
      return found
    }
    const takeAll = async (content: Content): Promise<void> => {
      await inbox.open(content.transferId, content.layout)
      for (const one of content.parts) expect(await inbox.take(content.transferId, one)).toBeNull()
    }
    const deliver = async (content: Content, fileName: string): Promise<Published> => {
      await takeAll(content)
      return inbox.commit(content.transferId, fileName, manifestDigest)
    }

    test('a received transfer is remembered until both clocks and a newer transfer say that it is old', async () => {
      const nowMs = Date.UTC(2026, 5, 15)
      const [right, ahead] = [nowMs, nowMs + 200 * DAY_MS]
      const rememberedMs = nowMs - 90 * DAY_MS
      expect(await inbox.tidy({ ownMs: ahead, portalMs: right })).toBe(rememberedMs)
      const content = await newContent(LAYOUT, false, nowMs)
      await deliver(content, 'a.txt')
      await inbox.answered(content.transferId)
      for (const clocks of [
        { ownMs: ahead, portalMs: right },
        { ownMs: right, portalMs: ahead },
        { ownMs: ahead, portalMs: null },
        // Both clocks are not enough: no newer transfer has come.
        { ownMs: ahead, portalMs: ahead },
      ]) {
        await inbox.restart()
        expect(await inbox.tidy(clocks)).toBe(rememberedMs)
        expect(await inbox.published(content.transferId)).toMatchObject({ manifestDigest })
      }
      const newer = await newContent(LAYOUT, false, ahead)
      await deliver(newer, 'b.txt')
      await inbox.answered(newer.transferId)
      await inbox.restart()
      expect(await inbox.tidy({ ownMs: ahead, portalMs: right })).toBe(rememberedMs)
      expect(await inbox.published(content.transferId)).toMatchObject({ manifestDigest })
      const sinceMs = await inbox.tidy({ ownMs: ahead, portalMs: ahead })
      expect(sinceMs).toBeGreaterThan(nowMs + 2 * 31 * DAY_MS)
      expect(sinceMs).toBeLessThanOrEqual(ahead - 90 * DAY_MS)
      // A transfer that may have been forgotten is refused, whatever the clocks say later.
      await inbox.restart()
      expect(await inbox.tidy({ ownMs: right, portalMs: right })).toBe(sinceMs)
      expect(await inbox.published(newer.transferId)).toMatchObject({ manifestDigest })
    })

    test.each([
      { what: 'plain, sha-256', isSealed: false, digestAlgorithm: 'sha-256' as const },
      { what: 'sealed, sha-256', isSealed: true, digestAlgorithm: 'sha-256' as const },
      { what: 'sealed, blake3', isSealed: true, digestAlgorithm: 'blake3' as const },
    ])('received parts are kept, also after a crash ($what)', async ({ isSealed, digestAlgorithm }) => {
      const content = await newContent({ ...LAYOUT, digestAlgorithm }, isSealed)
      const { transferId, layout, bytes } = content
      expect(await inbox.hasBegun(transferId)).toBe(false)
      expect(await inbox.open(transferId, layout)).toEqual({ held: [], heldBytes: 0 })
      for (const number of [3, 1]) expect(await inbox.take(transferId, part(content, number))).toBeNull()
      await inbox.restart()
      expect(await inbox.hasBegun(transferId)).toBe(true)
      const found = await inbox.open(transferId, layout)
      expect(new Map(found.held)).toEqual(new Map([1, 3].map((number) => [number, part(content, number).digest])))
      expect(found.heldBytes).toBe(2 * PART_BYTES - 1)
      expect(await inbox.take(transferId, part(content, 2))).toBeNull()
      expect((await inbox.look(transferId)).heldBytes).toBe(layout.sizeBytes)
      const spans = [1, 2, 3].map((number) => partSpan(layout, number))
      expect(await inbox.contentDigests(transferId)).toEqual(
        spans.map(({ offsetBytes, lengthBytes }) =>
          digestOf(digestAlgorithm, bytes.subarray(offsetBytes, offsetBytes + lengthBytes)),
        ),
      )
      const { name } = await inbox.commit(transferId, 'a.bin', manifestDigest)
      expect(name).toBe('a.bin')
      expect(await inbox.contentOf(transferId, name)).toBe(sha256(bytes))
    })

    test('a part with the wrong content is not kept', async () => {
      const content = await newContent(LAYOUT, true)
      const { transferId, layout } = content
      const good = part(content, 1)
      const flipped = new Uint8Array(good.bytes)
      flipped[1000] = (flipped[1000] ?? 0) ^ 1
      const spoiled = { ...good, bytes: flipped }
      await inbox.open(transferId, layout)
      expect(await inbox.take(transferId, spoiled)).toBe('digest-mismatching-value')
      // An attacker who controls the portal sends a matching digest, but has no key to seal the part with.
      expect(await inbox.take(transferId, { ...spoiled, digest: digestOf('sha-256', flipped) })).toBe('seal-broken')
      expect(await inbox.take(transferId, { ...good, bytes: good.bytes.subarray(1) })).toBe('part-incomplete')
      expect(await inbox.take(transferId, { ...good, bytes: new Uint8Array([...good.bytes, 0]) })).toBe(
        'part-incomplete',
      )
      expect(await inbox.take(transferId, { ...good, bytes: good.bytes.subarray(1), isStalling: true })).toBe(
        'part-incomplete',
      )
      expect(await inbox.look(transferId)).toEqual({ held: [], heldBytes: 0 })
      expect(await inbox.take(transferId, good)).toBeNull()
      await inbox.restart()
      expect((await inbox.open(transferId, layout)).held).toEqual([[1, good.digest]])
    })

    test('a part that was damaged on the disk is detected, and does not count', async () => {
      const content = await newContent()
      const { transferId, layout } = content
      await takeAll(content)
      await inbox.restart()
      await inbox.spoil(transferId, PART_BYTES + 7)
      const { held } = await inbox.open(transferId, layout)
      expect(held.map(([partNumber]) => partNumber).sort()).toEqual([1, 3])
    })

    test('parts of other sizes do not count', async () => {
      const content = await newContent()
      await takeAll(content)
      await inbox.restart()
      const other = { ...content.layout, partSizeBytes: PART_BYTES + 1 }
      expect(await inbox.open(content.transferId, other)).toEqual({ held: [], heldBytes: 0 })
    })

    const unsized: PartialLayout = { ...LAYOUT, sizeBytes: 10_000 * PART_BYTES, isSizeKnown: false }

    test('the full parts of a stream count after a crash, and it is published in its true size', async () => {
      const content = await newContent(LAYOUT, true)
      const { transferId, bytes, layout } = content
      await inbox.open(transferId, unsized)
      for (const one of content.parts) expect(await inbox.take(transferId, one)).toBeNull()
      expect((await inbox.look(transferId)).heldBytes).toBe(layout.sizeBytes)
      await inbox.restart()
      expect(await inbox.open(transferId, unsized)).toMatchObject({ heldBytes: 2 * PART_BYTES })
      expect(await inbox.take(transferId, part(content, 3))).toBeNull()
      await inbox.sized(transferId, layout.sizeBytes)
      expect((await inbox.look(transferId)).heldBytes).toBe(layout.sizeBytes)
      // The next run knows its size from the start.
      await inbox.restart()
      expect(await inbox.open(transferId, layout)).toMatchObject({ heldBytes: layout.sizeBytes })
      expect(await inbox.contentDigests(transferId)).toHaveLength(3)
      const { name } = await inbox.commit(transferId, 'dump.sql', manifestDigest)
      expect(await inbox.contentOf(transferId, name)).toBe(sha256(bytes))
    })

    test('a stream that ended while the receiver was away keeps its parts; one that ends earlier than they say, only those', async () => {
      const content = await newContent()
      const { transferId, layout, bytes } = content
      await inbox.open(transferId, unsized)
      for (const number of [1, 2]) expect(await inbox.take(transferId, part(content, number))).toBeNull()
      await inbox.restart()
      expect((await inbox.open(transferId, layout)).held).toHaveLength(2)
      await inbox.restart()
      const shorter = { ...layout, sizeBytes: PART_BYTES }
      const other = await newContent(shorter)
      await inbox.open(other.transferId, unsized)
      expect(await inbox.take(other.transferId, part(other, 1))).toBeNull()
      expect(await inbox.take(other.transferId, part(content, 2))).toBeNull()
      await inbox.sized(other.transferId, shorter.sizeBytes)
      expect(await inbox.look(other.transferId)).toMatchObject({ heldBytes: PART_BYTES })
      await inbox.restart()
      expect((await inbox.open(other.transferId, shorter)).held).toHaveLength(1)
      const { name } = await inbox.commit(other.transferId, 'dump.sql', manifestDigest)
      expect(await inbox.contentOf(other.transferId, name)).toBe(sha256(other.bytes))
      await inbox.open(transferId, layout)
      expect(await inbox.take(transferId, part(content, 3))).toBeNull()
      await inbox.commit(transferId, 'other.sql', manifestDigest)
      expect(await inbox.contentOf(transferId, 'other.sql')).toBe(sha256(bytes))
    })

    test('a file whose size was known does not become a stream', async () => {
      const content = await newContent()
      await takeAll(content)
      await inbox.restart()
      expect((await inbox.open(content.transferId, unsized)).held).toEqual([])
    })

    test('after starting over no part is held, and the file can still be completed', async () => {
      const content = await newContent()
      const { transferId, layout, bytes } = content
      await takeAll(content)
      await inbox.startOver(transferId)
      expect(await inbox.look(transferId)).toEqual({ held: [], heldBytes: 0 })
      await inbox.restart()
      expect((await inbox.open(transferId, layout)).held).toEqual([])
      expect((await deliver(content, 'a.bin')).name).toBe('a.bin')
      expect(await inbox.contentOf(transferId, 'a.bin')).toBe(sha256(bytes))
    })

    test('a file is published once, and remembered', async () => {
      const content = await newContent()
      const { transferId, bytes } = content
      expect(await inbox.published(transferId)).toBeNull()
      await takeAll(content)
      expect(await inbox.published(transferId)).toBeNull()
      const published = await inbox.commit(transferId, 'a.bin', manifestDigest)
      expect(published).toEqual({ name: 'a.bin', manifestDigest, receipt: null })
      await inbox.restart()
      expect(await inbox.unfinished()).toEqual([transferId])
      expect(await inbox.published(transferId)).toEqual(published)
      await inbox.answered(transferId)
      await inbox.restart()
      expect(await inbox.unfinished()).toEqual([])
      expect(await inbox.published(transferId)).toMatchObject(published)
      expect(await inbox.contentOf(transferId, 'a.bin')).toBe(sha256(bytes))
    })

    test('files of one name are kept apart, also when they arrive at the same time', async () => {
      const contents = await Promise.all(Array.from({ length: 4 }, () => newContent()))
      for (const content of contents) await takeAll(content)
      const published = await Promise.all(
        contents.map(({ transferId }) => inbox.commit(transferId, 'a.bin', manifestDigest)),
      )
      expect(published.map(({ name }) => name).sort()).toEqual(['a (1).bin', 'a (2).bin', 'a (3).bin', 'a.bin'])
      for (const [index, { name }] of published.entries()) {
        const content = contents[index]
        expect(await inbox.contentOf(content?.transferId ?? '', name)).toBe(sha256(content?.bytes ?? new Uint8Array()))
      }
    })

    test('an empty file is a file, too', async () => {
      const content = await newContent({ ...LAYOUT, sizeBytes: 0 })
      expect((await deliver(content, 'empty')).name).toBe('empty')
      expect(await inbox.contentOf(content.transferId, 'empty')).toBe(sha256(new Uint8Array()))
    })

    test('a discarded file is removed, and a published one stays', async () => {
      const [open, done] = [await newContent(), await newContent()]
      await takeAll(open)
      await deliver(done, 'a.bin')
      await inbox.restart()
      await inbox.discard(open.transferId)
      await inbox.discard(done.transferId)
      expect(await inbox.hasBegun(open.transferId)).toBe(false)
      expect(await inbox.unfinished()).toEqual([])
      expect((await inbox.open(open.transferId, open.layout)).held).toEqual([])
      expect(await inbox.contentOf(done.transferId, 'a.bin')).toBe(sha256(done.bytes))
      expect(await inbox.published(done.transferId)).toMatchObject({ name: 'a.bin' })
    })
  })
}
