/**
 * The receiver: connects to the portal, stays connected, and receives every file that is offered. An {@link Inbox} stores the files;
 * the rest is the same in Node and in a browser.
 */
import { retry, Semaphore } from '../async/index.ts'
import {
  type ConcurrencyBounds,
  hearInbox,
  heldBackText,
  type InboxEvent,
  type InboxQuestion,
  largeBytesMin,
  type PortalClient,
  pauseAfter,
  type RateBounds,
} from '../client/index.ts'
import { inlineSizeBytesMax, type Limits, type Offer, offersOpenMax } from '../protocol/index.ts'
import { dispositionBatcher, QuietWhileAnswering } from './answers.ts'
import { ReceiverClocks } from './clocks.ts'
import type { Decide } from './decision.ts'
import type { DeliveryOutcome } from './delivery-end.ts'
import { type DeliveryContext, DeliveryTask } from './delivery-task.ts'
import type { ReceiveEvent } from './events.ts'
import { Links } from './fetch-parts.ts'
import type { FileHandling } from './handling.ts'
import type { Inbox, Obstacle } from './inbox.ts'
import type { PartBody } from './incoming-file.ts'
import { Standstill } from './standstill.ts'
import type { ReceiverTrust } from './trust.ts'

/** Options of a receiver in any runtime. */
export interface ReceiveBasics<Body extends PartBody> {
  readonly client: PortalClient<Body>
  /** Null for an account without keys: it cannot open sealed files, and signs no receipts. */
  readonly trust: ReceiverTrust | null
  /** The accepted senders; null for all. Files of other senders are refused. */
  readonly from: readonly string[] | null
  /** Ends after the first delivery that was received or refused. */
  readonly isOnce: boolean
  /** Stops cleanly. Verified parts are kept for the next run. */
  readonly signal: AbortSignal
  readonly onEvent: (event: ReceiveEvent) => void
  /** How many offers this receiver works on at the same time. */
  readonly transfersAtOnce?: number
  /** A connection that brings no byte for this time has stalled. */
  readonly idleMs?: number
  /** Whether files get the time of modification that their sender says. Default: true, where the inbox can. */
  readonly keepsTimes?: boolean
  /** Called before any content travels; null to accept everything. With it, small files do not come with their offers. */
  readonly decide?: Decide | null
}

/** Further options, which depend on the runtime. */
export interface ReceiveIntoOptions<Body extends PartBody> extends ReceiveBasics<Body> {
  /** How many transfers are fetched at the same time. By default all small ones and a few large ones. */
  readonly contentsAtOnce?: number
  /** Identifies this process; omitted where only one process can have the inbox. */
  readonly processId?: string
  /** What is done with the files in the folder; null for nothing. */
  readonly handling?: FileHandling | null
  /** False where content must be verified by a digest of its part: then small files do not come with their offers. */
  readonly isInline?: boolean
  /** Bounds of the parts in flight per transfer. Within them the number adapts to the connection. */
  readonly partsInFlight?: ConcurrencyBounds
}

/** How many deliveries were received and refused. */
export interface ReceiveResult {
  readonly received: number
  readonly refused: number
}

/** Many at a time, because small files mostly wait for the disk and for answers. */
export const transfersAtOnceDefault = offersOpenMax
/** Fewer of those that do not come with their offers. */
const FETCHED_AT_ONCE_MAX = 16
/** Few large files at a time: they share the bandwidth, and finishing one is better than having many half done. */
const LARGE_AT_ONCE_MAX = 4
const IDLE_MS_DEFAULT = 30_000
/** Tasks that wait for a lost offer do not count in the portal's window, so there may be more tasks than offers asked for. */
const TASKS_PER_TRANSFER_MAX = 4

/**
 * Receives until `signal` aborts, or, with `isOnce`, until one delivery has been answered. It waits for a portal that is away.
 *
 * @throws RemoteProblem when the portal refuses this receiver, for instance `credentials-invalid`
 */
