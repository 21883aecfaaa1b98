import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  allParts,
  choosePartSizeBytes,
  missingParts,
  partCount,
  partSizeBytesDefault,
  partSizeBytesMax,
  partSpan,
  partsIn,
  partsPerTransferMax,
  transferSizeBytesMax,
} from '../../src/protocol/index.ts'
import '../suites/random.ts'

/** Files and part sizes of every magnitude, with a bounded number of parts. */
const layouts = fc
  .record({ partSizeBytes: fc.integer({ min: 1, max: partSizeBytesMax }), parts: fc.integer({ min: 0, max: 300 }) })
  .chain(({ partSizeBytes, parts }) =>
    fc.record({
      partSizeBytes: fc.constant(partSizeBytes),
      sizeBytes: fc.integer({ min: Math.max(0, (parts - 1) * partSizeBytes + 1), max: parts * partSizeBytes }),
    }),
  )

describe('the parts of a file', () => {
  test('cover it exactly, one after another, without a gap or an overlap', () => {
    fc.assert(
      fc.property(layouts, (layout) => {
        let reachedBytes = 0
        for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
          const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
          expect(offsetBytes).toBe(reachedBytes)
          expect(lengthBytes).toBeGreaterThan(0)
          expect(lengthBytes).toBeLessThanOrEqual(layout.partSizeBytes)
          reachedBytes += lengthBytes
        }
        expect(reachedBytes).toBe(layout.sizeBytes)
      }),
    )
  })

  test('are all of one size, but for the last', () => {
    const layout = { sizeBytes: 25, partSizeBytes: 10 }
    expect([1, 2, 3].map((partNumber) => partSpan(layout, partNumber))).toEqual([
      { offsetBytes: 0, lengthBytes: 10 },
      { offsetBytes: 10, lengthBytes: 10 },
      { offsetBytes: 20, lengthBytes: 5 },
    ])
  })

  test.each([0, 4, -1, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER])('number %d is not one of three', (partNumber) => {
    const span = () => partSpan({ sizeBytes: 25, partSizeBytes: 10 }, partNumber)
    expect(span).toThrow(expect.objectContaining({ code: 'part-unknown' }))
  })

  test('of an empty file: there are none', () => {
    const layout = { sizeBytes: 0, partSizeBytes: 10 }
    expect(partCount(layout)).toBe(0)
    expect(allParts(layout)).toEqual([])
    expect(missingParts(layout, new Set())).toEqual([])
    expect(() => partSpan(layout, 1)).toThrow(expect.objectContaining({ code: 'part-unknown' }))
  })
})

test('requested parts are found for any order of the ranges', () => {
  const ranges = fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 })), { maxLength: 20 })
  fc.assert(
    fc.property(ranges, (wanted) => {
      const parts = partsIn(wanted)
      for (let partNumber = 0; partNumber <= 61; partNumber++) {
        const isWanted = wanted.some(([first, last]) => first <= partNumber && partNumber <= last)
        expect(parts.has(partNumber), `${partNumber}`).toBe(isWanted)
      }
    }),
  )
})

describe('what is missing', () => {
  test('are named exactly, in as few ranges as possible', () => {
    fc.assert(
      fc.property(layouts, fc.uniqueArray(fc.integer({ min: 1, max: 300 })), (layout, numbers) => {
        const held = new Set(numbers)
        const ranges = missingParts(layout, held)
        const missing = partsIn(ranges)
        for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
          expect(missing.has(partNumber)).toBe(!held.has(partNumber))
        }
        expect(missing.has(0) || missing.has(partCount(layout) + 1)).toBe(false)
        let reached = -1
        for (const [first, last] of ranges) {
          expect(first, 'neighbours would be one range').toBeGreaterThan(reached + 1)
          expect(last).toBeGreaterThanOrEqual(first)
          reached = last
        }
      }),
    )
  })

  test('is everything when nothing is held, nothing when everything is', () => {
    const layout = { sizeBytes: 25, partSizeBytes: 10 }
    expect(missingParts(layout, new Set())).toEqual([[1, 3]])
    expect(allParts(layout)).toEqual([[1, 3]])
    expect(missingParts(layout, new Set([1, 2, 3]))).toEqual([])
    expect(missingParts(layout, new Set([2]))).toEqual([
      [1, 1],
      [3, 3],
    ])
  })
})

describe('the chosen part size', () => {
  test('keeps every allowed file within the maximum number of parts', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: transferSizeBytesMax }), (sizeBytes) => {
        const partSizeBytes = choosePartSizeBytes(sizeBytes)
        expect(partSizeBytes).toBeGreaterThanOrEqual(partSizeBytesDefault)
        expect(partSizeBytes).toBeLessThanOrEqual(partSizeBytesMax)
        expect(partCount({ sizeBytes, partSizeBytes })).toBeLessThanOrEqual(partsPerTransferMax)
      }),
    )
    expect(partCount({ sizeBytes: transferSizeBytesMax, partSizeBytes: partSizeBytesMax })).toBeLessThanOrEqual(
      partsPerTransferMax,
    )
  })

  test('is the requested one where that is possible', () => {
    expect(choosePartSizeBytes(1000)).toBe(partSizeBytesDefault)
    expect(choosePartSizeBytes(1000, 65_536)).toBe(65_536)
    expect(choosePartSizeBytes(65_536 * partsPerTransferMax + 1, 65_536)).toBe(131_072)
  })
})
