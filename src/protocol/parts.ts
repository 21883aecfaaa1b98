/**
 * How a file is cut into parts: all of `partSizeBytes`, the last one of what remains. Part numbers start at 1.
 * An empty file has no part at all. Sizes are those of what travels.
 */
import { Problem } from './problems.ts'

/** What decides the parts of a transfer. */
export interface PartLayout {
  readonly sizeBytes: number
  readonly partSizeBytes: number
}

/** An inclusive run of part numbers. */
export type PartRange = readonly [first: number, last: number]

/** How many parts there are; 0 for an empty file. */
export function partCount({ sizeBytes, partSizeBytes }: PartLayout): number {
  return Math.ceil(sizeBytes / partSizeBytes)
}

/** Where a part begins, and how long it is, in bytes. @throws Problem `part-unknown` */
export function partSpan(layout: PartLayout, partNumber: number): { offsetBytes: number; lengthBytes: number } {
  const count = partCount(layout)
  if (!Number.isSafeInteger(partNumber) || partNumber < 1 || partNumber > count) {
    throw new Problem('part-unknown', { partNumber, partCount: count })
  }
  const offsetBytes = (partNumber - 1) * layout.partSizeBytes
  return { offsetBytes, lengthBytes: Math.min(layout.partSizeBytes, layout.sizeBytes - offsetBytes) }
}

/** All part numbers of a layout, as ranges: what is wanted when everything is. */
export function allParts(layout: PartLayout): PartRange[] {
  const count = partCount(layout)
  return count === 0 ? [] : [[1, count]]
}

/** The part numbers that `held` lacks, as ranges in ascending order. */
export function missingParts(layout: PartLayout, held: { has(partNumber: number): boolean }): PartRange[] {
  const ranges: [number, number][] = []
  const count = partCount(layout)
  for (let partNumber = 1; partNumber <= count; partNumber++) {
    if (held.has(partNumber)) continue
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === partNumber - 1) last[1] = partNumber
    else ranges.push([partNumber, partNumber])
  }
  return ranges
}

/** Whether a part number lies in one of the ranges. */
export function inRanges(ranges: readonly PartRange[], partNumber: number): boolean {
  return ranges.some(([first, last]) => first <= partNumber && partNumber <= last)
}

/** Whether a file goes as a whole: not larger than that, and of one part at most. */
export function isWhole(layout: PartLayout, sizeBytesMax: number): boolean {
  return layout.sizeBytes <= sizeBytesMax && partCount(layout) <= 1
}
