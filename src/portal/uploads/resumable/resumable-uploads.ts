/** Creates upload resources, and lets one request at a time have one. */
import { createHash, randomBytes } from 'node:crypto'
import { choosePartSizeBytes, newTransferId, type PlainMetadata, Problem } from '../../../protocol/index.ts'
import type { PortalContext } from '../../context.ts'
import type { Account, Transfer } from '../../ledger/contract.ts'
import type { UploadProtocol, UploadResource } from '../../ledger/uploads-contract.ts'
import { notTheirs } from '../../monitoring/audit.ts'
import { topics, Waiter } from '../../signals/index.ts'
import type { ActiveUpload, Description } from '../active-uploads.ts'
import { recordedProblem } from '../admission.ts'
import { BodyDigests } from '../body-digests.ts'
import { digestAlgorithmOf, requireSameRequest } from '../one-request.ts'
import { descriptionOf, isStored } from '../same-request.ts'
import type { Transfers } from '../transfers.ts'
import { replaced } from './part-writer.ts'
import { removeSegments } from './tail.ts'
import { goneBecause, UploadSession } from './upload-session.ts'

/** 256 bits, as base64url. */
const SECRET_BYTES = 32
/** How long a new request waits until the one before it, at another portal, has stored what came. */
const TAKEOVER_MS_MAX = 5_000
/** How often it looks, because signals may get lost. */
const TAKEOVER_LOOK_MS = 250

/** A file that is to be uploaded by one request or several. */
export interface NewUpload {
  readonly protocol: UploadProtocol
  readonly to: readonly string[]
  readonly metadata: PlainMetadata
  /** The transferId that the client chose as its idempotency key; null without one. */
  readonly key: string | null
  /** The length of the file; null while it is not known. */
  readonly lengthBytes: number | null
  /** The digest of the whole file (RFC 9530). */
  readonly reprDigest: string | null
  /** Kept and given back as it is. */
  readonly metadataText: string | null
}

export class ResumableUploads {
  readonly #context: PortalContext
  readonly #transfers: Transfers

  constructor(context: PortalContext, transfers: Transfers) {
    this.#context = context
    this.#transfers = transfers
  }

