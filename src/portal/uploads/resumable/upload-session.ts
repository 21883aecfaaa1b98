/** One request to an upload resource, which has it to itself until it is disposed of. */
import type { Readable } from 'node:stream'
import { manifestDigestOf } from '../../../digests/index.ts'
import { type DigestAlgorithm, Problem, type ProblemJson } from '../../../protocol/index.ts'
import type { PortalContext } from '../../context.ts'
import type { Account, Transfer } from '../../ledger/contract.ts'
import type { UploadResource } from '../../ledger/uploads-contract.ts'
import { topics } from '../../signals/index.ts'
import type { PartKey } from '../../store/contract.ts'
import type { ActiveUpload } from '../active-uploads.ts'
import { recordedProblem } from '../admission.ts'
import { BodyDigests } from '../body-digests.ts'
import { isAtEnd } from '../body-splitter.ts'
import { algorithmOf, requireReceiving } from '../part-upload.ts'
import { isStored } from '../same-request.ts'
import type { Transfers } from '../transfers.ts'
import { PartWriter, replaced } from './part-writer.ts'
import { tailBytes } from './tail.ts'

/** What a client may know about its upload. */
export interface UploadState {
  readonly transferId: string
  readonly offsetBytes: number
  /** Null while it is not known. */
  readonly lengthBytes: number | null
  /** Whether the transfer is stored. Its first notification was the answer. */
  readonly isComplete: boolean
  /** For how long the upload can be continued, if the client stays silent from now on. */
  readonly maxAgeSeconds: number
  /** The metadata with which it was created, as it came. */
  readonly metadata: string | null
}

/** Content that a request brings. */
export interface Append {
  /** Where the content begins, as the client says. */
  readonly offsetBytes: number
  /** Whether the end of the content is the end of the file. `at-length`: if it reaches the length of the upload. */
  readonly completes: boolean | 'at-length'
  /** The length of the content; null when it is not known. */
  readonly contentBytes: number | null
  /** The length of the file, where the request says it. */
  readonly lengthBytes: number | null
  /** The digest of the whole file, where the request says it (RFC 9530). */
  readonly reprDigest: string | null
  /** The digests of this content alone. Nothing of it counts before they are verified. */
  readonly contentDigests: Pick<BodyDigests, 'update' | 'verify'> | null
  readonly source: Readable
  /** Aborts when the client has disconnected. */
  readonly signal: AbortSignal
  /** Called when the request has been admitted, before any of the content is read. */
  readonly onAdmitted: () => void
  /** Called at the end of the content. @throws Problem when the request is not as it was announced */
  readonly onEnd?: () => void
  /** Called when more of the upload has become durable. */
  readonly onDurable?: (offsetBytes: number) => void
}

/** The result of a request whose content was read to its end. */
export interface Appended {
  readonly offsetBytes: number
  /** The stored transfer, if the upload is complete; otherwise null. */
  readonly stored: Transfer | null
}

export class UploadSession implements AsyncDisposable {
  readonly #context: PortalContext
  readonly #transfers: Transfers
  readonly #account: Account
  readonly #active: ActiveUpload
  readonly #writerId: string | null
  readonly #unsubscribe: () => void
  #upload: UploadResource
  #transfer: Transfer

  /** @param writerId null for a request that does not write */
  constructor(
    context: PortalContext,
    transfers: Transfers,
    session: {
      readonly account: Account
      readonly active: ActiveUpload
      readonly upload: UploadResource
      readonly transfer: Transfer
      readonly writerId: string | null
    },
  ) {
    this.#context = context
    this.#transfers = transfers
    this.#account = session.account
    this.#active = session.active
    this.#upload = session.upload
    this.#transfer = session.transfer
    this.#writerId = session.writerId
    const stop = (payload: string): void => {
      if (payload === 'stop') this.#active.cut()
    }
    this.#unsubscribe = context.signals.subscribe(topics.upload(session.transfer.transferId), stop, () => {})
  }

  get transfer(): Transfer {
    return this.#transfer
  }

