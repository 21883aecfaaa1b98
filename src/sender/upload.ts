/**
 * One attempt at the content: every part is read and hashed, those that the portal lacks are sent.
 *
 * Reading goes ahead of sending by one part. The bytes that are hashed are the bytes that are sent, from the same
 * buffer, so the digests are true of what the portal was given even if the file changes meanwhile.
 */
import {
  type InFlightBounds,
  NoAnswer,
  type PartInFlight,
  PartsInFlight,
  type Patience,
  RemoteProblem,
} from '../client/index.ts'
import { type Limits, type PartLayout, partCount, partSpan } from '../protocol/index.ts'
import type { ContentKey } from '../trust/index.ts'
import { BufferPool } from './buffer-pool.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { layoutOf, sealOf, wireLayoutOf } from './layout.ts'
import type { SealRecord } from './seal-record.ts'
import type { OpenSource, PartDigests } from './source.ts'

/** A part that arrives damaged more often than this will do so again. */
const PART_TRIES_MAX = 5

export interface Upload {
  readonly context: SendContext
  readonly entry: JournalEntry
  readonly file: OpenSource
  readonly patience: Patience
  /** What an earlier attempt of this run read, by part number; what is read now is added. */
  readonly digests: Map<number, PartDigests>
  /** Null where the transfer is not sealed. */
  readonly seal: Seal | null
}

/** With what the parts are sealed, and what has been. */
export interface Seal {
  readonly contentKey: ContentKey
  readonly record: SealRecord
}

/**
 * Sends every part that the portal does not hold with the digest that it has here. When it resolves, the portal
 * holds all parts and `digests` is complete.
 *
 * @param held what the portal holds: part number -> digest in hex
 * @throws Problem `source-changed`, `source-unreadable`; SealedOtherwise; NoAnswer when silence lasted too long or a part never
 *   arrives undamaged; RemoteProblem that waiting does not mend; the signal's reason
 */
export async function uploadParts(upload: Upload, held: ReadonlyMap<number, string>): Promise<void> {
  const { context, entry, file, digests, seal } = upload
  const layout = layoutOf(entry)
  const wireLayout = wireLayoutOf(entry)
  const progress = new UploadProgress(upload)
  const pool = poolOf(context, wireLayout)
  const flight = new Flight(context, new PartsInFlight(boundsOf(context, pool)))
  const presence = new Presence(upload)
  try {
    for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
      const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
      const known = digests.get(partNumber)
      if (known !== undefined && known.digest === held.get(partNumber)) {
        progress.skipped(lengthBytes)
        continue
      }
      const buffer = await pool.take()
      if (flight.isOver) break
      const bytes = buffer.subarray(0, partSpan(wireLayout, partNumber).lengthBytes)
      const partSeal = seal === null ? null : sealOf(entry, seal.contentKey, partNumber)
      const read = await file.readPart(bytes, offsetBytes, entry.digestAlgorithm, partSeal)
      digests.set(partNumber, read)
      const { digest } = read
      progress.hashed(lengthBytes)
      if (held.get(partNumber) === digest) {
        progress.acknowledged(partNumber, lengthBytes)
        pool.give(buffer)
        await presence.show()
        continue
      }
      const part = { partNumber, bytes, lengthBytes, digest, progress, signal: flight.partSignal() }
      await flight.add((inFlight) => sendPart(upload, { ...part, inFlight }).finally(() => pool.give(buffer)))
      presence.shown()
    }
  } catch (error) {
    flight.fail(error)
  }
  await flight.landed()
}

/** So many questions fit into the time after which the portal gives a silent upload up. */
const QUESTIONS_PER_UPLOAD_TIMEOUT = 3

/** How often to ask how a transfer stands of which nothing is sent. */
export function presenceMs({ uploadTimeoutMs }: Limits): number {
  return uploadTimeoutMs / QUESTIONS_PER_UPLOAD_TIMEOUT
}

/**
 * Reading a large file again makes no request, and to the portal looks like a sender that is gone. So now and then it
 * is asked how the transfer stands.
 */
class Presence {
  readonly #upload: Upload
  readonly #everyMs: number
  #shownAtMs = performance.now()

  constructor(upload: Upload) {
    this.#upload = upload
    this.#everyMs = presenceMs(upload.context.limits)
  }

  /** There was a request. */
  shown(): void {
    this.#shownAtMs = performance.now()
  }

  /** Asks, if there was no request for long enough. */
  async show(): Promise<void> {
    if (performance.now() - this.#shownAtMs < this.#everyMs) return
    const { context, entry, patience } = this.#upload
    const { client, signal } = context
    await patience.insist(() => client.transfer(entry.transferId, { stallMs: patience.stallMs, signal }))
    this.shown()
  }
}

/** The parts that are on their way at the same time. The first that fails stops the others. */
class Flight {
  readonly #context: SendContext
  readonly #places: PartsInFlight
  readonly #stop = new AbortController()
  readonly #underway = new Set<Promise<void>>()
  readonly #failures: unknown[] = []

  constructor(context: SendContext, places: PartsInFlight) {
    this.#context = context
    this.#places = places
  }

  get isOver(): boolean {
    return this.#context.signal.aborted || this.#stop.signal.aborted
  }

