/** Receives into a folder. */
import type { Readable } from 'node:stream'
import { publishMissingKeys, RetryPolicy } from '../client/index.ts'
import { atOnceWithinDescriptors } from '../fs/index.ts'
import { Problem, randomText } from '../protocol/index.ts'
import type { Handlers } from './handling.ts'
import { FolderHandling } from './node-handling.ts'
import { type FolderInbox, openInbox } from './node-inbox.ts'
import { type Output, StreamInbox } from './node-stream-inbox.ts'
import { type ReceiveBasics, type ReceiveResult, receiveInto, transfersAtOnceDefault } from './receive.ts'

/** Descriptors of one transfer: the unfinished file, its list and record, and two connections. */
const DESCRIPTORS_PER_TRANSFER = 5
const PROCESS_BYTES = 18

export interface ReceiveFolderOptions extends ReceiveBasics<Readable> {
  /** The folder for the files. A receiver must have used it before, unless `mayCreate`. */
  readonly folder: string
  /** Makes a missing folder, and accepts one that no receiver has used before. */
  readonly mayCreate?: boolean
  /** Parts in flight per transfer; adapts to the connection by default. */
  readonly partsInFlight?: number
  /** What is done with each file before its answer, or once it is in the folder. */
  readonly handlers?: Handlers | null
}

/**
 * Receives until `signal` aborts, or, with `isOnce`, until one delivery has been answered. It waits for a portal that is away and
 * for a folder that vanishes meanwhile. What is to be done with received files is done when it resolves, unless `signal` aborts.
 *
 * @throws what a handler throws; Problem `folder-unavailable`, `disk-full` or `write-failed` when the folder cannot be used at all;
 *   RemoteProblem when the portal refuses this receiver, for instance `credentials-invalid`
 */
export async function receive(given: ReceiveFolderOptions): Promise<ReceiveResult> {
  const { folder, mayCreate = false, partsInFlight: fixed, handlers = null, ...options } = given
  await using inbox = await openInbox(folder, { mayCreate, hasHandlers: handlers !== null })
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const publishKeys = keyPublisher({ ...options, signal })
  const onEvent: typeof options.onEvent = (event) => {
    if (event.type === 'connected') publishKeys()
    options.onEvent(event)
  }
  const wanted = options.transfersAtOnce ?? transfersAtOnceDefault
  const end = (error: unknown): void => ending.abort(error)
  const handling = handlers === null ? null : await FolderHandling.begin(inbox, handlers, options.signal, end)
  try {
    const result = await receiveInto(inbox, {
      ...options,
      signal,
      handling,
      onEvent,
      processId: randomText(PROCESS_BYTES),
      transfersAtOnce: atOnceWithinDescriptors(wanted, DESCRIPTORS_PER_TRANSFER),
      ...(fixed === undefined ? {} : { partsInFlight: { min: fixed, max: fixed } }),
    })
    await handling?.settled()
    if (handling !== null && handling.failure !== null) throw handling.failure.error
    return result
  } finally {
    ending.abort()
    await handling?.settled()
    await inbox.settle()
  }
}

/**
 * Does what earlier runs have left to be done with files in a folder, and nothing else.
 *
 * @throws like {@link receive}
 */
export async function handleLeftOver(inbox: FolderInbox, handlers: Handlers, signal: AbortSignal): Promise<void> {
  const handling = await FolderHandling.begin(inbox, handlers, signal, () => {})
  await handling.settled()
  if (handling.failure !== null) throw handling.failure.error
}

/** Few parts at a time: those that wait for their turn lie in memory. */
const STREAM_PARTS = { min: 1, max: 3 }

export interface ReceiveOneOptions extends Omit<ReceiveBasics<Readable>, 'isOnce' | 'transfersAtOnce'> {
  readonly output: Output
}

/**
 * Receives one file into a stream. When it resolves, one delivery has been answered, or `signal` has aborted.
 *
 * @throws OutputFailedError when the stream takes no more: then the file stays at the portal; Problem of a delivery that its sender or
 *   the portal ended when a part was written already; like {@link receive}
 */
export async function receiveStream({ output, ...options }: ReceiveOneOptions): Promise<ReceiveResult> {
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  let failure: unknown = null
  const fail = (error: unknown): void => {
    failure ??= error
    ending.abort(error)
  }
  const inbox = new StreamInbox(output, fail)
  const publishKeys = keyPublisher({ ...options, isOnce: true, signal })
  const onEvent: typeof options.onEvent = (event) => {
    if (event.type === 'connected') publishKeys()
    options.onEvent(event)
    if (event.type === 'withdrawn' && inbox.hasWritten) {
      fail(new Problem('delivery-ended', { detail: 'a part of it is written already', problem: event.problem }))
    }
  }
  try {
    const processId = randomText(PROCESS_BYTES)
    const given = { ...options, isOnce: true, isInline: false, partsInFlight: STREAM_PARTS, processId, signal, onEvent }
    const result = await receiveInto(inbox, given)
    if (failure !== null) throw failure
    return result
  } finally {
    ending.abort()
  }
}

/**
 * Publishes the account's keys at each connection, where the portal has none: no sender can seal a file without them. The portal may
 * have lost them since the last connection, because it was restored.
 */
function keyPublisher({ client, trust, signal }: ReceiveBasics<Readable>): () => void {
  if (trust === null) return () => {}
  const retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal })
  let isRunning = false
  return () => {
    if (isRunning) return
    isRunning = true
    publishMissingKeys(client, trust.keys.publicKeys, retryPolicy)
      // The connection for offers meets the same error, and reports it.
      .catch(() => {})
      .finally(() => {
        isRunning = false
      })
  }
}
