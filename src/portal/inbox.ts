/**
 * What one connected receiver is offered: everything that waits for it, then what comes. At most `window` offers are
 * open at a time, so that no lease runs while its file only queues at the receiver.
 */
import { inlineSizeBytesMax, isFinalDelivery, type Offer, Problem, type Withdrawal } from '../protocol/index.ts'
import { isHeldInLedger, type PortalContext } from './context.ts'
import type { Account, Transfer } from './ledger/contract.ts'
import { Presence } from './presence.ts'
import { type Signals, topics, Waiter, type WokenBy } from './signals/index.ts'
import { offerOf } from './views.ts'

/** What is due and cannot be had is just held by somebody else: another portal that offers it, or one that was paused. */
const HELD_MS = 100

export type InboxMessage =
  | { readonly type: 'offer'; readonly offer: Offer }
  | { readonly type: 'withdrawn'; readonly withdrawal: Withdrawal }
  | { readonly type: 'current' }

export interface InboxRequest {
  readonly account: Account
  readonly instanceId: string
  readonly window: number
  /** Whether the content of small files comes with their offers. */
  readonly isInline: boolean
}

/** The messages for one connection, until `signal` aborts or the same receiving process connects anew. */
export async function* inboxMessages(
  context: PortalContext,
  { account, instanceId, window, isInline }: InboxRequest,
  signal: AbortSignal,
): AsyncGenerator<InboxMessage> {
  const { ledger, signals, options } = context
  const begunAtMs = performance.now()
  using waiter = new Waiter(signals, topics.inbox(account.accountId))
  using changes = new Changes(signals, topics.inbox(account.accountId))
  using present = new Presence(signals, topics.takeover(account.accountId, instanceId), () => waiter.wake())
  await ledger.welcome(account.accountId, instanceId)
  /** Offers of this connection that have no answer yet: transferId -> leaseId. */
  const open = new Map<string, string>()
  let isCurrent = false
  let wokenBy: WokenBy = 'signal'

  while (!signal.aborted && !present.isOver) {
    const isMereLook = wokenBy === 'look'
    for (const [transferId, leaseId] of isMereLook ? [...open] : changes.among(open)) {
      const problem = await endOf(context, account, transferId, leaseId)
      if (problem === null) continue
      open.delete(transferId)
      if (problem !== undefined) yield { type: 'withdrawn', withdrawal: { transferId, problem } }
    }
    const limit = window - open.size
    // Looked at before the leases begin, so that they never look younger than they are.
    const streamMs = performance.now() - begunAtMs
    // Thousands of receivers look for which nothing comes: one cheap question before any other.
    let nextMs = isMereLook && limit > 0 ? await ledger.nextOfferInMs(account.accountId) : null
    const isDue = limit > 0 && (!isMereLook || nextMs === 0)
    const transfers = isDue ? await ledger.offerNext(account.accountId, instanceId, { ...options, limit }) : []
    for (const transfer of transfers) {
      const delivery = transfer.deliveries.find((one) => one.receiverId === account.accountId)
      const offer = delivery === undefined ? null : offerOf(transfer, delivery, options.leaseMs)
      if (offer === null) continue
      open.set(offer.transferId, offer.leaseId)
      const content = isInline ? await inlineContent(context, transfer) : {}
      yield { type: 'offer', offer: { ...offer, streamMs, ...content } }
    }
    if (!isCurrent) {
      isCurrent = true
      yield { type: 'current' }
    }
    // With a full window there is nothing to offer until an answer comes, and that is signalled.
    if (isDue) nextMs = open.size < window ? await ledger.nextOfferInMs(account.accountId) : null
    if (isDue && nextMs === 0 && transfers.length < limit) nextMs = HELD_MS
    wokenBy = await waiter.wait(nextMs ?? Number.POSITIVE_INFINITY, signal)
  }
}

/** What of a file can go along with its offer. */
async function inlineContent({ ledger, metrics }: PortalContext, transfer: Transfer): Promise<Pick<Offer, 'content'>> {
  if (!isHeldInLedger(transfer)) return {}
  const { transferId, sizeBytes } = transfer
  const whole = sizeBytes <= inlineSizeBytesMax ? await ledger.content(transferId) : null
  if (whole === null) return {}
  metrics.partBytes.inc({ direction: 'out' }, sizeBytes)
  return { content: Buffer.from(whole.content).toString('base64') }
}

/** Of which transfers something may have changed, so that not all that is open is looked at for each of them. */
class Changes implements Disposable {
  readonly #changed = new Set<string>()
  readonly #unsubscribe: () => void
  /** It is not known of which. */
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

  /** Those of the open offers that are to be looked at since the last time. */
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
 * Whether an open offer is over.
 *
 * @returns null while it is open; undefined when there is nothing to tell the receiver; the problem when the offer
 *   was withdrawn
 */
async function endOf(
  { ledger }: PortalContext,
  account: Account,
  transferId: string,
  leaseId: string,
): Promise<Withdrawal['problem'] | null | undefined> {
  const delivery = await ledger.deliveryAlone(transferId, account.accountId)
  if (delivery === null) return new Problem('expired').toJSON()
  if (delivery.state === 'failed') return delivery.problem
  if (isFinalDelivery(delivery.state)) return undefined
  // A lease that ran out is not told: the next offer brings a new one, and what was fetched stays good.
  return delivery.state === 'offered' && delivery.lease.leaseId === leaseId ? null : undefined
}
