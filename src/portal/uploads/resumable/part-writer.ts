/**
 * Writes the content of one request behind what an upload resource has. Full parts go where the parts of every transfer are; what comes
 * of the last one becomes the tail. Each part is durable in the store first, then recorded in the ledger, and only then told.
 *
 * Content whose digest is still to be verified waits in a generation of its own, where no receiver looks. So it can be removed without a
 * look at anything else, and a killed portal leaves nothing there that counts.
 *
 * While the transfer can be continued, nothing is removed from where its parts are. A portal may be paused between any check and a removal, and another
 * one may have recorded the same part when it wakes up. A part that was stored and never recorded is the one that the next request
 * brings, because the file is the same. Where it is not, the upload ends.
 */
import type { PartSink } from '../../../parts/index.ts'
import { type DigestAlgorithm, Problem, partSpan } from '../../../protocol/index.ts'
import { areAlive, type PortalContext } from '../../context.ts'
import type { Account } from '../../ledger/contract.ts'
import { storageFull } from '../../ledger/room.ts'
import type { TailSegment, UploadResource } from '../../ledger/uploads-contract.ts'
import type { PartPlace, StoreSink } from '../../store/contract.ts'
import type { ActiveUpload } from '../active-uploads.ts'
import { admissionOf, requireDiskRoom } from '../admission.ts'
import { type Body, type Splitting, splitBody } from '../body-splitter.ts'
import { besideOthers } from '../one-request.ts'
import type { Receiving } from '../part-upload.ts'
import type { Transfers } from '../transfers.ts'
import { headOf, newGeneration, newTailPlace, removeSegments, TAIL_SEGMENTS_MAX, tailBytes } from './tail.ts'

/** The content that a request is about to bring. */
export interface IncomingContent {
  /** Its length; null when it is not known. */
  readonly contentBytes: number | null
  /** Whether its end is the end of the file. */
  readonly completes: boolean
  /** Whether nothing of it counts before `settle`: its digest is verified first. */
  readonly isHeldBack: boolean
  /** Called when more of the upload has become durable. */
  readonly onDurable: (offsetBytes: number) => void
}

/** Something that is durable in the store and not recorded yet: a part, or a segment of the tail, perhaps instead of those before. */
interface Stored extends Omit<TailSegment, 'generation'> {
  readonly segment: null | { readonly generation: string; readonly isInstead: boolean }
}

/** How often a request of unknown length looks for the room that it still has. */
const ROOM_LOOK_MS = 1000
/** How many parts are moved at a time. */
const MOVES_AT_A_TIME = 16

export class PartWriter {
  readonly #context: PortalContext
  readonly #transfers: Transfers
  readonly #writerId: string
  readonly #incoming: IncomingContent
  readonly #digestAlgorithm: DigestAlgorithm
  readonly #lengthBytes: number | null
  readonly #account: Account
  readonly #active: ActiveUpload
  #transfer: Receiving
  #upload: UploadResource
  /** Content that is stored, and does not count yet. */
  #pending: Stored[] = []
  /** Content that is stored, and of which it is certain that it will not count. */
  #uncounted: Stored[] = []
  /** Where parts wait whose content is not verified yet; null where nothing waits. */
  readonly #waitingIn: string | null
  #hasWaited = false
  /** How much content of this account may be here that the ledger does not count yet. */
  #roomBytes = Number.POSITIVE_INFINITY
  #roomLookAtMs = 0
  /** What changes, or reads, how much of this upload the ledger counts runs one after another. */
  #counting: Promise<unknown> = Promise.resolve()

  constructor(
    context: PortalContext,
    transfers: Transfers,
    open: {
      readonly transfer: Receiving
      readonly upload: UploadResource
      readonly writerId: string
      readonly digestAlgorithm: DigestAlgorithm
      readonly lengthBytes: number | null
      readonly account: Account
      readonly active: ActiveUpload
    },
    incoming: IncomingContent,
  ) {
    this.#context = context
    this.#transfers = transfers
    this.#incoming = incoming
    this.#waitingIn = incoming.isHeldBack ? newGeneration() : null
    this.#transfer = open.transfer
    this.#upload = open.upload
    this.#writerId = open.writerId
    this.#digestAlgorithm = open.digestAlgorithm
    this.#lengthBytes = open.lengthBytes
    this.#account = open.account
    this.#active = open.active
  }

