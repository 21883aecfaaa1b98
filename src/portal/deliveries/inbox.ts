/**
 * The offers for one connected receiver: first the waiting files, then new ones. At most `window` offers are open at a time, so
 * that no lease runs while its file only queues at the receiver.
 */
import {
  inlineBytesAtOnceMax,
  inlineSizeBytesMax,
  isFinalDelivery,
  type Offer,
  Problem,
  type Withdrawal,
} from '../../protocol/index.ts'
import { requestsOf } from '../accounts/guests.ts'
import { isHeldInLedger, type PortalContext } from '../context.ts'
import type { Account, Transfer } from '../ledger/contract.ts'
import { type Signals, topics, Waiter, type WokenBy } from '../signals/index.ts'
import { offerOf } from '../views.ts'
import { ConnectionTakeover, type Notice } from './connection-takeover.ts'

/** When due deliveries are locked by another portal, which may be paused, the next look comes after this time. */
const HELD_MS = 100

export type InboxMessage =
  | { readonly type: 'offer'; readonly offer: Offer }
  | { readonly type: 'withdrawn'; readonly withdrawal: Withdrawal }
  | { readonly type: 'current' }
  | Notice

/** For a held answer, which ends after its first messages. */
export interface HeldInbox {
  /** The transfers whose offers the receiver has open; null when the receiver starts: then its earlier offers come again. */
  readonly open: readonly string[] | null
  readonly waitMs: number
}

export interface InboxRequest {
  readonly account: Account
  readonly instanceId: string
  /** The receiver's id of its process; null when it gives none. */
  readonly processId: string | null
  readonly window: number
  /** Whether the content of small files comes with their offers. */
  readonly isInline: boolean
  /** How many bytes of content open offers may have brought at most, for a receiver with a slow line or a limit. */
  readonly contentBytesMax?: number
  /** Whether streams are offered before their size is known. */
  readonly areStreamsWanted?: boolean
  /** For a receiver that polls with held answers; null for an event stream. */
  readonly held?: HeldInbox | null
}

/** The messages for one connection, until `signal` aborts or the same receiving process connects again. */
export async function* inboxMessages(
  context: PortalContext,
  {
    account,
    instanceId,
    processId,
    window,
    isInline,
    contentBytesMax,
    areStreamsWanted = false,
    held = null,
  }: InboxRequest,
  signal: AbortSignal,
): AsyncGenerator<InboxMessage> {
  const { ledger, signals, options } = context
  const begunAtMs = performance.now()
  using waiter = new Waiter(signals, topics.inbox(account.accountId))
  using changes = new Changes(signals, topics.inbox(account.accountId))
  const own = { atMs: ledger.nowMs(), processId }
  using takeover = new ConnectionTakeover(signals, topics.takeover(account.accountId, instanceId), own, () =>
    waiter.wake(),
  )
  /** Offers of this connection without an answer: transferId -> leaseId. */
  const open = new Map<string, string>()
  /** Bytes of content that came with open offers. */
  const brought = new Map<string, number>()
  let isConnected = held !== null && held.open !== null
  let isCurrent = isConnected
  let hasSent = false
  for (const transferId of held?.open ?? []) {
    const delivery = await ledger.deliveryAlone(transferId, account.accountId)
    if (delivery?.state === 'offered') open.set(transferId, delivery.lease.leaseId)
    const problem = delivery === null || delivery.state === 'failed' ? problemOf(delivery) : null
    if (problem === null) continue
    hasSent = true
    yield { type: 'withdrawn', withdrawal: { transferId, problem } }
  }
  let wokenBy: WokenBy = 'signal'

  while (!signal.aborted && !takeover.isOver) {
    const leftMs = held === null ? Number.POSITIVE_INFINITY : begunAtMs + held.waitMs - performance.now()
    if (takeover.contestedMs > 0) {
      if (leftMs <= 0) return
      await waiter.wait(Math.min(takeover.contestedMs, leftMs), signal)
      continue
    }
    if (!isConnected) await ledger.receiverConnected(account.accountId, instanceId)
    isConnected = true
    const isMereLook = wokenBy === 'look'
    for (const [transferId, leaseId] of isMereLook ? [...open] : changes.among(open)) {
      const problem = await endOf(context, account, transferId, leaseId)
      if (problem === null) continue
      open.delete(transferId)
      brought.delete(transferId)
      if (problem === undefined) continue
      hasSent = true
      yield { type: 'withdrawn', withdrawal: { transferId, problem } }
    }
    const limit = window - open.size
    // Read before the leases begin, so that receivers never take a lease for younger than it is.
    const streamMs = performance.now() - begunAtMs
    // Thousands of receivers look while nothing comes for them, so the cheapest question comes first.
    let nextMs = isMereLook && limit > 0 ? await ledger.nextOfferInMs(account.accountId, { areStreamsWanted }) : null
    const isDue = limit > 0 && (!isMereLook || nextMs === 0)
    const transfers = isDue
      ? await ledger.offerNext(account.accountId, instanceId, { ...options, limit, areStreamsWanted })
      : []
    const requests = await requestsOf(context, transfers)
    let inlineBytesLeft = isInline ? Math.min(inlineBytesAtOnceMax, roomIn(contentBytesMax, brought)) : 0
    for (const transfer of transfers) {
      const delivery = transfer.deliveries.find((one) => one.receiverId === account.accountId)
      const offer = delivery === undefined ? null : offerOf(transfer, delivery, { leaseMs: options.leaseMs, requests })
      if (offer === null) continue
      open.set(offer.transferId, offer.leaseId)
      // If the content does not come along, the receiver fetches it like any part.
      const content =
        transfer.isSizeKnown && transfer.sizeBytes <= inlineBytesLeft ? await inlineContent(context, transfer) : {}
      if ('content' in content) {
        inlineBytesLeft -= transfer.sizeBytes
        brought.set(offer.transferId, transfer.sizeBytes)
      }
      hasSent = true
      yield { type: 'offer', offer: { ...offer, streamMs, ...content } }
    }
    if (!isCurrent) {
      isCurrent = true
      hasSent = true
      yield { type: 'current' }
    }
    if (held !== null && (hasSent || leftMs <= 0)) return
    // With a full window nothing can be offered until the receiver answers. A signal reports that answer.
    if (isDue) nextMs = open.size < window ? await ledger.nextOfferInMs(account.accountId, { areStreamsWanted }) : null
    if (isDue && nextMs === 0 && transfers.length < limit) nextMs = HELD_MS
    wokenBy = await waiter.wait(Math.min(nextMs ?? Number.POSITIVE_INFINITY, leftMs), signal)
  }
  if (takeover.notice !== null) yield takeover.notice
}

