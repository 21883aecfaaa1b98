/**
 * App 3, the receiver: dials out to the portal, stays connected, and takes in every file that is offered. Where the files go
 * is the business of an {@link Inbox}; all else is the same in Node and in a browser.
 */
import { type InboxEvent, type InFlightBounds, inFlightDefaults, type PortalClient, sleep } from '../client/index.ts'
import { largeBytesMin, Places } from '../hop/index.ts'
import type { Offer } from '../protocol/index.ts'
import type { Decide } from './decision.ts'
import { Delivery, type DeliveryContext, type DeliveryOutcome } from './delivery.ts'
import type { ReceiveEvent } from './events.ts'
import type { Inbox } from './inbox.ts'
import type { PartBody } from './incoming-file.ts'
import { Links } from './links.ts'
import { pauseAfter } from './standing-offer.ts'
import type { ReceiverTrust } from './trust.ts'

/** What a receiver is told, wherever it runs. */
export interface ReceiveBasics<Body extends PartBody> {
  readonly client: PortalClient<Body>
  /** Null for an account without keys: it cannot open what is sealed, and signs no receipts. */
  readonly trust: ReceiverTrust | null
  /** The accounts that files are taken from; null for all. Others are refused. */
  readonly from: readonly string[] | null
  /** Ends after the first delivery that has been answered: received or refused. */
  readonly isOnce: boolean
  /** Stops cleanly: what is verified is kept for the next time. */
  readonly signal: AbortSignal
  readonly onEvent: (event: ReceiveEvent) => void
  /** So many offers are open at the same time. */
  readonly transfersAtOnce?: number
  /** A connection that brings nothing for so long has stalled. */
  readonly idleMs?: number
}

/** What else may differ. */
export interface ReceiveIntoOptions<Body extends PartBody> extends ReceiveBasics<Body> {
  /** Asked before any content travels; null to accept everything. Small files then do not come with their offers. */
  readonly decide?: Decide | null
  /** Of so many transfers content is fetched at the same time; if not given, of all but a few large ones. */
  readonly contentsAtOnce?: number
  /** Per transfer; how many within these bounds is found out by trying. */
  readonly partsInFlight?: InFlightBounds
}

/** How many deliveries were answered how. */
export interface ReceiveResult {
  readonly received: number
  readonly refused: number
}

/** Small files spend their time waiting: for the disk, and for answers. */
const TRANSFERS_AT_ONCE_DEFAULT = 16
/** Large ones share the bandwidth: it is better to be done with one than to be half done with many. */
const LARGE_AT_ONCE_MAX = 4
const IDLE_MS_DEFAULT = 30_000
/** Tasks that wait for a lost offer do not count at the portal, so there may be more of them than were asked for. */
const TASKS_PER_TRANSFER_MAX = 4

/**
 * Receives until `signal` aborts, or, with `isOnce`, until one delivery has been answered. Connects again and again;
 * a portal that is away is waited for.
 *
 * @throws RemoteProblem when the portal does not want this receiver, `credentials-invalid` for one
 */
export async function receiveInto<Body extends PartBody>(
  inbox: Inbox<Body>,
  options: ReceiveIntoOptions<Body>,
): Promise<ReceiveResult> {
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const { client, onEvent, decide = null, partsInFlight = inFlightDefaults, idleMs = IDLE_MS_DEFAULT } = options
  const transfersAtOnce = options.isOnce ? 1 : (options.transfersAtOnce ?? TRANSFERS_AT_ONCE_DEFAULT)
  const acceptance = { trust: options.trust, from: options.from }
  const placesFor = contentPlaces(options.contentsAtOnce)
  const links = new Links(client.canFollowLinks)
  const tasks = new Tasks(
    { client, inbox, acceptance, decide, placesFor, partsInFlight, idleMs, links, onEvent, signal },
    transfersAtOnce,
    {
      ended: (outcome) => {
        if (options.isOnce && (outcome === 'received' || outcome === 'refused')) ending.abort()
      },
      failed: (error) => ending.abort(error),
    },
  )
  try {
    await watch(
      options,
      { instanceId: inbox.instanceId, window: transfersAtOnce, isInline: decide === null },
      (event) => tasks.take(event),
      signal,
    )
  } finally {
    ending.abort()
    await tasks.settled()
  }
  if (tasks.failure !== null) throw tasks.failure.error
  return tasks.counts
}