  /** Aborts when the flight is over. Each part has its own, so that none gathers the listeners of all. */
  partSignal(): AbortSignal {
    return AbortSignal.any([this.#context.signal, this.#stop.signal])
  }

  /** Starts sending a part as soon as there is a place for it. Never rejects. */
  async add(send: (part: PartInFlight) => Promise<void>): Promise<void> {
    while (this.#underway.size >= this.#places.allowed) await Promise.race(this.#underway)
    const sending = send(this.#places.started())
      .catch((error) => this.fail(error))
      .finally(() => this.#underway.delete(sending))
    this.#underway.add(sending)
  }

  fail(error: unknown): void {
    this.#failures.push(error)
    this.#stop.abort(new Error('another part of the same transfer failed'))
  }

  /** Resolves when nothing uses a buffer any more. @throws the first failure, or the reason of the caller's signal */
  async landed(): Promise<void> {
    await Promise.all(this.#underway)
    this.#context.signal.throwIfAborted()
    if (this.#failures.length > 0) throw this.#failures[0]
  }
}

interface PartOnItsWay {
  readonly partNumber: number
  readonly bytes: Uint8Array
  /** Of the file: what is sealed is longer. */
  readonly lengthBytes: number
  readonly digest: string
  readonly progress: UploadProgress
  readonly inFlight: PartInFlight
  readonly signal: AbortSignal
}

/** Sends one part until the portal holds it. */
async function sendPart(
  { context, entry, patience, seal }: Upload,
  { partNumber, bytes, lengthBytes, digest, progress, inFlight, signal }: PartOnItsWay,
): Promise<void> {
  const { transferId, digestAlgorithm } = entry
  await seal?.record.note(partNumber, digest)
  // Through a load balancer no interim answer comes: the portal says by the event stream that bytes arrive.
  const elsewhere = (alive: () => void) => context.events.onArriving(transferId, partNumber, alive)
  let furthestBytes = 0
  let isFirstTry = true
  const put = (): Promise<void> => {
    if (!isFirstTry) inFlight.disturbed()
    isFirstTry = false
    let sentBytes = 0
    const onSent = (byteCount: number): void => {
      sentBytes += byteCount
      progress.sent(partNumber, Math.min(sentBytes, lengthBytes))
      // What leaves this process may get no further than the kernel. Only bytes that no earlier try got to are a sign
      // of life, or a portal that takes connections and never reads would be waited for for ever.
      if (sentBytes <= furthestBytes) return
      furthestBytes = sentBytes
      patience.heard()
    }
    return context.client.putPart(
      transferId,
      partNumber,
      { bytes, digestAlgorithm, digest },
      { stallMs: patience.stallMs, signal, onSent, onAlive: patience.heard, elsewhere },
    )
  }
  for (let tries = 1; ; tries++) {
    try {
      await patience.insist(put)
      inFlight.ended(bytes.length)
      return progress.acknowledged(partNumber, lengthBytes)
    } catch (error) {
      progress.sent(partNumber, 0)
      if (!(error instanceof RemoteProblem) || error.next !== 'resend') throw error
      patience.heard()
      if (tries >= PART_TRIES_MAX) {
        const reason = `part ${partNumber} did not arrive whole in ${tries} tries: ${error.message}`
        throw new NoAnswer(reason, { cause: error })
      }
      context.onEvent({ type: 'repeating', transferId, wanted: [[partNumber, partNumber]], problem: error.problem })
    }
  }
}

function poolOf({ bufferBytesMax, partsInFlight }: SendContext, layout: PartLayout): BufferPool {
  const sizeBytes = Math.min(layout.partSizeBytes, layout.sizeBytes)
  const count = Math.min(partsInFlight.max + 1, Math.floor(bufferBytesMax / Math.max(1, sizeBytes)))
  return new BufferPool(Math.max(1, count), sizeBytes)
}

/** One buffer is for the part that is read meanwhile. */
function boundsOf({ partsInFlight: { min, max } }: SendContext, pool: BufferPool): InFlightBounds {
  const most = Math.max(1, Math.min(max, pool.count - 1))
  return { min: Math.min(min, most), max: most }
}

/** Counts bytes, each of the three kinds over the whole file, and tells. */
class UploadProgress {
  readonly #upload: Upload
  readonly #onTheirWay = new Map<number, number>()
  #hashedBytes = 0
  #acknowledgedBytes = 0

  constructor(upload: Upload) {
    this.#upload = upload
  }

  /** The portal has these bytes from an earlier attempt. */
  skipped(byteCount: number): void {
    this.#hashedBytes += byteCount
    this.#acknowledgedBytes += byteCount
    this.#tell()
  }

  hashed(byteCount: number): void {
    this.#hashedBytes += byteCount
    this.#tell()
  }

  /** @param sentBytes how much of the part has left in the current try */
  sent(partNumber: number, sentBytes: number): void {
    this.#onTheirWay.set(partNumber, sentBytes)
    this.#tell()
  }

  acknowledged(partNumber: number, byteCount: number): void {
    this.#onTheirWay.delete(partNumber)
    this.#acknowledgedBytes += byteCount
    this.#tell()
  }

  #tell(): void {
    let sentBytes = this.#acknowledgedBytes
    for (const byteCount of this.#onTheirWay.values()) sentBytes += byteCount
    this.#upload.context.onEvent({
      type: 'uploading',
      transferId: this.#upload.entry.transferId,
      hashedBytes: this.#hashedBytes,
      sentBytes,
      acknowledgedBytes: this.#acknowledgedBytes,
    })
  }
}
