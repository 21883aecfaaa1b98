/**
 * Sending in any runtime: the context that transfers to the same receivers share, the sending of one file, and its result.
 * The caller provides files, journal and keys.
 */
import {
  type ConcurrencyBounds,
  clocksDifferMsMax,
  type PortalClient,
  PortalClock,
  RetryPolicy,
} from '../client/index.ts'
import { fastDigestAlgorithms } from '../digests/index.ts'
import {
  type DigestAlgorithm,
  defaultDigestAlgorithm,
  type Limits,
  Problem,
  type ProblemJson,
  type PublicKeys,
  partSizeBytesDefault,
} from '../protocol/index.ts'
import { isLost, isUnknown, lossOf } from './answers.ts'
import { batchUploads } from './batch-uploads.ts'
import { cancelUnstored } from './begin.ts'
import type { OnOutcome, SendContext } from './context.ts'
import type { EventWatch } from './event-watch.ts'
import { lostOutcome, type SendEvent, type SendOutcome } from './events.ts'
import { passFirstHop } from './first-hop.ts'
import type { FirstHopEnd } from './first-hop-end.ts'
import type { Journal, JournalEntry } from './journal.ts'
import { NotificationLog } from './notification-log.ts'
import type { SealRecords } from './seal-record.ts'
import { awaitReceivers } from './second-hop.ts'
import { type AcquireSlot, type Pause, SendSlot } from './send-slot.ts'
import type { Source } from './source.ts'
import { learnReceiverKeys, type SenderTrust } from './trust.ts'

export interface SendingOptions {
  readonly client: PortalClient
  /** The account and its portal, part of the journal's key. */
  readonly identity: { readonly portalUrl: string; readonly account: string }
  /** Null for an account without keys: its files are neither sealed nor signed, and no receipt is verified. */
  readonly trust: SenderTrust | null
  readonly journal: Journal
  readonly sealRecords: SealRecords
  /** The caller follows it. Several sends may share it. */
  readonly events: EventWatch
  /** The receivers of each file. */
  readonly to: readonly string[]
  /** How long the portal may stay silent before a file is stored. */
  readonly answerTimeoutMs: number
  /** How long to wait for the second notification once a file is stored; null: until it comes. */
  readonly waitMs: number | null
  /** Raised when a file would have too many parts, and kept within the portal's limits. */
  readonly partSizeBytes?: number
  /** The algorithms that the reader of the files computes fast, fastest first; otherwise those of this runtime. */
  readonly digestAlgorithms?: readonly DigestAlgorithm[]
  /** Parts of one transfer in flight at the same time. Memory may allow fewer. */
  readonly partsInFlight?: ConcurrencyBounds
  /** Memory that the parts in flight of one transfer may take. */
  readonly bufferBytesMax: number
  /** Stops everything. The journal stays, so that the next send of the same file continues where this one stopped. */
  readonly signal: AbortSignal
  readonly onEvent: (event: SendEvent) => void
  readonly onOutcome?: OnOutcome
}

/**
 * Waits for the event stream, and gets the portal's limits and the receivers' keys.
 *
 * @throws NoResponseError, or RemoteProblem of the kind "later", when the portal stays silent; RemoteProblem `receiver-unknown`;
 *   Problem `keys-changed`, `keys-missing`; the signal's reason
 */
export async function beginSending(options: SendingOptions): Promise<SendContext> {
  const { client, onEvent, answerTimeoutMs, identity, signal, trust } = options
  const retryPolicy: SendContext['retryPolicy'] = (transferId, asked) =>
    new RetryPolicy({
      answerTimeoutMs,
      signal: asked.signal,
      onRetry: (error, pauseMs) => asked.onEvent({ type: 'silence', transferId, reason: error.message, pauseMs }),
    })
  await options.events.opened
  const policy = retryPolicy(null, { signal, onEvent })
  const limits: Limits = await policy.retry((bounds) => client.limits(bounds))
  const clock = limits.at === undefined ? null : new PortalClock({ at: limits.at })
  const problem = clock?.problem() ?? null
  if (problem !== null) onEvent({ type: 'clock-off', transferId: null, problem: problem.toJSON() })
  const to = [...new Set(options.to)].sort()
  const accountOf = (name: string) => policy.retry((bounds) => client.accountOf(name, bounds))
  const receiverKeys =
    trust === null ? new Map<string, PublicKeys | null>() : await learnReceiverKeys(trust, to, accountOf)
  return {
    client,
    batchUploads: batchUploads(client, limits),
    journal: options.journal,
    sealRecords: options.sealRecords,
    events: options.events,
    limits,
    // A receiver refuses a transfer id that is months old, because it may have deleted its record.
    idTimeMs: () => (clock !== null && clock.aheadMs < -clocksDifferMsMax ? clock.portalMs : undefined),
    digestAlgorithm:
      (options.digestAlgorithms ?? fastDigestAlgorithms).find((name) => limits.digestAlgorithms.includes(name)) ??
      defaultDigestAlgorithm,
    portalUrl: identity.portalUrl,
    account: identity.account,
    to,
    trust,
    receiverKeys,
    waitMs: options.waitMs,
    partSizeBytes: options.partSizeBytes ?? partSizeBytesDefault,
    way: { partSizeBytesMax: Number.POSITIVE_INFINITY },
    partsInFlight: options.partsInFlight ?? options.client.partsInFlight,
    bufferBytesMax: options.bufferBytesMax,
    retryPolicy,
    slot: null,
    signal,
    onEvent,
    onOutcome: options.onOutcome ?? (async () => {}),
  }
}