function contentPlaces(contentsAtOnce: number | undefined): (sizeBytes: number) => Places | null {
  const places = new Places(contentsAtOnce ?? LARGE_AT_ONCE_MAX)
  return (sizeBytes) => (contentsAtOnce === undefined && sizeBytes < largeBytesMin ? null : places)
}

/** Follows the inbox until the signal aborts, connecting again whenever that breaks. */
async function watch<Body extends PartBody>(
  { client, onEvent }: ReceiveBasics<Body>,
  receiver: { instanceId: string; window: number; isInline: boolean },
  onInbox: (event: InboxEvent) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 1; !signal.aborted; tries++) {
    let isConnected = false
    try {
      for await (const event of client.watchInbox(receiver, { signal })) {
        if (signal.aborted) return
        if (!isConnected) onEvent({ type: 'connected' })
        isConnected = true
        await onInbox(event)
      }
    } catch (error) {
      if (signal.aborted) return
      if (isConnected) tries = 1
      const pauseMs = pauseAfter(error, tries)
      onEvent({ type: 'disconnected', reason: error instanceof Error ? error.message : String(error), pauseMs })
      // An abort ends the pause, and the condition of the loop ends the rest.
      await sleep(pauseMs, signal).catch(() => {})
    }
  }
}

/** The deliveries that are under way, at most one per transfer. */
class Tasks<Body extends PartBody> {
  readonly #context: DeliveryContext<Body>
  readonly #tasksMax: number
  readonly #hooks: { ended: (outcome: DeliveryOutcome) => void; failed: (error: unknown) => void }
  readonly #running = new Map<string, { readonly delivery: Delivery<Body>; readonly done: Promise<void> }>()
  readonly counts = { received: 0, refused: 0 }
  /** The first error that no delivery could deal with. */
  failure: { readonly error: unknown } | null = null

  constructor(
    context: DeliveryContext<Body>,
    transfersAtOnce: number,
    hooks: { ended: (outcome: DeliveryOutcome) => void; failed: (error: unknown) => void },
  ) {
    this.#context = context
    this.#tasksMax = transfersAtOnce * TASKS_PER_TRANSFER_MAX
    this.#hooks = hooks
  }

  async take(event: InboxEvent): Promise<void> {
    if (event.type === 'offer') this.#offered(event.offer, event.leasedAtMs)
    if (event.type === 'current') await this.#removeVoid()
    if (event.type !== 'withdrawn') return
    const { transferId, problem } = event.withdrawal
    const running = this.#running.get(transferId)
    if (running === undefined) await this.#context.inbox.discard(transferId)
    else running.delivery.withdrawn(problem)
  }

  async settled(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  /** Removes what an earlier run left of deliveries that have ended meanwhile. */
  async #removeVoid(): Promise<void> {
    const { client, inbox, signal } = this.#context
    for (const transferId of await inbox.unfinished()) {
      if (this.#running.has(transferId)) continue
      // One that is unknown may be another account's, or another portal's, that receives into the same folder.
      const state = await client.deliveryState(transferId, { signal })
      if (state === 'ended' && !this.#running.has(transferId)) await inbox.discard(transferId)
    }
  }

  #offered(offer: Offer, leasedAtMs: number): void {
    const { transferId } = offer
    const running = this.#running.get(transferId)
    if (running !== undefined) {
      if (!running.delivery.offered(offer, leasedAtMs)) {
        void running.done.then(() => {
          if (!this.#context.signal.aborted) this.#offered(offer, leasedAtMs)
        })
      }
      return
    }
    // An offer that is let pass comes again when its lease has run out.
    if (this.#running.size >= this.#tasksMax) return
    const delivery = new Delivery(this.#context, offer, leasedAtMs)
    this.#running.set(transferId, { delivery, done: this.#run(transferId, delivery) })
  }

  async #run(transferId: string, delivery: Delivery<Body>): Promise<void> {
    try {
      const outcome = await delivery.run()
      if (outcome === 'received' || outcome === 'refused') this.counts[outcome]++
      this.#hooks.ended(outcome)
    } catch (error) {
      this.failure ??= { error }
      this.#hooks.failed(error)
    } finally {
      this.#running.delete(transferId)
    }
  }
}