export async function receiveInto<Body extends PartBody>(
  inbox: Inbox<Body>,
  options: ReceiveIntoOptions<Body>,
): Promise<ReceiveResult> {
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const { client, onEvent, decide = null, partsInFlight = client.partsInFlight, idleMs = IDLE_MS_DEFAULT } = options
  const process = options.processId === undefined ? {} : { processId: options.processId }
  const transfersAtOnce = options.isOnce
    ? 1
    : Math.min(options.transfersAtOnce ?? transfersAtOnceDefault, client.rateBounds?.offersMax ?? offersOpenMax)
  const standstill = new Standstill(inbox, onEvent, transfersAtOnce)
  const clocks = new ReceiverClocks(client, (problem, isWaiting) =>
    onEvent({ type: 'clock-off', problem: problem.toJSON(), isWaiting }),
  )
  const rememberedSinceMs = await tidied(inbox, clocks, standstill, options)
  if (rememberedSinceMs === null) return { received: 0, refused: 0 }
  const acceptPolicy = { trust: options.trust, from: options.from, rememberedSinceMs }
  const placesFor = contentPlaces(options.contentsAtOnce)
  const links = new Links(client.canFollowLinks)
  const onObstacle = (obstacle: Obstacle) => standstill.begin(obstacle)
  const quiet = options.isOnce ? new QuietWhileAnswering() : null
  const answers = dispositionBatcher(client, clocks.limits, quiet)
  const shared = {
    ...{ client, answers, inbox, acceptPolicy, decide, placesFor, partsInFlight, idleMs, links },
    ...{ onEvent, onObstacle, keepsTimes: options.keepsTimes ?? true, handling: options.handling ?? null },
  }
  const tasks = new Tasks(shared, signal, {
    ended: (outcome) => {
      if (options.isOnce && (outcome === 'received' || outcome === 'refused')) ending.abort()
      quiet?.end()
    },
    failed: (error) => ending.abort(error),
  })
  try {
    while (!signal.aborted) {
      const session = standstill.newSession(signal)
      const isInline = decide === null && options.isInline !== false
      const receiver = { instanceId: inbox.instanceId, window: session.window, ...process }
      const question = (): InboxQuestion => ({
        ...receiver,
        ...offeredContent(isInline, client.rateBounds, clocks.limits),
        areStreamsWanted: inbox.takesStreams === true && clocks.limits?.streams === true,
      })
      tasks.beginSession(session.window, session.signal)
      await watch(options, question, clocks, { tasks, quiet }, session.signal)
      await tasks.settled()
      await standstill.untilOver(signal)
    }
  } finally {
    ending.abort()
    await tasks.settled()
  }
  if (tasks.failure !== null) throw tasks.failure.error
  return tasks.counts
}

/** Which content may come with offers. Without a way to bound it, none comes where the rate is limited. */
function offeredContent(
  isInline: boolean,
  rateBounds: RateBounds | null,
  limits: Limits | null,
): Pick<InboxQuestion, 'isInline' | 'contentBytesMax'> {
  if (!isInline || rateBounds === null) return { isInline }
  const { contentBytesMax } = rateBounds
  return limits?.offerContentBytes === true ? { isInline, contentBytesMax } : { isInline: false }
}

/**
 * Cleans up the inbox as soon as the clocks agree and the inbox can be used.
 *
 * @returns the time since which everything is remembered; null when the signal aborted before
 */
async function tidied<Body extends PartBody>(
  inbox: Inbox<Body>,
  clocks: ReceiverClocks,
  standstill: Standstill,
  { onEvent, signal }: ReceiveBasics<Body>,
): Promise<number | null> {
  const delayMs = (error: unknown, tries: number): number => disconnectedMs(error, tries, onEvent)
  while (!signal.aborted) {
    try {
      await retry(() => clocks.agree(signal), { delayMs, signal })
      return await inbox.tidy(clocks.current)
    } catch (error) {
      if (signal.aborted) return null
      if (inbox.meaningOf(error) !== 'later') throw error
      standstill.newSession(signal)
      standstill.begin((await inbox.obstacle(error)) ?? { reason: String(error), isShortage: false })
      await standstill.untilOver(signal)
    }
  }
  return null
}

/** Reports that the portal cannot be reached. @returns the pause before the next try. @throws an error that no retry can solve */
function disconnectedMs(error: unknown, tries: number, onEvent: (event: ReceiveEvent) => void): number {
  const pauseMs = pauseAfter(error, tries)
  onEvent({ type: 'disconnected', reason: error instanceof Error ? error.message : String(error), pauseMs })
  return pauseMs
}