  /**
   * Creates an upload resource, whose transfer is announced: receivers fetch meanwhile.
   *
   * @returns its secret, and the session in which the creating request may append content
   * @throws Problem like an announcement; `too-many-transfers`; `transfer-conflict` when the key belongs to another request, or to a
   *   transfer that is stored
   */
  async create(account: Account, upload: NewUpload): Promise<{ secret: string; session: UploadSession }> {
    const { ledger, options, store } = this.#context
    const { key, lengthBytes, to, metadata, reprDigest } = upload
    // Checked before anything is announced.
    if (reprDigest !== null) BodyDigests.of([reprDigest])
    const transferId = key ?? newTransferId(ledger.nowMs())
    const file: Description = { to, metadata, sizeBytes: lengthBytes }
    const earlier = key === null ? null : await ledger.transfer(key)
    if (earlier !== null) {
      requireSameRequest(earlier, account, file)
      if (earlier.state !== 'receiving') throw new Problem('transfer-conflict', { state: earlier.state })
    }
    const active = await this.#context.activeUploads.begin(transferId, account.accountId, file)
    try {
      const partSizeBytes = choosePartSizeBytes(lengthBytes ?? options.transferSizeBytesMax)
      const digestAlgorithm = digestAlgorithmOf(this.#context, earlier)
      const announcement = { to: [...to], metadata, sizeBytes: lengthBytes, partSizeBytes, digestAlgorithm }
      const way = { isOneRequest: true, isResumable: true } as const
      const { status, isNew } = await this.#transfers.announce(account, transferId, announcement, way)
      if (!isNew) {
        const before = await ledger.uploadResource({ transferId })
        const ended = await this.#transfers.beginAgain(transferId, status.attempt)
        if (ended?.notification === 'refused') throw recordedProblem(ended)
        if (before !== null) await removeSegments(store, transferId, before.tail)
      }
      const transfer = await ledger.transfer(transferId)
      if (transfer?.state !== 'receiving') throw new Problem('transfer-closed', { state: transfer?.state })
      const secret = randomBytes(SECRET_BYTES).toString('base64url')
      const writerId = this.#newWriterId()
      const resource = {
        transferId,
        accountId: account.accountId,
        protocol: upload.protocol,
        secretHash: hashOf(secret),
        attempt: transfer.attempt,
        generation: transfer.generation,
        isKeyed: key !== null,
        lengthBytes,
        reprDigest,
        metadata: upload.metadataText,
      }
      await ledger.createUploadResource(resource, writerId)
      const opened = { ...resource, writerId, offsetBytes: 0, tail: [] }
      const session = { account, active, transfer, upload: opened, writerId }
      return { secret, session: new UploadSession(this.#context, this.#transfers, session) }
    } catch (error) {
      active[Symbol.dispose]()
      throw error
    }
  }

  /**
   * Takes an upload resource over: a request that still runs for it, at whatever portal, has stored what came and has ended when this
   * resolves, or nothing that it stores from now on counts.
   *
   * @param willWrite false for a request that only asks
   * @throws Problem `not-found`, also for an upload of another account; `upload-gone` when it can neither be continued nor asked for its
   *   outcome any more
   */
  async open(
    account: Account,
    protocol: UploadProtocol,
    secret: string,
    { willWrite, signal }: { readonly willWrite: boolean; readonly signal: AbortSignal },
  ): Promise<UploadSession> {
    const { ledger, activeUploads, options } = this.#context
    const found = await ledger.uploadResource({ secretHash: hashOf(secret) })
    if (found === null || found.protocol !== protocol) throw notThere()
    const { transferId } = found
    if (found.accountId !== account.accountId) throw notTheirs(transferId)
    const before = await ledger.transfer(transferId)
    const description = before === null ? null : descriptionOf(before)
    if (before === null || description === null) throw notThere()
    // How far a stream reaches by now is not its length.
    const file = before.isSizeKnown ? description : { ...description, sizeBytes: null }
    // A request whose client has gone may be older than one that another portal has answered meanwhile: it must not change that answer.
    // At a single portal requests come here in their order, and what such a request has brought still counts.
    if (ledger.traits.isShared && signal.aborted) throw replaced()
    const active = await activeUploads.begin(transferId, account.accountId, file)
    try {
      const writerId = willWrite ? this.#newWriterId() : null
      const upload = await this.#takeOver(found, writerId, active, signal)
      const transfer = await ledger.transfer(transferId)
      if (transfer === null) throw notThere()
      requireSameAttempt(transfer, upload)
      if (transfer.state === 'receiving') await ledger.extendUploadDeadline(transferId, options.uploadTimeoutMs)
      const session = { account, active, transfer, upload, writerId }
      return new UploadSession(this.#context, this.#transfers, session)
    } catch (error) {
      active[Symbol.dispose]()
      throw error
    }
  }

  #newWriterId(): string {
    return `${this.#context.portalId} ${randomBytes(12).toString('hex')}`
  }

  /** Waits for the writer at another portal, and then replaces it. At this portal none writes any more. */
  async #takeOver(
    found: UploadResource,
    writerId: string | null,
    active: ActiveUpload,
    signal: AbortSignal,
  ): Promise<UploadResource> {
    const { ledger, signals, portalId } = this.#context
    const { transferId, secretHash } = found
    const topic = topics.upload(transferId)
    using waiter = new Waiter(signals, topic, (payload) => payload === 'free')
    const untilMs = performance.now() + TAKEOVER_MS_MAX
    let now: UploadResource | null = found
    while (now !== null && now.secretHash === secretHash) {
      if (now.writerId === null && writerId === null) return now
      const isElsewhere = ledger.traits.isShared && now.writerId !== null && !now.writerId.startsWith(`${portalId} `)
      const leftMs = untilMs - performance.now()
      if (isElsewhere && leftMs > 0) {
        signals.publish(topic, 'stop')
        await waiter.wait(Math.min(TAKEOVER_LOOK_MS, leftMs), signal)
        if (active.signal.aborted || signal.aborted) throw replaced()
      } else {
        const claimed = await ledger.claimUploadResource(transferId, now.writerId, writerId)
        if (claimed !== null) return claimed
      }
      now = await ledger.uploadResource({ transferId })
    }
    throw notThere()
  }
}

/** The address is the only place where the secret itself is kept. */
function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

function notThere(): Problem {
  return new Problem('not-found')
}

/** @throws Problem `upload-gone` */
function requireSameAttempt(transfer: Transfer, { attempt, generation }: UploadResource): void {
  const isSame = transfer.attempt === attempt
  if (isSame && (isStored(transfer) || (transfer.state === 'receiving' && transfer.generation === generation))) return
  throw new Problem('upload-gone', goneBecause(transfer))
}
