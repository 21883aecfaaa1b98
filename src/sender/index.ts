/**
 * App 1, the sender: hands files to the portal and waits for what it is told about them. See `send`.
 */
import { setMaxListeners } from 'node:events'
import type { Readable } from 'node:stream'
import { inFlightDefaults, NoAnswer, Patience, type PortalClient, RemoteProblem } from '../client/index.ts'
import { fastDigestAlgorithms } from '../digests/index.ts'
import { largeBytesMin, Places } from '../hop/index.ts'
import {
  defaultDigestAlgorithm,
  Problem,
  type ProblemJson,
  type PublicKeys,
  partSizeBytesDefault,
} from '../protocol/index.ts'
import type { SendContext } from './context.ts'
import { EventWatch } from './event-watch.ts'
import type { SendEvent, SendOutcome } from './events.ts'
import { type FirstHopEnd, passFirstHop } from './first-hop.ts'
import { Journal } from './journal.ts'
import { awaitReceivers } from './second-hop.ts'
import { checkSources, type Source } from './source.ts'
import { learnReceiverKeys, type SenderTrust } from './trust.ts'

export type * from './events.ts'
export type { KeptReceipt, Receipts, SenderTrust } from './trust.ts'
export { ownContentKey, receiptSalt } from './trust.ts'

/** Small files spend their time waiting: for the disk, here and at the portal, and for answers. */
const TRANSFERS_AT_ONCE_DEFAULT = 16
/** Large ones share the bandwidth: it is better to be done with one than to be half done with many. */
const LARGE_AT_ONCE_MAX = 2
/** All parts in memory together, whatever their size and number. */
const BUFFER_BYTES_MAX = 96 * 1024 * 1024

export interface SendOptions {
  readonly client: PortalClient<Readable>
  /** Who sends, and where: part of the journal's key. */
  readonly identity: { readonly portalUrl: string; readonly account: string }
  /** Null for an account without keys: what it sends is neither sealed nor signed, and no receipt is verified. */
  readonly trust: SenderTrust | null
  /** The journal lies in its folder `journal`. */
  readonly stateFolder: string
  readonly paths: readonly string[]
  /** The accounts that are to receive each file. */
  readonly to: readonly string[]
  /** Silence from the portal that is borne before the file is stored. */
  readonly answerTimeoutMs: number
  /** How long to wait for the second notification once a file is stored; null: until it comes. */
  readonly waitMs: number | null
  /** False: return after the first notification. */
  readonly isWaiting: boolean
  /** Grown where a file would have too many parts, and kept within the portal's limits. */
  readonly partSizeBytes?: number
  /** Parts of one transfer on their way at the same time; found out by trying if not given. */
  readonly partsInFlight?: number
  /** Transfers whose content is sent at the same time. Those waiting for receivers do not count. */
  readonly transfersAtOnce?: number
  /** Stops everything. The journal stays, so the same call goes on where this one was. */
  readonly signal: AbortSignal
  readonly onEvent: (event: SendEvent) => void
}

/**
 * Sends files, each as a transfer of its own, and waits for the notifications about them.
 *
 * A file that fails does not stop the others; silence does: what has not been started by then is not tried.
 *
 * @returns one outcome per path, in their order
 * @throws Problem `source-not-a-file`, `source-unreadable`, `request-invalid`, `keys-changed`, `keys-missing` before
 *   anything is sent; RemoteProblem `credentials-invalid`; the signal's reason when that aborts
 */
export async function send(options: SendOptions): Promise<SendOutcome[]> {
  options.signal.throwIfAborted()
  const sources = await checkSources(options.paths)
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  // One listener a request: many, but each is removed with its request.
  setMaxListeners(0, signal)
  const events = new EventWatch({
    client: options.client,
    answerTimeoutMs: options.answerTimeoutMs,
    signal,
    onSilence: (reason, pauseMs) => options.onEvent({ type: 'silence', transferId: null, reason, pauseMs }),
  })
  const following = events.follow().catch((error) => stop.abort(error))
  try {
    const context = await begin(options, events, signal, sources.length)
    return await sendAll(options.isWaiting, context, sources, stop)
  } catch (error) {
    options.signal.throwIfAborted()
    // Only `begin` lets these through: nothing has been sent.
    if (error instanceof RemoteProblem && error.code === 'receiver-unknown') {
      const { problem } = error
      return sources.map(({ path }) => ({ path, transferId: null, outcome: 'refused', problem }))
    }
    if (!(error instanceof NoAnswer) && !(error instanceof RemoteProblem && error.next === 'retry')) throw error
    return sources.map((source) => unsent(source, error.message))
  } finally {
    stop.abort()
    await following
  }
}

/**
 * Opens the event stream and learns the portal's limits.
 *
 * @throws NoAnswer, or RemoteProblem of the kind "later", when the portal stays silent
 */