/** How many bytes of content further offers may bring. */
function roomIn(contentBytesMax = Number.POSITIVE_INFINITY, brought: ReadonlyMap<string, number>): number {
  return contentBytesMax - [...brought.values()].reduce((sum, bytes) => sum + bytes, 0)
}

/** The content of a small file that goes along with its offer. */
async function inlineContent({ ledger, metrics }: PortalContext, transfer: Transfer): Promise<Pick<Offer, 'content'>> {
  if (!isHeldInLedger(transfer)) return {}
  const { transferId, sizeBytes } = transfer
  const whole = sizeBytes <= inlineSizeBytesMax ? await ledger.content(transferId) : null
  if (whole === null) return {}
  metrics.partBytes.inc({ direction: 'out' }, sizeBytes)
  return { content: Buffer.from(whole.content).toString('base64') }
}

/** Remembers which transfers may have changed, so that one change does not make the portal check all open offers. */
class Changes implements Disposable {
  readonly #changed = new Set<string>()
  readonly #unsubscribe: () => void
  /** Any transfer may have changed. */
  #areAll = false

  constructor(signals: Signals, topic: string) {
    const setAll = (): void => {
      this.#areAll = true
    }
    this.#unsubscribe = signals.subscribe(
      topic,
      (transferId) => {
        if (transferId === '') setAll()
        else this.#changed.add(transferId)
      },
      setAll,
    )
  }

  /** The open offers that may have changed since the last call. */
  among(open: ReadonlyMap<string, string>): [transferId: string, leaseId: string][] {
    const chosen = [...open].filter(([transferId]) => this.#areAll || this.#changed.has(transferId))
    this.#changed.clear()
    this.#areAll = false
    return chosen
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
  }
}

/**
 * Finds out whether an open offer is over.
 *
 * @returns null while it is open; undefined when it is over and the receiver need not be told; the problem when the offer was
 *   withdrawn
 */
async function endOf(
  { ledger }: PortalContext,
  account: Account,
  transferId: string,
  leaseId: string,
): Promise<Withdrawal['problem'] | null | undefined> {
  const delivery = await ledger.deliveryAlone(transferId, account.accountId)
  if (delivery === null || delivery.state === 'failed') return problemOf(delivery)
  if (isFinalDelivery(delivery.state)) return undefined
  // The receiver is not told of an expired lease: the next offer brings a new lease, and fetched parts stay valid.
  return delivery.state === 'offered' && delivery.lease.leaseId === leaseId ? null : undefined
}

/** Why an offer was withdrawn. A delivery that the ledger no longer knows has expired. */
function problemOf(delivery: { readonly problem: Withdrawal['problem'] } | null): Withdrawal['problem'] {
  return delivery === null ? new Problem('expired').toJSON() : delivery.problem
}
