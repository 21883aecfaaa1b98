/**
 * The sender on a machine with files: see `send`.
 */
import { setMaxListeners } from 'node:events'
import { NoAnswer, type PortalClient, RemoteProblem } from '../client/index.ts'
import { largeBytesMin, Places } from '../hop/index.ts'
import type { SendContext } from './context.ts'
import { EventWatch } from './event-watch.ts'
import type { SendEvent, SendOutcome } from './events.ts'
import { FileJournal } from './node-journal.ts'
import { FileSealRecords } from './node-seal-record.ts'
import { checkSources } from './node-source.ts'
import { beginSending, outcomeOf, sendFirst } from './sending.ts'
import type { Source } from './source.ts'
import type { SenderTrust } from './trust.ts'

/** Small files spend their time waiting: for the disk, here and at the portal, and for answers. */
const TRANSFERS_AT_ONCE_DEFAULT = 16
/** Large ones share the bandwidth: it is better to be done with one than to be half done with many. */
const LARGE_AT_ONCE_MAX = 2
/** All parts in memory together, whatever their size and number. */
const BUFFER_BYTES_MAX = 96 * 1024 * 1024

export interface SendOptions {
  readonly client: PortalClient
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
    const transfersAtOnce = Math.max(1, Math.min(options.transfersAtOnce ?? TRANSFERS_AT_ONCE_DEFAULT, sources.length))
    const { partsInFlight, ...others } = options
    const context = await beginSending({
      ...others,
      ...(partsInFlight === undefined ? {} : { partsInFlight: { min: partsInFlight, max: partsInFlight } }),
      journal: new FileJournal(options.stateFolder),
      sealRecords: new FileSealRecords(options.stateFolder),
      events,
      bufferBytesMax: BUFFER_BYTES_MAX / Math.min(transfersAtOnce, LARGE_AT_ONCE_MAX),
      signal,
    })
    return await sendAll({ isWaiting: options.isWaiting, transfersAtOnce }, context, sources, stop)
  } catch (error) {
    options.signal.throwIfAborted()
    // Only `beginSending` lets these through: nothing has been sent.
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

/** Sends what is left of a queue with several hands; each file that is stored waits beside it. */
async function sendAll(
  { isWaiting, transfersAtOnce }: { isWaiting: boolean; transfersAtOnce: number },
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
        const sent = await sendFirst(context, source)
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
  await Promise.all(Array.from({ length: transfersAtOnce }, () => work().catch(stopAll)))
  await Promise.allSettled(outcomes)
  context.signal.throwIfAborted()
  return Promise.all(outcomes)
}

function unsent({ path }: Source, reason: string): SendOutcome {
  return { path, transferId: null, outcome: 'no-answer', reason }
}