  get state(): UploadState {
    const { ledger, options } = this.#context
    const { offsetBytes, lengthBytes, metadata, transferId } = this.#upload
    const isComplete = isStored(this.#transfer)
    const leftMs = this.#transfer.expiresAtMs - ledger.nowMs()
    const ageMs = isComplete ? options.historyMs : Math.max(0, Math.min(leftMs, options.uploadTimeoutMs))
    const maxAgeSeconds = Math.floor(ageMs / 1000)
    const length = lengthBytes ?? (isComplete ? offsetBytes : null)
    return { transferId, offsetBytes, lengthBytes: length, isComplete, maxAgeSeconds, metadata }
  }

  /**
   * Appends content, and completes the upload when that was the end. What came before a break stays, unless its digest was to be verified.
   *
   * @throws Problem `mismatching-upload-offset`, `inconsistent-upload-length`; `part-incomplete` when the content broke off;
   *   `digest-mismatching-value`; `unavailable` when a newer request has taken the upload over; for a failed completion, what `complete`
   *   of the transfer says. `isOver` tells whether the upload can be continued after that.
   */
  async append(append: Append): Promise<Appended> {
    const { offsetBytes } = this.#upload
    if (append.offsetBytes !== offsetBytes) {
      const offsets = { 'expected-offset': offsetBytes, 'provided-offset': append.offsetBytes }
      throw new Problem('mismatching-upload-offset', offsets)
    }
    if (isStored(this.#transfer)) return await this.#replayed(append)
    if (offsetBytes > 0) this.#context.metrics.uploadsContinued.inc()
    const completes = this.#completes(append)
    const lengthBytes = await this.#knownLength(append, completes)
    const whole = BodyDigests.of(this.#reprDigests(append))
    try {
      const writer = await this.#write(append, { completes, lengthBytes, whole: offsetBytes === 0 ? whole : null })
      this.#upload = writer.upload
      const reached = this.#upload.offsetBytes
      if (!(completes || (append.completes === 'at-length' && reached === lengthBytes))) {
        return { offsetBytes: reached, stored: null }
      }
      if (lengthBytes !== null && reached < lengthBytes) throw inconsistent(lengthBytes, reached)
      if (this.#upload.lengthBytes === null) await this.#recordLength(reached)
      if (whole !== null) await this.#verifyWhole(whole, offsetBytes === 0)
      return { offsetBytes: reached, stored: await this.#complete() }
    } catch (error) {
      // With `part-conflict`, an earlier request has brought other content for the same part. The portal cannot know which is right.
      const isOver = error instanceof Problem && (error.next === 'refused' || error.code === 'part-conflict')
      throw isOver ? await this.#fail(error) : error
    }
  }

  /** Ends the upload. A transfer that is stored stays as it is, and can only no longer be asked for here. */
  async cancel(): Promise<void> {
    await this.#transfers.cancel(this.#account, this.#transfer.transferId, true)
    await this.#context.ledger.removeUploadResource(this.#transfer.transferId)
  }

  /** Ends an upload whose address its client never learnt. */
  async abandon(problem: Problem): Promise<void> {
    await this.#fail(problem)
  }

  /** Whether nothing can be appended any more. */
  async isOver(): Promise<boolean> {
    const { transferId, attempt } = this.#upload
    const now = await this.#context.ledger.transfer(transferId)
    return now?.state !== 'receiving' || now.attempt !== attempt
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { ledger, signals, log } = this.#context
    const { transferId } = this.#transfer
    try {
      if (this.#writerId !== null) {
        await ledger.claimUploadResource(transferId, this.#writerId, null)
        signals.publish(topics.upload(transferId), 'free')
      }
    } catch (error) {
      log.warn({ err: error, transferId }, 'an upload was not released; the next request waits a moment for it')
    } finally {
      this.#unsubscribe()
      this.#active[Symbol.dispose]()
    }
  }

  get #digestAlgorithm(): DigestAlgorithm {
    return algorithmOf(this.#transfer)
  }

  #completes({ completes, offsetBytes, contentBytes, lengthBytes }: Append): boolean {
    if (completes !== 'at-length') return completes
    const length = lengthBytes ?? this.#upload.lengthBytes
    return length !== null && contentBytes !== null && offsetBytes + contentBytes === length
  }

  #reprDigests({ reprDigest }: Append): string[] {
    return [this.#upload.reprDigest, reprDigest].filter((one) => one !== null)
  }

  /**
   * A client that did not get the final answer asks for it again, with nothing to append. One that reads the rest of its file from a pipe
   * cannot say beforehand that there is nothing.
   */
  async #replayed({ completes, contentBytes, source, signal, onAdmitted }: Append): Promise<Appended> {
    const { offsetBytes } = this.#upload
    const isComplete = { offsetBytes, stored: this.#transfer }
    if (completes !== false && contentBytes === 0) return isComplete
    if (completes !== false && contentBytes === null) {
      onAdmitted()
      const body = { source, signal: AbortSignal.any([signal, this.#active.signal]), extraHasher: null }
      if (await isAtEnd(this.#context.options, body, this.#digestAlgorithm)) return isComplete
    }
    throw new Problem('inconsistent-upload-length', { detail: 'the upload is complete' })
  }

  /**
   * The length of the file, if it is known by now.
   *
   * @throws Problem `inconsistent-upload-length` when the request says another one, or brings more. In the latter case the upload is over;
   *   `transfer-too-large`
   */
  async #knownLength(append: Append, completes: boolean): Promise<number | null> {
    const { offsetBytes, contentBytes } = append
    const { lengthBytes: known } = this.#upload
    const end = contentBytes === null ? null : offsetBytes + contentBytes
    const said = [known, append.lengthBytes, completes ? end : null].filter((one) => one !== null)
    const [lengthBytes = null] = said
    if (said.some((one) => one !== lengthBytes)) throw inconsistent(...said)
    if (lengthBytes === null) return null
    if (lengthBytes < offsetBytes) throw inconsistent(lengthBytes, offsetBytes)
    if (end !== null && end > lengthBytes) throw await this.#fail(inconsistent(lengthBytes, end))
    if (known !== null) return lengthBytes
    const { transferSizeBytesMax: sizeBytesMax } = this.#context.options
    if (lengthBytes > sizeBytesMax) throw new Problem('transfer-too-large', { sizeBytes: lengthBytes, sizeBytesMax })
    await this.#recordLength(lengthBytes)
    return lengthBytes
  }

  async #recordLength(lengthBytes: number): Promise<void> {
    const { ledger } = this.#context
    if (!(await ledger.recordUploadLength(this.#upload.transferId, this.#writer, lengthBytes))) throw replaced()
    this.#upload = { ...this.#upload, lengthBytes }
  }

  get #writer(): string {
    if (this.#writerId === null) throw new Error('this request may not write')
    return this.#writerId
  }

  /** Reads the content and stores it. @returns the writer, all of whose content is recorded */
  async #write(
    append: Append,
    how: { readonly completes: boolean; readonly lengthBytes: number | null; readonly whole: BodyDigests | null },
  ): Promise<PartWriter> {
    const { options } = this.#context
    const { contentDigests, source, contentBytes } = append
    const { completes, lengthBytes, whole } = how
    const signal = AbortSignal.any([append.signal, this.#active.signal])
    const open = {
      transfer: requireReceiving(this.#transfer),
      upload: this.#upload,
      writerId: this.#writer,
      digestAlgorithm: this.#digestAlgorithm,
      lengthBytes,
      account: this.#account,
      active: this.#active,
    }
    const onDurable = append.onDurable ?? (() => {})
    const isHeldBack = contentDigests !== null
    const writer = new PartWriter(this.#context, this.#transfers, open, {
      contentBytes,
      completes,
      isHeldBack,
      onDurable,
    })
    const hashers = [contentDigests, whole].filter((one) => one !== null)
    const extraHasher = {
      update: (bytes: Uint8Array) => {
        for (const hasher of hashers) hasher.update(bytes)
      },
    }
    const body = { source, signal, extraHasher: hashers.length === 0 ? null : extraHasher }
    append.onAdmitted()
    try {
      await writer.read(body)
      if (lengthBytes !== null && !(await isAtEnd(options, body, this.#digestAlgorithm))) {
        throw await this.#fail(inconsistent(lengthBytes))
      }
      contentDigests?.verify()
      append.onEnd?.()
      await writer.settle()
      return writer
    } catch (error) {
      // What came before the break still counts.
      if (!isHeldBack) await writer.settle().catch(() => {})
      throw this.#active.signal.aborted ? replaced() : error
    } finally {
      this.#upload = writer.upload
      await writer.drop().catch(() => {})
    }
  }

  /**
   * Verifies the digest of the whole file.
   *
   * @param isHashed false where earlier requests brought the beginning, perhaps to another portal: then the file is read from the store
   * @throws Problem `digest-mismatching-value`, after which the upload is over
   */
  async #verifyWhole(whole: BodyDigests, isHashed: boolean): Promise<void> {
    if (!isHashed) {
      // A large file takes longer than the upload timeout.
      const extendDeadline = this.#transfers.extendDeadlineOnBytes(this.#upload.transferId)
      for await (const bytes of this.#stored()) {
        if (this.#active.signal.aborted) throw replaced()
        whole.update(bytes)
        extendDeadline()
      }
    }
    try {
      whole.verify()
    } catch (error) {
      throw error instanceof Problem ? await this.#fail(error) : error
    }
  }

  async *#stored(): AsyncGenerator<Uint8Array> {
    const { ledger, store } = this.#context
    const { transferId, generation } = this.#upload
    for (const [index, digest] of (await ledger.uploadedDigests(transferId)).entries()) {
      const content = await store.read({ transferId, generation, partNumber: index + 1, digest })
      if (content === null) throw new Problem('store-failed', { detail: `part ${index + 1} is missing` })
      yield* content.stream as AsyncIterable<Uint8Array>
    }
  }

  async #complete(): Promise<Transfer> {
    const { ledger, store } = this.#context
    const { transferId, attempt, generation, offsetBytes, tail } = this.#upload
    if (tailBytes(tail) > 0) throw new Error('an upload is complete, and has a tail')
    const digests = await ledger.uploadedDigests(transferId)
    // A request that was replaced may have stored other content under the number of a part, while its portal was paused.
    const listed = await store.list({ transferId, generation })
    for (const [partNumber, digest] of listed) {
      const key: PartKey = { transferId, generation, partNumber, digest }
      if (digests[partNumber - 1] !== digest) await store.removePart(key)
    }
    const manifestDigest = manifestDigestOf(this.#digestAlgorithm, digests)
    const completion = { attempt, manifestDigest, sizeBytes: offsetBytes }
    const notification = await this.#transfers.complete(this.#account, transferId, completion)
    if ('problem' in notification) throw recordedProblem(notification)
    const stored = await ledger.transfer(transferId)
    if (stored === null) throw new Error(`transfer ${transferId} is stored, and not in the ledger`)
    this.#transfer = stored
    return stored
  }

  /** Ends the attempt. A client that chose the transferId may send the file again. @returns the problem that the ledger has */
  async #fail(problem: Problem): Promise<Problem> {
    const { transferId, attempt, isKeyed } = this.#upload
    const isWantedAgain = isKeyed && problem.next !== 'refused'
    const notification = await this.#transfers.attemptFailed({ transferId, attempt }, problem, isWantedAgain)
    return notification !== null && 'problem' in notification ? recordedProblem(notification) : problem
  }
}

function inconsistent(...lengths: readonly (number | undefined)[]): Problem {
  return new Problem('inconsistent-upload-length', { lengths: [...new Set(lengths)] })
}

/** The reason why an upload cannot be continued. */
export function goneBecause(transfer: Transfer): { readonly state: string; readonly problem?: ProblemJson } {
  const { state } = transfer
  return 'problem' in transfer ? { state, problem: transfer.problem } : { state }
}
