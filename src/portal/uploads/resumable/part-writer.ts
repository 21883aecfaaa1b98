/**
 * Writes the content of one request behind what an upload resource has. Full parts go where the parts of every transfer are; what comes
 * of the last one becomes the tail. Each part is durable in the store first, then recorded in the ledger, and only then told.
 */
import type { PartSink } from '../../../parts/index.ts'
import { type DigestAlgorithm, Problem, partSpan } from '../../../protocol/index.ts'
import type { PortalContext } from '../../context.ts'
import type { Account } from '../../ledger/contract.ts'
import { storageFull } from '../../ledger/room.ts'
import type { TailSegment, UploadResource } from '../../ledger/uploads-contract.ts'
import type { PartKey, PartPlace, StoreSink } from '../../store/contract.ts'
import type { ActiveUpload } from '../active-uploads.ts'
import { requireDiskRoom } from '../admission.ts'
import type { Splitting } from '../body-splitter.ts'
import { besideOthers } from '../one-request.ts'
import type { Receiving } from '../part-upload.ts'
import type { Transfers } from '../transfers.ts'
import { headOf, newTailPlace, removeSegments, TAIL_SEGMENTS_MAX, tailBytes } from './tail.ts'

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
  /** How much may arrive that no quota counts yet. */
  #roomBytes = Number.POSITIVE_INFINITY

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

  /** How the body is cut into parts. */
  splitting(): Splitting {
    const { partSizeBytes } = this.#transfer
    const partNumber = this.#nextPart()
    const isSegmentOnly = this.#fitsIntoTail(partNumber)
    const head = isSegmentOnly ? null : headOf(this.#context.store, this.#upload, this.#digestAlgorithm)
    return {
      digestAlgorithm: this.#digestAlgorithm,
      partSizeBytes,
      start: { partNumber, head },
      openSink: (number) => (isSegmentOnly ? this.#openSegment(number) : this.#openPart(number, number === partNumber)),
      beforePart: async () => {
        await requireDiskRoom(this.#context, partSizeBytes)
        if (this.#isUncounted) this.#roomBytes = await this.#roomBeside()
      },
      onBytes: this.#onBytes(),
      afterPart: () => (this.#incoming.isHeldBack ? Promise.resolve() : this.settle()),
    }
  }

  /** Records what is stored. From then on it counts. @throws Problem `unavailable` when a newer request has taken the upload over */
  async settle(): Promise<void> {
    const stored = this.#takeContiguous()
    if (stored.length === 0) return
    const { store, ledger } = this.#context
    const { transferId, generation } = this.#transfer
    const before = this.#upload
    const parts = stored.filter(({ segment }) => segment === null)
    if (parts.length > 0) await store.seal({ transferId, generation })
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
      if (!this.#transfer.isSizeKnown) {
        this.#transfer = await this.#transfers.grow(this.#transfer, partNumber, lengthBytes)
      }
    }
    const uploaded = { fromBytes: before.offsetBytes, offsetBytes, parts, tail }
    if (!(await ledger.recordUploaded(transferId, this.#writerId, uploaded))) throw replaced()
    this.#upload = { ...before, offsetBytes, tail }
    for (const { partNumber, lengthBytes } of parts) {
      await this.#transfers.partReceived({ transferId, generation, partNumber }, lengthBytes)
    }
    await this.#removeGivenUp(before.tail.filter((segment) => !tail.includes(segment)))
    if (this.#isUncounted) this.#active.unannouncedBytes = 0
    this.#incoming.onDurable(offsetBytes)
  }

  /** Removes what is stored and was never recorded. What a replaced writer has stored as parts stays until the upload is complete. */
  async drop(): Promise<void> {
    const stored = this.#pending
    this.#pending = []
    const { transferId, generation } = this.#transfer
    await removeSegments(
      this.#context.store,
      transferId,
      stored.flatMap(({ segment, ...one }) => (segment === null ? [] : [{ ...one, generation: segment.generation }])),
    )
    for (const { segment, partNumber, digest } of stored) {
      if (segment === null) await this.#removeUnrecorded({ transferId, generation, partNumber, digest })
    }
  }

  /**
   * Removes a part that this writer has not recorded. The same file gives the same part, so a newer writer may have stored and recorded
   * just this one.
   *
   * @throws Problem `unavailable` when there is a newer writer: then nothing is removed
   */
  async #removeUnrecorded(part: PartKey): Promise<void> {
    const { store, ledger } = this.#context
    const { transferId } = part
    const now = await ledger.uploadResource({ transferId })
    if (now?.writerId !== this.#writerId) throw replaced()
    await store.removePart(part)
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

  /** Whether content arrives that the size of the transfer does not have: a stream grows when a part counts, and none does before the end. */
  get #isUncounted(): boolean {
    return this.#incoming.isHeldBack && !this.#transfer.isSizeKnown
  }

  /** The room that the sender has for content that does not count yet, beside its other requests with such content. */
  async #roomBeside(): Promise<number> {
    const [context, account] = [this.#context, this.#account]
    // The transfer is announced already: neither its receivers nor the number of transfers matter any more.
    const parties = { senderId: account.accountId, to: [account.name] }
    const admission = { ...(await besideOthers({ context, account })), accountTransfersMax: Number.POSITIVE_INFINITY }
    return this.#active.unannouncedBytes + (await context.ledger.roomBytes(parties, admission))
  }

  /** @throws Problem `transfer-too-large` or `storage-full`, as soon as the content of a request is */
  #onBytes(): (byteCount: number) => void {
    const { transferSizeBytesMax: sizeBytesMax } = this.#context.options
    const extendDeadline = this.#transfers.extendDeadlineOnBytes(this.#transfer.transferId)
    let reachedBytes = this.#upload.offsetBytes
    return (byteCount) => {
      reachedBytes += byteCount
      if (reachedBytes > sizeBytesMax) throw new Problem('transfer-too-large', { sizeBytesMax })
      if (this.#isUncounted) {
        this.#active.unannouncedBytes += byteCount
        const { unannouncedBytes } = this.#active
        if (unannouncedBytes > this.#roomBytes) {
          throw storageFull(unannouncedBytes, this.#roomBytes, this.#context.options)
        }
      }
      extendDeadline()
    }
  }

  /** Whether all of the request belongs to the part that has a tail already. Then it is a segment of the tail, and nothing is read again. */
  #fitsIntoTail(partNumber: number): boolean {
    const { contentBytes, completes } = this.#incoming
    const { tail } = this.#upload
    if (contentBytes === null || completes || tail.length === 0 || tail.length >= TAIL_SEGMENTS_MAX) return false
    return tailBytes(tail) + contentBytes < this.#partBytes(partNumber)
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
    return this.#counted(sink, (digest, lengthBytes) =>
      this.#commitSegment(sink, place, { digest, lengthBytes, isInstead: false }),
    )
  }

  async #openPart(partNumber: number, isFirst: boolean): Promise<PartSink> {
    const { store } = this.#context
    const { transferId, generation } = this.#transfer
    const place = { transferId, generation, partNumber }
    // A part that was stored and never recorded: by a portal that was killed, or by a request that was replaced.
    const unrecorded = await store.findBeforePut(place)
    if (unrecorded !== null) await this.#removeUnrecorded({ ...place, digest: unrecorded })
    const sink = await store.openPart(place, this.#digestAlgorithm)
    const headBytes = isFirst ? tailBytes(this.#upload.tail) : 0
    return this.#counted(sink, async (digest, lengthBytes, isBroken) => {
      const isLast = this.#lengthBytes === null && this.#incoming.completes && !isBroken
      if (isLast || lengthBytes === this.#partBytes(partNumber)) {
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
