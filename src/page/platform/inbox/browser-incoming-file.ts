/**
 * One file while this browser receives it. The page collects a part in memory, verifies it, opens it, and writes it at
 * its offset. The part counts once the content and its record are on disk. A later run of the page reads each recorded
 * part again and compares its digest before it trusts the record.
 */
import type { Semaphore } from '../../../async/index.ts'
import { partCount, partSpan } from '../../../protocol/index.ts'
import {
  type ArrivingPart,
  type IncomingFile,
  type PartBody,
  type PartialLayout,
  type ReceiveLimits,
  requireRoom,
} from '../../../receiver/index.ts'
import type { PartDigests } from '../../../trust/index.ts'
import { digestLent, verifyAndOpen } from '../part-workers.ts'
import { type Arrivals, OvertakenError } from './arrivals.ts'
import { gather } from './gather.ts'
import type { Staging } from './staging.ts'

/** One part is read while another is hashed. */
const VERIFIED_AT_ONCE_MAX = 2

export interface FileContext {
  readonly staging: Staging
  readonly arrivals: Arrivals
  /** How many parts of streams may be in memory: streams do not wait for each other, so each may have some. */
  readonly streamParts: Semaphore
}

export class BrowserIncomingFile implements IncomingFile<PartBody> {
  readonly #context: FileContext
  readonly #transferId: string
  #layout: PartialLayout
  readonly #held: Map<number, PartDigests>
  #heldBytes = 0

  constructor(context: FileContext, transferId: string, layout: PartialLayout, held: ReadonlyMap<number, PartDigests>) {
    this.#context = context
    this.#transferId = transferId
    this.#layout = layout
    this.#held = new Map(held)
    this.#heldBytes = this.#countBytes()
  }

  get held(): ReadonlyMap<number, string> {
    return new Map([...this.#held].map(([partNumber, { digest }]) => [partNumber, digest]))
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  *contentDigests(): Generator<string> {
    for (let partNumber = 1; partNumber <= partCount(this.#layout); partNumber++) {
      const held = this.#held.get(partNumber)
      if (held === undefined) throw new Error(`part ${partNumber} is not held`)
      yield held.contentDigest
    }
  }

  async receivePart(part: ArrivingPart<PartBody>, limits: ReceiveLimits): Promise<void> {
    if (this.#layout.isSizeKnown !== false) return this.#receivePart(part, limits)
    return this.#context.streamParts.run(() => this.#receivePart(part, limits), limits.signal)
  }

  async #receivePart(part: ArrivingPart<PartBody>, limits: ReceiveLimits): Promise<void> {
    const { partNumber, digestAlgorithm, digest: expected, seal } = part
    const { staging, arrivals } = this.#context
    const { offsetBytes, lengthBytes } = partSpan(this.#layout, partNumber)
    const isStream = this.#layout.isSizeKnown === false
    const arrived = await gather(part, limits)
    const opening = { algorithm: digestAlgorithm, expected, seal, partNumber }
    const { digest, contentDigest, bytes: content } = await verifyAndOpen(arrived, opening)
    const contentBytes = content.length
    const isPossible = isStream ? contentBytes <= lengthBytes : contentBytes === lengthBytes
    if (!isPossible) throw new Error(`part ${partNumber} is not as long as the file says`)
    // The room for a file of known size was checked before its first part.
    if (isStream) requireRoom({ heldBytes: 0 }, offsetBytes + contentBytes, staging.fileBytesMax)
    const held: PartDigests = { digest, contentDigest }
    await staging.write(this.#transferId, offsetBytes, content)
    await arrivals.putPart(this.#transferId, partNumber, held)
    if (!this.#held.has(partNumber)) this.#heldBytes += contentBytes
    this.#held.set(partNumber, held)
  }

  async sized(sizeBytes: number): Promise<void> {
    const { arrivals } = this.#context
    const { partSizeBytes, digestAlgorithm } = this.#layout
    const known = await arrivals.get(this.#transferId)
    if (known?.state !== 'arriving') throw new OvertakenError('another tab has continued with the file')
    const layout = { sizeBytes, partSizeBytes, digestAlgorithm }
    // A publisher and a later run need the true size.
    await arrivals.put(known, { ...known, layout })
    this.#layout = layout
    for (const partNumber of this.#held.keys()) {
      if (partNumber <= partCount(layout)) continue
      this.#held.delete(partNumber)
      await arrivals.removePart(this.#transferId, partNumber)
    }
    this.#heldBytes = this.#countBytes()
  }

  /** How many bytes the held parts have; of a stream that has not ended, at most. */
  #countBytes(): number {
    let sum = 0
    for (const partNumber of this.#held.keys()) sum += partSpan(this.#layout, partNumber).lengthBytes
    return sum
  }

  async startOver(): Promise<void> {
    const { staging, arrivals } = this.#context
    this.#held.clear()
    this.#heldBytes = 0
    await arrivals.removeParts(this.#transferId)
    await staging.truncate(this.#transferId, 0)
  }

  async finish(): Promise<void> {
    const { staging } = this.#context
    await staging.truncate(this.#transferId, this.#layout.sizeBytes)
    await this.close()
  }

  close(): Promise<void> {
    return this.#context.staging.close(this.#transferId)
  }
}

/**
 * Verifies the recorded parts and removes damaged ones from the record. It takes as long as reading and hashing the
 * file; the caller keeps its lease meanwhile.
 */
export async function verifiedParts(
  { staging, arrivals }: FileContext,
  transferId: string,
  layout: PartialLayout,
  signal: AbortSignal,
): Promise<Map<number, PartDigests>> {
  const listed = [...(await arrivals.parts(transferId))]
  const held = new Map<number, PartDigests>()
  const count = partCount(layout)
  const verify = async (): Promise<void> => {
    for (let next = listed.shift(); next !== undefined; next = listed.shift()) {
      signal.throwIfAborted()
      const [partNumber, part] = next
      // A stream may have ended before a part that a portal once gave.
      const isInside = partNumber <= count
      if (isInside && (await isHeld(staging, transferId, layout, partNumber, part))) held.set(partNumber, part)
      else await arrivals.removePart(transferId, partNumber)
    }
  }
  await Promise.all(Array.from({ length: VERIFIED_AT_ONCE_MAX }, verify))
  return held
}

async function isHeld(
  staging: Staging,
  transferId: string,
  layout: PartialLayout,
  partNumber: number,
  { contentDigest }: PartDigests,
): Promise<boolean> {
  const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
  const bytes = await staging.read(transferId, offsetBytes, lengthBytes)
  return bytes.length === lengthBytes && (await digestLent(layout.digestAlgorithm, bytes)).digest === contentDigest
}