function contentPlaces(contentsAtOnce: number | undefined): (sizeBytes: number) => Semaphore | null {
  const places = new Semaphore(contentsAtOnce ?? LARGE_AT_ONCE_MAX)
  if (contentsAtOnce !== undefined) return () => places
  const fetched = new Semaphore(FETCHED_AT_ONCE_MAX)
  return (sizeBytes) => (sizeBytes <= inlineSizeBytesMax ? null : sizeBytes < largeBytesMin ? fetched : places)
}

/** Follows the inbox until the signal aborts, connecting again whenever that breaks. */
async function watch<Body extends PartBody>(
  { client, onEvent }: ReceiveBasics<Body>,
  receiver: () => InboxQuestion,
  clocks: ReceiverClocks,
  { tasks: { open, take }, quiet }: { tasks: Pick<Tasks<Body>, 'open' | 'take'>; quiet: QuietWhileAnswering | null },
  sessionSignal: AbortSignal,
): Promise<void> {
  const onHeldBack = (): void => onEvent({ type: 'held-back', reason: heldBackText })
  /** The number of tries since the last sign of life of the portal. */
  let tries = 0
  const follow = async (signal: AbortSignal): Promise<void> => {
    await clocks.agree(signal)
    let isConnected = false
    for await (const event of hearInbox(client, receiver(), { open, onHeldBack }, { signal })) {
      if (signal.aborted) return
      // The portal offers the file again after the next connection.
      if (clocks.isOff) break
      tries = 0
      if (!isConnected) onEvent({ type: 'connected' })
      isConnected = true
      // This process lives, so it connects again at once, and the portal refuses the other one.
      if (event.type === 'contested') onEvent({ type: 'contested', problem: event.problem })
      else await take(event)
    }
  }
  const delayMs = (error: unknown): number => disconnectedMs(error, ++tries, onEvent)
  while (!sessionSignal.aborted) {
    await quiet?.untilOver(sessionSignal)
    const signal = quiet === null ? sessionSignal : AbortSignal.any([sessionSignal, quiet.signal])
    await retry(() => follow(signal), { delayMs, signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

/** The running deliveries, at most one per transfer. */
class Tasks<Body extends PartBody> {
  #context: DeliveryContext<Body>
  #tasksMax = 0
  readonly #hooks: { ended: (outcome: DeliveryOutcome) => void; failed: (error: unknown) => void }
  readonly #running = new Map<string, { readonly delivery: DeliveryTask<Body>; readonly done: Promise<void> }>()
  readonly counts = { received: 0, refused: 0 }
  /** The first error that no delivery could handle. */
  failure: { readonly error: unknown } | null = null

  constructor(
    shared: Omit<DeliveryContext<Body>, 'signal'>,
    signal: AbortSignal,
    hooks: { ended: (outcome: DeliveryOutcome) => void; failed: (error: unknown) => void },
  ) {
    this.#context = { ...shared, signal }
    this.#hooks = hooks
  }

  /** Deliveries offered from now on belong to this session. When its signal aborts, they end without an answer and keep verified parts. */
  beginSession(transfersAtOnce: number, signal: AbortSignal): void {
    this.#context = { ...this.#context, signal }
    this.#tasksMax = transfersAtOnce * TASKS_PER_TRANSFER_MAX
  }

  /** The transfers of the running deliveries. */
  readonly open = (): string[] => [...this.#running.keys()]

  readonly take = async (event: InboxEvent): Promise<void> => {
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

  /** Removes unfinished content of deliveries that have ended since an earlier run. */
  async #removeVoid(): Promise<void> {
    const { client, inbox, signal } = this.#context
    for (const transferId of await inbox.unfinished()) {
      if (this.#running.has(transferId)) continue
      // Content of an unknown transfer stays: it may belong to another account or portal that receives into the same folder.
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
    // An ignored offer comes again when its lease has run out.
    if (this.#running.size >= this.#tasksMax) return
    const delivery = new DeliveryTask(this.#context, offer, leasedAtMs)
    this.#running.set(transferId, { delivery, done: this.#run(transferId, delivery) })
  }

  async #run(transferId: string, delivery: DeliveryTask<Body>): Promise<void> {
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