  /** The upload as it is recorded. */
  get upload(): UploadResource {
    return this.#upload
  }

  /** Reads the content and stores it. Its end is not looked for where the length of the file is known. */
  async read(body: Body): Promise<void> {
    const { options } = this.#context
    if (this.#mayAddSegment) {
      const partNumber = this.#nextPart()
      const startBytes = (partNumber - 1) * this.#transfer.partSizeBytes
      const endBytes = startBytes + this.#partBytes(partNumber) - tailBytes(this.#upload.tail)
      const { contentBytes } = this.#incoming
      if (startBytes + (contentBytes ?? 0) < endBytes) {
        const { sizeBytes } = await splitBody(options, body, this.#splitting({ isSegment: true }), endBytes)
        if (sizeBytes < endBytes) return
      }
    }
    await splitBody(options, body, this.#splitting({ isSegment: false }), this.#lengthBytes ?? undefined)
  }

  /** How the body is cut into parts, of which the first one begins with the tail, or how it becomes a segment of the tail. */
  #splitting({ isSegment }: { readonly isSegment: boolean }): Splitting {
    const { partSizeBytes } = this.#transfer
    const partNumber = this.#nextPart()
    return {
      digestAlgorithm: this.#digestAlgorithm,
      partSizeBytes,
      start: { partNumber, head: isSegment ? null : headOf(this.#context.store, this.#upload, this.#digestAlgorithm) },
      openSink: (number) => (isSegment ? this.#openSegment(number) : this.#openPart(number, number === partNumber)),
      beforePart: async () => {
        await requireDiskRoom(this.#context, partSizeBytes)
        if (this.#isUncounted) await this.#lookForRoom()
      },
      onBytes: this.#onBytes(),
      afterPart: () => (this.#incoming.isHeldBack ? Promise.resolve() : this.settle()),
    }
  }

  /**
   * Records what is stored. From then on it counts.
   *
   * @throws Problem `unavailable` when a newer request has taken the upload over; `transfer-closed` when its transfer is over;
   *   `storage-full` when there is no room for a stream: then the upload is over
   */
  settle(): Promise<void> {
    return this.#oneByOne(() => this.#settle())
  }

  async #settle(): Promise<void> {
    const stored = this.#takeContiguous()
    if (stored.length === 0) return
    this.#uncounted = stored
    const { store, ledger } = this.#context
    const { transferId, generation, isSizeKnown } = this.#transfer
    const before = this.#upload
    const parts = stored.filter(({ segment }) => segment === null)
    if (parts.length > 0) {
      await this.#moveVerified(parts)
      await store.seal({ transferId, generation })
    }
    let { offsetBytes, tail } = before
    for (const { segment, ...one } of stored) {
      if (segment !== null) await store.seal({ transferId, generation: segment.generation })
      if (segment?.isInstead !== false) {
        offsetBytes -= tailBytes(tail)
        tail = []
      }
      if (segment !== null) tail = [...tail, { ...one, generation: segment.generation }]
      offsetBytes += one.lengthBytes
    }
    for (const { partNumber, lengthBytes } of parts) {
      if (!isSizeKnown) this.#transfer = await this.#transfers.grow(this.#transfer, partNumber, lengthBytes)
    }
    // Nothing can follow a part that is shorter than the others, also if this request ends before it has completed the upload.
    const isShort = parts.some(({ lengthBytes }) => lengthBytes < this.#transfer.partSizeBytes)
    const lengthBytes = before.lengthBytes ?? (isShort ? offsetBytes : null)
    const uploaded = { fromBytes: before.offsetBytes, offsetBytes, parts, tail, lengthBytes }
    // The content is on the disk already, and needs no further room there.
    const bounds = isSizeKnown ? null : { ...(await admissionOf(this.#context)), freeBytes: null }
    const record = () => ledger.recordUploaded(transferId, this.#writerId, uploaded, bounds)
    // If the ledger does not answer, it may have recorded it.
    this.#uncounted = []
    if (!(await this.#transfers.refusedWithoutRoom(this.#transfer, record))) {
      this.#uncounted = stored
      const now = await ledger.transfer(transferId)
      throw now?.state === 'receiving' ? replaced() : new Problem('transfer-closed', { state: now?.state })
    }
    this.#upload = { ...before, offsetBytes, tail, lengthBytes }
    if (this.#isUncounted) this.#active.unannouncedBytes -= offsetBytes - before.offsetBytes
    for (const { partNumber, lengthBytes } of parts) {
      await this.#transfers.partReceived({ transferId, generation, partNumber }, lengthBytes)
    }
    await this.#removeGivenUp(before.tail.filter((segment) => !tail.includes(segment)))
    this.#incoming.onDurable(offsetBytes)
  }

  /** Removes what was not recorded. Where the parts of the transfer are, it removes them only once none of them can count any more. */
  async drop(): Promise<void> {
    const stored = [...this.#pending, ...this.#uncounted]
    this.#pending = []
    this.#uncounted = []
    const { store, ledger } = this.#context
    const { transferId, generation } = this.#transfer
    await removeSegments(
      store,
      transferId,
      stored.flatMap(({ segment, ...one }) => (segment === null ? [] : [{ ...one, generation: segment.generation }])),
    )
    if (this.#waitingIn !== null && this.#hasWaited)
      await store.removeParts({ transferId, generation: this.#waitingIn })
    // The transfer may have ended, and its parts may have been removed, before these were stored.
    const hasParts = stored.some(({ segment }) => segment === null)
    if (hasParts && !areAlive(await ledger.transfer(transferId), { transferId, generation }))
      await store.removeParts({ transferId, generation })
  }

  /** Puts parts that have waited to be verified where the parts of the transfer are. */
  async #moveVerified(parts: readonly Stored[]): Promise<void> {
    const generation = this.#waitingIn
    if (generation === null) return
    const { store } = this.#context
    const { transferId, generation: final } = this.#transfer
    const extendDeadline = this.#transfers.extendDeadlineOnBytes(transferId)
    for (let from = 0; from < parts.length; from += MOVES_AT_A_TIME) {
      const some = parts.slice(from, from + MOVES_AT_A_TIME)
      await Promise.all(
        some.map(({ partNumber, digest }) => store.movePart({ transferId, generation, partNumber, digest }, final)),
      )
      extendDeadline()
    }
  }

  /** The pending content that follows what is recorded. The part before a segment may have failed: then the segment stays pending. */
  #takeContiguous(): Stored[] {
    let next = this.#nextPart()
    const inOrder = this.#pending.sort((one, other) => one.partNumber - other.partNumber)
    const end = inOrder.findIndex(({ partNumber }) => partNumber !== next++)
    return inOrder.splice(0, end === -1 ? inOrder.length : end)
  }

  /** The number of the first part that is not recorded. The last part of the file may be recorded, and shorter than the others. */
  #nextPart(): number {
    const { offsetBytes, tail } = this.#upload
    return Math.ceil((offsetBytes - tailBytes(tail)) / this.#transfer.partSizeBytes) + 1
  }

  /** Whether content arrives that the ledger does not count yet: that of a stream counts once it is recorded. */
  get #isUncounted(): boolean {
    return !this.#transfer.isSizeKnown
  }

  /** Looks how much room the sender has, beside what its requests have brought that does not count yet. */
  #lookForRoom(): Promise<void> {
    return this.#oneByOne(async () => {
      const [context, account] = [this.#context, this.#account]
      // The transfer is announced already: neither its receivers nor the number of transfers matter any more.
      const parties = { senderId: account.accountId, to: [account.name] }
      const admission = { ...(await besideOthers({ context, account })), accountTransfersMax: Number.POSITIVE_INFINITY }
      const uncountedBytes = context.activeUploads.unannouncedBytes(account.accountId)
      this.#roomLookAtMs = performance.now()
      this.#roomBytes = uncountedBytes + (await context.ledger.roomBytes(parties, admission))
    })
  }

  /** @throws Problem `transfer-too-large` or `storage-full`, as soon as the content of a request is */
  #onBytes(): (byteCount: number) => void {
    const { options, activeUploads, log } = this.#context
    const { transferId } = this.#transfer
    const { transferSizeBytesMax: sizeBytesMax } = options
    const extendDeadline = this.#transfers.extendDeadlineOnBytes(transferId)
    let reachedBytes = this.#upload.offsetBytes
    return (byteCount) => {
      reachedBytes += byteCount
      if (reachedBytes > sizeBytesMax) throw new Problem('transfer-too-large', { sizeBytesMax })
      if (this.#isUncounted) {
        this.#active.unannouncedBytes += byteCount
        const uncountedBytes = activeUploads.unannouncedBytes(this.#account.accountId)
        if (uncountedBytes > this.#roomBytes) throw storageFull(uncountedBytes, this.#roomBytes, options)
        if (performance.now() - this.#roomLookAtMs > ROOM_LOOK_MS) {
          this.#roomLookAtMs = performance.now()
          this.#lookForRoom().catch((error: unknown) => log.warn({ err: error, transferId }, 'the room is not known'))
        }
      }
      extendDeadline()
    }
  }

  #oneByOne<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = this.#counting.then(act, act)
    this.#counting = result.catch(() => {})
    return result
  }

  /**
   * Whether content becomes a segment of the tail, as far as its part reaches, so that nothing is read again for it. Where its length is
   * not known, it may fill the part: then it is read again once. Not where that would be before its digest is verified.
   */
  get #mayAddSegment(): boolean {
    const { contentBytes, completes, isHeldBack } = this.#incoming
    const { length } = this.#upload.tail
    return !completes && !(isHeldBack && contentBytes === null) && length > 0 && length < TAIL_SEGMENTS_MAX
  }

  /** The length that a part must have to be whole. */
  #partBytes(partNumber: number): number {
    const { partSizeBytes } = this.#transfer
    if (this.#lengthBytes === null) return partSizeBytes
    return partSpan({ sizeBytes: this.#lengthBytes, partSizeBytes }, partNumber).lengthBytes
  }

  async #openSegment(partNumber: number): Promise<PartSink> {
    const place = newTailPlace(this.#transfer.transferId, partNumber)
    const sink = await this.#context.store.openPart(place, this.#digestAlgorithm)
    return this.#counted(sink, async (digest, lengthBytes) => {
      if (lengthBytes > 0) await this.#commitSegment(sink, place, { digest, lengthBytes, isInstead: false })
      else await sink.discard()
    })
  }

  async #openPart(partNumber: number, isFirst: boolean): Promise<PartSink> {
    const { transferId, generation } = this.#transfer
    const place = { transferId, generation: this.#waitingIn ?? generation, partNumber }
    const sink = await this.#context.store.openPart(place, this.#digestAlgorithm)
    const headBytes = isFirst ? tailBytes(this.#upload.tail) : 0
    return this.#counted(sink, async (digest, lengthBytes, isBroken) => {
      const isLast = this.#lengthBytes === null && this.#incoming.completes && !isBroken
      if (isLast || lengthBytes === this.#partBytes(partNumber)) {
        this.#hasWaited = true
        await sink.commit(digest)
        this.#pending.push({ segment: null, partNumber, digest, lengthBytes })
      } else if (lengthBytes > headBytes) {
        await this.#commitSegment(sink, newTailPlace(transferId, partNumber), { digest, lengthBytes, isInstead: true })
      } else await sink.discard()
    })
  }

  async #commitSegment(
    sink: StoreSink,
    { generation, partNumber, transferId }: PartPlace,
    {
      digest,
      lengthBytes,
      isInstead,
    }: { readonly digest: string; readonly lengthBytes: number; readonly isInstead: boolean },
  ): Promise<void> {
    await sink.commitAs({ transferId, generation, partNumber }, digest)
    this.#pending.push({ segment: { generation, isInstead }, partNumber, digest, lengthBytes })
  }

  /** A sink that counts its bytes, and stores what came when the request broke off, too. */
  #counted(
    sink: StoreSink,
    store: (digest: string, lengthBytes: number, isBroken: boolean) => Promise<void>,
  ): PartSink {
    let lengthBytes = 0
    return {
      retainsBuffers: sink.retainsBuffers === true,
      write: (buffers) => {
        for (const { length } of buffers) lengthBytes += length
        return sink.write(buffers)
      },
      commit: (digest) => store(digest, lengthBytes, false),
      discard: () => sink.discard(),
      // Without the end of the request its digest cannot be verified, so nothing of it may count.
      ...(this.#incoming.isHeldBack ? {} : { keep: (digest: string) => store(digest, lengthBytes, true) }),
    }
  }

  async #removeGivenUp(segments: readonly TailSegment[]): Promise<void> {
    const { store, log } = this.#context
    const { transferId } = this.#transfer
    try {
      await removeSegments(store, transferId, segments)
    } catch (error) {
      log.warn({ err: error, transferId }, 'segments of an upload could not be removed; they are with its transfer')
    }
  }
}

export function replaced(): Problem {
  return new Problem('unavailable', { detail: 'a newer request continues the upload' })
}
