/**
 * Sending, as far as it is the same wherever a sender runs: what the transfers to the same receivers share, one file
 * after another, and what became of it. Where files, journal and keys are is the caller's affair.
 */
import { type InFlightBounds, inFlightDefaults, Patience, type PortalClient, RemoteProblem } from '../client/index.ts'
import { fastDigestAlgorithms } from '../digests/index.ts'
import {
  defaultDigestAlgorithm,
  type Limits,
  Problem,
  type ProblemJson,
  type PublicKeys,
  partSizeBytesDefault,
} from '../protocol/index.ts'
import { isLost, lossOf } from './answers.ts'
import { cancelUnstored } from './begin.ts'
import type { SendContext } from './context.ts'
import type { EventWatch } from './event-watch.ts'
import type { SendEvent, SendOutcome } from './events.ts'
import { type FirstHopEnd, passFirstHop } from './first-hop.ts'
import type { Journal, JournalEntry } from './journal.ts'
import { NotificationLog } from './notification-log.ts'
import type { SealRecords } from './seal-record.ts'
import { awaitReceivers } from './second-hop.ts'
import type { Source } from './source.ts'
import { learnReceiverKeys, type SenderTrust } from './trust.ts'
import { type Pause, type TakePlace, Turn } from './turn.ts'

export interface SendingOptions {
  readonly client: PortalClient
  /** Who sends, and where: part of the journal's key. */
  readonly identity: { readonly portalUrl: string; readonly account: string }
  /** Null for an account without keys: what it sends is neither sealed nor signed, and no receipt is verified. */
  readonly trust: SenderTrust | null
  readonly journal: Journal
  readonly sealRecords: SealRecords
  /** Somebody follows it, and more than one who sends may share it. */
  readonly events: EventWatch
  /** The accounts that are to receive each file. */
  readonly to: readonly string[]
  /** Silence from the portal that is borne before a file is stored. */
  readonly answerTimeoutMs: number
  /** How long to wait for the second notification once a file is stored; null: until it comes. */
  readonly waitMs: number | null
  /** Grown where a file would have too many parts, and kept within the portal's limits. */
  readonly partSizeBytes?: number
  /** Parts of one transfer on their way at the same time; memory may allow fewer. */
  readonly partsInFlight?: InFlightBounds
  /** Memory that the parts of one transfer may take while they are on their way. */
  readonly bufferBytesMax: number
  /** Stops everything. The journal stays, so that sending the same goes on where this was. */
  readonly signal: AbortSignal
  readonly onEvent: (event: SendEvent) => void
}

/**
 * Waits for the event stream, learns the portal's limits, and by which keys the receivers are known.
 *
 * @throws NoAnswer, or RemoteProblem of the kind "later", when the portal stays silent; RemoteProblem `receiver-unknown`;
 *   Problem `keys-changed`, `keys-missing`; the signal's reason
 */
export async function beginSending(options: SendingOptions): Promise<SendContext> {
  const { client, onEvent, answerTimeoutMs, identity, signal, trust } = options
  const patience: SendContext['patience'] = (transferId, asked) =>
    new Patience({
      answerTimeoutMs,
      signal: asked.signal,
      onRetry: (error, pauseMs) => asked.onEvent({ type: 'silence', transferId, reason: error.message, pauseMs }),
    })
  await options.events.opened
  const patient = patience(null, { signal, onEvent })
  const ask = { stallMs: patient.stallMs, signal }
  const limits: Limits = await patient.insist(() => client.limits(ask))
  const to = [...new Set(options.to)].sort()
  const accountOf = (name: string) => patient.insist(() => client.accountOf(name, ask))
  const receiverKeys =
    trust === null ? new Map<string, PublicKeys | null>() : await learnReceiverKeys(trust, to, accountOf)
  return {
    client,
    journal: options.journal,
    sealRecords: options.sealRecords,
    events: options.events,
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
    partsInFlight: options.partsInFlight ?? inFlightDefaults,
    bufferBytesMax: options.bufferBytesMax,
    patience,
    turn: null,
    signal,
    onEvent,
  }
}