async function begin(
  options: SendOptions,
  events: EventWatch,
  signal: AbortSignal,
  sourceCount: number,
): Promise<SendContext> {
  const { client, onEvent, answerTimeoutMs, identity } = options
  const patience = (transferId: string | null): Patience =>
    new Patience({
      answerTimeoutMs,
      signal,
      onRetry: (error, pauseMs) => onEvent({ type: 'silence', transferId, reason: error.message, pauseMs }),
    })
  await events.opened
  const patient = patience(null)
  const limits = await patient.insist(() => client.limits({ stallMs: patient.stallMs, signal }))
  const { trust } = options
  const to = [...new Set(options.to)].sort()
  const accountOf = (name: string) => patient.insist(() => client.accountOf(name, { stallMs: patient.stallMs, signal }))
  const receiverKeys =
    trust === null ? new Map<string, PublicKeys | null>() : await learnReceiverKeys(trust, to, accountOf)
  const transfersAtOnce = Math.max(1, Math.min(options.transfersAtOnce ?? TRANSFERS_AT_ONCE_DEFAULT, sourceCount))
  return {
    client,
    journal: new Journal(options.stateFolder),
    events,
    limits,
    digestAlgorithm:
      fastDigestAlgorithms.find((name) => limits.digestAlgorithms.includes(name)) ?? defaultDigestAlgorithm,
    portalUrl: identity.portalUrl,
    account: identity.account,
    to,
    trust,
    receiverKeys,
    waitMs: options.waitMs,
    partSizeBytes: options.partSizeBytes ?? partSizeBytesDefault,
    partsInFlight:
      options.partsInFlight === undefined
        ? inFlightDefaults
        : { min: options.partsInFlight, max: options.partsInFlight },
    transfersAtOnce,
    bufferBytesMax: BUFFER_BYTES_MAX / Math.min(transfersAtOnce, LARGE_AT_ONCE_MAX),
    patience,
    signal,
    onEvent,
  }
}

/** Sends what is left of a queue with several hands; each file that is stored waits beside it. */
async function sendAll(
  isWaiting: boolean,
  context: SendContext,
  sources: readonly Source[],
  stop: AbortController,
): Promise<SendOutcome[]> {
  const queue = sources.entries()
  const outcomes: Promise<SendOutcome>[] = []
  const stopAll = (error: unknown): void => stop.abort(error)
  const large = new Places(LARGE_AT_ONCE_MAX)
  let silence: string | null = null

  const work = async (): Promise<void> => {
    for (const [index, source] of queue) {
      const leave = source.sizeBytes < largeBytesMin ? null : await large.take(context.signal)
      try {
        // Looked at only now: while this one waited, the portal may have fallen silent.
        if (silence !== null) {
          outcomes[index] = Promise.resolve(unsent(source, silence))
          continue
        }
        const sent = await sendOne(context, source)
        if (sent.end === 'no-answer') silence = sent.reason
        const outcome = outcomeOf(context, source, sent, isWaiting)
        // A failure stops everything at once, long before anybody awaits this outcome.
        outcome.catch(stopAll)
        outcomes[index] = outcome
      } finally {
        leave?.()
      }
    }
  }
  await Promise.all(Array.from({ length: context.transfersAtOnce }, () => work().catch(stopAll)))
  await Promise.allSettled(outcomes)
  context.signal.throwIfAborted()
  return Promise.all(outcomes)
}

/** The file could no longer be read when its turn came; no transfer was begun. */
type Unreadable = { readonly end: 'unreadable'; readonly problem: ProblemJson }

async function sendOne(context: SendContext, source: Source): Promise<FirstHopEnd | Unreadable> {
  try {
    return await passFirstHop(context, source)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return { end: 'unreadable', problem: error.toJSON() }
  }
}

/** Waits for the second notification where there will be one, and forgets the transfer once its end is known. */
async function outcomeOf(
  context: SendContext,
  { path }: Source,
  sent: FirstHopEnd | Unreadable,
  isWaiting: boolean,
): Promise<SendOutcome> {
  if (sent.end === 'unreadable') return { path, transferId: null, outcome: 'refused', problem: sent.problem }
  const { entry, log } = sent
  const { transferId } = entry
  switch (sent.end) {
    case 'no-answer':
      return { path, transferId, outcome: 'no-answer', reason: sent.reason }
    case 'refused':
      await context.journal.remove(entry)
      return { path, transferId, outcome: 'refused', problem: sent.problem }
    case 'stored': {
      if (isWaiting) await awaitReceivers(context, log)
      else context.events.unsubscribe(transferId)
      const outcome: SendOutcome = isWaiting ? log.outcome(path) : { path, transferId, outcome: 'stored' }
      if (outcome.outcome !== 'undelivered') await context.journal.remove(entry)
      return outcome
    }
  }
}

function unsent({ path }: Source, reason: string): SendOutcome {
  return { path, transferId: null, outcome: 'no-answer', reason }
}
