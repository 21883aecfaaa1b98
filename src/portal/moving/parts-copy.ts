/**
 * Copies the parts of open transfers from one store to another. A part that the other store has is not copied again, so that a copy which
 * is killed at any moment continues. A part is read completely and compared with its digest before it counts.
 */
import { digestDriver } from '../../digests/index.ts'
import type { LedgerSource } from '../ledger/moving/source.ts'
import type { PartKey, PartsKey, Store } from '../store/contract.ts'

/** Parts on their way at a time. */
const PARTS_AT_ONCE = 8

export interface PartsProgress {
  readonly copied: number
  /** Parts that the other store had already. */
  readonly known: number
  readonly copiedBytes: number
}

export interface CopiedParts extends PartsProgress {
  /**
   * Parts whose content is not what their digest says. They are left out: a sender sends them again, or the delivery fails with
   * `stored-part-corrupt`, as it would have done here.
   */
  readonly damaged: readonly PartKey[]
}

/**
 * @param ledger that belongs to `from`
 * @throws Problem of the stores; Error when the other store does not list what it was given
 */
export async function copyParts(
  ledger: Ledger,
  { from, to }: { readonly from: Store; readonly to: Store },
  onProgress: (progress: PartsProgress) => void,
): Promise<CopiedParts> {
  const damaged: PartKey[] = []
  let progress: PartsProgress = { copied: 0, known: 0, copiedBytes: 0 }
  const copyNext = async ({ key, digestAlgorithm, isKnown }: WantedPart): Promise<void> => {
    const bytes = isKnown ? 0 : await copyPart(key, digestAlgorithm, from, to)
    const { copied, known, copiedBytes } = progress
    if (isKnown) progress = { ...progress, known: known + 1 }
    else if (bytes === null) damaged.push(key)
    else progress = { ...progress, copied: copied + 1, copiedBytes: copiedBytes + bytes }
    onProgress(progress)
  }
  // All workers take from one list, and end with the first error.
  const wanted = partsToCopy(ledger, from, to)
  const work = async (): Promise<void> => {
    for await (const part of { [Symbol.asyncIterator]: () => wanted }) await copyNext(part)
  }
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, work))
  await requireAll(ledger, from, to, damaged)
  return { ...progress, damaged }
}

type Ledger = Pick<LedgerSource, 'digestAlgorithmOfOpen'>

interface WantedPart {
  readonly key: PartKey
  readonly digestAlgorithm: string
  readonly isKnown: boolean
}

async function* partsToCopy(ledger: Ledger, from: Store, to: Store): AsyncGenerator<WantedPart> {
  for await (const { parts, digestAlgorithm, held, there } of heldIn(ledger, from, to)) {
    for (const [partNumber, digest] of held) {
      yield { key: { ...parts, partNumber, digest }, digestAlgorithm, isKnown: there.get(partNumber) === digest }
    }
  }
}

interface Listed {
  readonly parts: PartsKey
  readonly digestAlgorithm: string
  readonly held: ReadonlyMap<number, string>
  readonly there: ReadonlyMap<number, string>
}

/** All generations of open transfers, and what either store lists of them: a resumable upload keeps segments in further generations. */
async function* heldIn(ledger: Ledger, from: Store, to: Store): AsyncGenerator<Listed> {
  for await (const { transferId, generation } of from.held()) {
    const digestAlgorithm = ledger.digestAlgorithmOfOpen(transferId)
    if (digestAlgorithm === null) continue
    const parts = { transferId, generation }
    yield { parts, digestAlgorithm, held: await from.list(parts), there: await to.list(parts) }
  }
}

/** @returns the length of the part; null when it is damaged */
async function copyPart(key: PartKey, digestAlgorithm: string, from: Store, to: Store): Promise<number | null> {
  const content = await from.read(key)
  if (content === null) return null
  const hasher = digestDriver(digestAlgorithm).create()
  const sink = await to.openPart(key)
  let bytes = 0
  try {
    for await (const buffer of content.stream) {
      hasher.update(buffer)
      bytes += buffer.length
      await sink.write([buffer])
    }
    if (hasher.digest() === key.digest) {
      await sink.commit(key.digest)
      return bytes
    }
  } catch (error) {
    await sink.discard()
    throw error
  }
  await sink.discard()
  return null
}

/** @throws Error when the other store lacks a part, or has another one under its number */
async function requireAll(ledger: Ledger, from: Store, to: Store, damaged: readonly PartKey[]): Promise<void> {
  const leftOut = new Set(damaged.map((key) => placeOf(key)))
  for await (const { parts, held, there } of heldIn(ledger, from, to)) {
    for (const [partNumber, digest] of held) {
      if (leftOut.has(placeOf({ ...parts, partNumber })) || there.get(partNumber) === digest) continue
      throw new Error(`part ${partNumber} of ${parts.transferId} was copied, and is not there`)
    }
    await to.seal(parts)
  }
}

function placeOf({ transferId, generation, partNumber }: Omit<PartKey, 'digest'>): string {
  return `${transferId} ${generation} ${partNumber}`
}