/** Options for one of several transfers. */
export interface SendOneOptions {
  /** Stops this transfer. The journal stays. */
  readonly signal: AbortSignal
  /** False: return after the first notification. */
  readonly isWaiting: boolean
  readonly pause: Pause
  /** Called before anything is sent, and again after each pause. */
  readonly acquireSlot: AcquireSlot
  /** Called for the events of this transfer, before the callback for all transfers. */
  readonly onEvent: (event: SendEvent) => void
  /** In place of the callback for all transfers. */
  readonly onOutcome?: OnOutcome
}

/**
 * Sends one file as a transfer of its own, or continues the transfer that an earlier run began, and waits for the
 * notifications about it.
 *
 * @throws RemoteProblem `credentials-invalid`; the signal's reason
 */
export async function sendOne(
  shared: SendContext,
  source: Source,
  { isWaiting, pause, acquireSlot, ...one }: SendOneOptions,
): Promise<SendOutcome> {
  const slot = new SendSlot(pause, acquireSlot)
  const context = { ...contextOfOne(shared, one), slot }
  let sent: FirstHop
  try {
    await slot.acquire(context.signal)
    sent = await sendFirst(context, source)
  } finally {
    slot.release()
  }
  return outcomeOf(context, source, sent, isWaiting)
}

/**
 * Waits for the second notification of a transfer that another run has sent, without its file.
 *
 * @returns null when the portal does not hold the whole file yet: then the file is needed
 * @throws RemoteProblem `credentials-invalid`; NoResponseError, or RemoteProblem of the kind "later"; the signal's reason
 */
export async function followOne(
  shared: SendContext,
  entry: JournalEntry,
  one: Pick<SendOneOptions, 'signal' | 'onEvent'>,
): Promise<SendOutcome | null> {
  const context = contextOfOne(shared, one)
  const { client, events } = context
  const { transferId, name: path } = entry
  const log = new NotificationLog(entry, context)
  events.subscribe(log)
  let isFollowed = false
  try {
    const retryPolicy = context.retryPolicy(transferId, context)
    const status = await retryPolicy
      .retry((bounds) => client.transfer(transferId, bounds))
      .catch((error: unknown) => {
        if (isUnknown(error)) return null
        throw error
      })
    // The file never arrived, or the portal has lost it. It is sent again under the same id, so no receiver gets it twice.
    if (status === null || status.state === 'receiving') return null
    if (isLost(status))
      return await forgotten(context, entry, { path, transferId, outcome: 'refused', problem: lossOf(status) })
    isFollowed = true
    log.firstIsKnown()
    return await outcomeOf(context, { path }, { end: 'stored', entry, log }, true)
  } finally {
    if (!isFollowed) events.unsubscribe(log)
  }
}

/** Gives up a transfer that is in the journal. If the portal has stored it, the receivers still get it. */
export async function forget(
  context: Pick<SendContext, 'client' | 'journal' | 'signal'>,
  entry: JournalEntry,
): Promise<void> {
  await cancelUnstored(context, entry.transferId)
  await context.journal.remove(entry)
}

function contextOfOne(
  shared: SendContext,
  { signal, onEvent, onOutcome = shared.onOutcome }: Pick<SendOneOptions, 'signal' | 'onEvent' | 'onOutcome'>,
): SendContext {
  return {
    ...shared,
    onOutcome,
    signal: AbortSignal.any([shared.signal, signal]),
    onEvent: (event) => {
      onEvent(event)
      shared.onEvent(event)
    },
  }
}

/** The file could no longer be read when its sending started. No transfer was begun. */
type Unreadable = { readonly end: 'unreadable'; readonly problem: ProblemJson }
export type FirstHop = FirstHopEnd | Unreadable

/** The first hop of one file. */
export async function sendFirst(context: SendContext, source: Source): Promise<FirstHop> {
  try {
    return await passFirstHop(context, source)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return { end: 'unreadable', problem: error.toJSON() }
  }
}

/** Waits for the second notification if there will be one, and removes the journal entry once the caller has recorded the end. */
export async function outcomeOf(
  context: SendContext,
  { path }: Pick<Source, 'path'>,
  sent: FirstHop,
  isWaiting: boolean,
): Promise<SendOutcome> {
  if (sent.end === 'unreadable') {
    const outcome: SendOutcome = { path, transferId: null, outcome: 'refused', problem: sent.problem }
    await context.onOutcome(outcome, null)
    return outcome
  }
  const { entry, log } = sent
  const { transferId } = entry
  switch (sent.end) {
    case 'no-answer':
      return { path, transferId, outcome: 'no-answer', reason: sent.reason }
    case 'lost':
      return { path, transferId, ...lostOutcome(sent.problem) }
    case 'refused':
      return forgotten(context, entry, { path, transferId, outcome: 'refused', problem: sent.problem })
    case 'stored': {
      const stored: SendOutcome = { path, transferId, outcome: 'stored' }
      if (!isWaiting) {
        context.events.unsubscribe(log)
        return forgotten(context, entry, stored)
      }
      await whileSubscribed(context, log, () => context.onOutcome(stored, entry))
      await awaitReceivers(context, log)
      const outcome = log.outcome(path)
      const isOver = outcome.outcome !== 'undelivered' && outcome.outcome !== 'no-answer'
      return isOver ? forgotten(context, entry, outcome) : outcome
    }
  }
}

/** The end of a transfer. The caller records it before the journal forgets the transfer, so that a crash in between loses nothing. */
async function forgotten(context: SendContext, entry: JournalEntry, outcome: SendOutcome): Promise<SendOutcome> {
  await context.onOutcome(outcome, entry)
  await context.journal.remove(entry)
  return outcome
}

/** Runs `act`, and ends the subscription if that fails. */
async function whileSubscribed({ events }: SendContext, log: NotificationLog, act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (error) {
    events.unsubscribe(log)
    throw error
  }
}
