/**
 * How a file is cut into parts: each has `partSizeBytes`, and the last one has the rest. Part numbers start at 1. An empty
 * file has no part. For a sealed file, sizes are those of the sealed parts.
 */
import { Problem } from './problems.ts'

/** Bytes that sealing adds to each part: the tag of AES-GCM. */
export const sealTagBytes = 16

/** The sizes that determine the parts of a transfer. */
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

/** All part numbers of a layout, as ranges. */
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

/**
 * A set of the part numbers in ranges from a peer, which may overlap and come in any order and number. It sorts the ranges once and
 * then finds a part by binary search.
 */
export function partsIn(ranges: readonly PartRange[]): { has(partNumber: number): boolean } {
  const merged: [first: number, last: number][] = []
  for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) {
    const previous = merged.at(-1)
    if (last < first) continue
    if (previous === undefined || first > previous[1]) merged.push([first, last])
    else previous[1] = Math.max(previous[1], last)
  }
  return {
    has(partNumber) {
      let from = 0
      let to = merged.length
      while (from < to) {
        const middle = (from + to) >> 1
        if ((merged[middle]?.[0] ?? 0) <= partNumber) from = middle + 1
        else to = middle
      }
      return partNumber <= (merged[from - 1]?.[1] ?? Number.NEGATIVE_INFINITY)
    },
  }
}

/** Whether a file may be sent in one request: not larger than `sizeBytesMax`, and of one part at most. */
export function isWhole(layout: PartLayout, sizeBytesMax: number): boolean {
  return layout.sizeBytes <= sizeBytesMax && partCount(layout) <= 1
}

/**
 * How far a stream reaches once another part has begun to arrive. All parts of a stream but the last are full, so its end is known as
 * soon as it reaches into a part: from then on no part may lie behind it.
 *
 * @param stream `sizeBytes` is how far the parts reach that have begun to arrive
 * @throws Problem `part-length-wrong` for a part that such a stream cannot have; `part-unknown` for one behind its end
 */
export function streamBytesWith(stream: PartLayout, partNumber: number, lengthBytes: number): number {
  const { sizeBytes, partSizeBytes } = stream
  if (isStreamEnded(stream)) {
    const { lengthBytes: known } = partSpan(stream, partNumber)
    if (lengthBytes !== known) throw new Problem('part-length-wrong', { lengthBytes: known })
    return sizeBytes
  }
  const offsetBytes = (partNumber - 1) * partSizeBytes
  const isFull = lengthBytes === partSizeBytes
  const isPossible = lengthBytes >= 1 && (isFull || (lengthBytes < partSizeBytes && offsetBytes >= sizeBytes))
  if (!isPossible) throw new Problem('part-length-wrong', { lengthBytes: partSizeBytes })
  return Math.max(sizeBytes, offsetBytes + lengthBytes)
}

/** Whether the last part of a stream has begun to arrive, as far as its length tells: a full part may be the last one, too. */
export function isStreamEnded({ sizeBytes, partSizeBytes }: PartLayout): boolean {
  return sizeBytes % partSizeBytes !== 0
}