/** What concerns one of several transfers. */
export interface SendOneOptions {
  /** Stops this one. The journal stays. */
  readonly signal: AbortSignal
  /** False: return after the first notification. */
  readonly isWaiting: boolean
  readonly pause: Pause
  /** Called before anything is sent, and again after each rest. */
  readonly takePlace: TakePlace
  /** Beside, and before, that of all. */
  readonly onEvent: (event: SendEvent) => void
}

/**
 * Sends one file as a transfer of its own, or goes on with the transfer that was begun for it, and waits for the
 * notifications about it.
 *
 * @throws RemoteProblem `credentials-invalid`; the signal's reason
 */
export async function sendOne(
  shared: SendContext,
  source: Source,
  { signal, isWaiting, pause, takePlace, onEvent }: SendOneOptions,
): Promise<SendOutcome> {
  const turn = new Turn(pause, takePlace)
  const context = { ...contextOfOne(shared, signal, onEvent), turn }
  let sent: FirstHop
  try {
    await turn.begin(context.signal)
    sent = await sendFirst(context, source)
  } finally {
    turn.end()
  }
  return outcomeOf(context, source, sent, isWaiting)
}

/**
 * Waits for the second notification of a transfer that another run has sent, without its file.
 *
 * @returns null where the portal does not hold all of it yet: then the file is needed
 * @throws RemoteProblem `credentials-invalid`; NoAnswer, or RemoteProblem of the kind "later"; the signal's reason
 */
export async function followOne(
  shared: SendContext,
  entry: JournalEntry,
  { signal, onEvent }: Pick<SendOneOptions, 'signal' | 'onEvent'>,
): Promise<SendOutcome | null> {
  const context = contextOfOne(shared, signal, onEvent)
  const { client, events, journal } = context
  const { transferId, name: path } = entry
  const log = new NotificationLog(entry, context)
  events.subscribe(log)
  let isFollowed = false
  try {
    const patience = context.patience(transferId, context)
    const status = await patience
      .insist(() => client.transfer(transferId, { stallMs: patience.stallMs, signal: context.signal }))
      .catch((error: unknown) => {
        if (error instanceof RemoteProblem && error.code === 'not-found') return error
        throw error
      })
    if (status instanceof RemoteProblem || isLost(status)) {
      await journal.remove(entry)
      const problem = status instanceof RemoteProblem ? status.problem : lossOf(status)
      return { path, transferId, outcome: 'refused', problem }
    }
    if (status.state === 'receiving') return null
    isFollowed = true
    log.firstIsKnown()
    return await outcomeOf(context, { path }, { end: 'stored', entry, log }, true)
  } finally {
    if (!isFollowed) events.unsubscribe(log)
  }
}

/** Gives up a transfer that is in the journal. What the portal has stored it keeps, for its receivers. */
export async function forget(
  context: Pick<SendContext, 'client' | 'journal' | 'signal'>,
  entry: JournalEntry,
): Promise<void> {
  await cancelUnstored(context, entry.transferId)
  await context.journal.remove(entry)
}

function contextOfOne(shared: SendContext, signal: AbortSignal, onEvent: (event: SendEvent) => void): SendContext {
  return {
    ...shared,
    signal: AbortSignal.any([shared.signal, signal]),
    onEvent: (event) => {
      onEvent(event)
      shared.onEvent(event)
    },
  }
}

/** The file could no longer be read when its turn came; no transfer was begun. */
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

/** Waits for the second notification where there will be one, and forgets the transfer once its end is known. */
export async function outcomeOf(
  context: SendContext,
  { path }: Pick<Source, 'path'>,
  sent: FirstHop,
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
      else context.events.unsubscribe(log)
      const outcome: SendOutcome = isWaiting ? log.outcome(path) : { path, transferId, outcome: 'stored' }
      if (outcome.outcome !== 'undelivered') await context.journal.remove(entry)
      return outcome
    }
  }
}
