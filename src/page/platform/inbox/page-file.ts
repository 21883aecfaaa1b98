/**
 * A file on its way into this browser. A part is gathered in memory, verified, opened, and written at its offset; it counts
 * once it is on disk and a record says so, on disk too. What a later run of the page finds recorded, it believes only after it
 * has read the part again and compared its digest.
 */
import { Problem, partCount, partSpan } from '../../../protocol/index.ts'
import type { ArrivingPart, IncomingFile, PartBody, PartialLayout, TakeLimits } from '../../../receiver/index.ts'
import { openPart } from '../../../trust/index.ts'
import { digestLent } from '../part-digests.ts'
import type { Arrivals, HeldPart } from './arrivals.ts'
import { gather } from './gather.ts'
import type { Staging } from './staging.ts'

/** One is read while another is hashed. */
const VERIFIED_AT_ONCE_MAX = 2

export interface FileContext {
  readonly staging: Staging
  readonly arrivals: Arrivals
}

export class PageFile implements IncomingFile<PartBody> {
  readonly #context: FileContext
  readonly #transferId: string
  readonly #layout: PartialLayout
  readonly #held: Map<number, HeldPart>
  #heldBytes = 0

  constructor(context: FileContext, transferId: string, layout: PartialLayout, held: ReadonlyMap<number, HeldPart>) {
    this.#context = context
    this.#transferId = transferId
    this.#layout = layout
    this.#held = new Map(held)
    for (const partNumber of held.keys()) this.#heldBytes += partSpan(layout, partNumber).lengthBytes
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

  async takePart(part: ArrivingPart<PartBody>, limits: TakeLimits): Promise<void> {
    const { partNumber, digestAlgorithm, digest: expected, seal } = part
    const { staging, arrivals } = this.#context
    const { digest, bytes: travelled } = await digestLent(digestAlgorithm, await gather(part, limits))
    if (digest !== expected) throw new Problem('digest-mismatching-value', { partNumber, expected, actual: digest })
    const { digest: contentDigest, bytes: content } =
      seal === null
        ? { digest, bytes: travelled }
        : await digestLent(digestAlgorithm, await openPart(seal.partKey, seal.position, travelled))
    const { offsetBytes, lengthBytes } = partSpan(this.#layout, partNumber)
    if (content.length !== lengthBytes) throw new Error(`part ${partNumber} is not as long as the file says`)
    const held: HeldPart = { digest, contentDigest }
    await staging.write(this.#transferId, offsetBytes, content)
    await arrivals.putPart(this.#transferId, partNumber, held)
    if (!this.#held.has(partNumber)) this.#heldBytes += lengthBytes
    this.#held.set(partNumber, held)
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
 * What a record says that is held, as far as it is. Takes as long as reading and hashing it does; whoever asks keeps its lease
 * meanwhile. Parts that are not what they were are removed from the record.
 */
export async function verifiedParts(
  { staging, arrivals }: FileContext,
  transferId: string,
  layout: PartialLayout,
  signal: AbortSignal,
): Promise<Map<number, HeldPart>> {
  const listed = [...(await arrivals.parts(transferId))]
  const held = new Map<number, HeldPart>()
  const verify = async (): Promise<void> => {
    for (let next = listed.shift(); next !== undefined; next = listed.shift()) {
      signal.throwIfAborted()
      const [partNumber, part] = next
      if (await isHeld(staging, transferId, layout, partNumber, part)) held.set(partNumber, part)
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
  { contentDigest }: HeldPart,
): Promise<boolean> {
  const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
  const bytes = await staging.read(transferId, offsetBytes, lengthBytes)
  return bytes.length === lengthBytes && (await digestLent(layout.digestAlgorithm, bytes)).digest === contentDigest
}
