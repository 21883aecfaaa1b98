/** Receives into a folder. */
import type { Readable } from 'node:stream'
import { publishMissingKeys, RetryPolicy } from '../client/index.ts'
import { atOnceWithinDescriptors } from '../fs/index.ts'
import { randomText } from '../protocol/index.ts'
import { openInbox } from './node-inbox.ts'
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
}

/**
 * Receives until `signal` aborts, or, with `isOnce`, until one delivery has been answered. It waits for a portal that is away and
 * for a folder that vanishes meanwhile.
 *
 * @throws Problem `folder-unavailable`, `disk-full` or `write-failed` when the folder cannot be used at all;
 *   RemoteProblem when the portal refuses this receiver, for instance `credentials-invalid`
 */
export async function receive(given: ReceiveFolderOptions): Promise<ReceiveResult> {
  const { folder, mayCreate = false, partsInFlight: fixed, ...options } = given
  await using inbox = await openInbox(folder, { mayCreate })
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const publishKeys = keyPublisher({ ...options, signal })
  const onEvent: typeof options.onEvent = (event) => {
    if (event.type === 'connected') publishKeys()
    options.onEvent(event)
  }
  const wanted = options.transfersAtOnce ?? transfersAtOnceDefault
  try {
    return await receiveInto(inbox, {
      ...options,
      onEvent,
      processId: randomText(PROCESS_BYTES),
      transfersAtOnce: atOnceWithinDescriptors(wanted, DESCRIPTORS_PER_TRANSFER),
      ...(fixed === undefined ? {} : { partsInFlight: { min: fixed, max: fixed } }),
    })
  } finally {
    ending.abort()
    await inbox.settle()
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
