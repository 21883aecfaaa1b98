import { fdatasyncSync, fstatSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { RetryPolicy } from '../client/index.ts'
import type { Connection, KnownSelf } from '../profile/index.ts'
import { checkOptions, listOf, type OptionRule, optionsInvalid, Problem, type ProblemJson } from '../protocol/index.ts'
import type { Decision, HandledFile, Handlers, OpenOffer, ReceivedFile, ReceiveEvent } from '../receiver/index.ts'
import type { Output } from '../receiver/node-stream-inbox.ts'
import type { Contacts } from '../trust/index.ts'
import { asLibraryError, GoLooaderError } from './error.ts'
import { iterationOf } from './iteration.ts'
import { RequestLabels } from './request-labels.ts'

export interface ReceiveOptions {
  /**
   * Decides about each file before its content travels. The reason of a refusal goes to the sender, 500 characters at most. `signal`
   * aborts when the offer is withdrawn. Default: accepts everything.
   */
  readonly decide?: (offer: OpenOffer, signal: AbortSignal) => Decision | Promise<Decision>
  /**
   * Called once a file is in the folder, durable, before its sender hears that it was received; one call at a time. When it throws, the file
   * is taken out of the folder again, and the sender hears `exec-failed` with the message of the error. `'later'` leaves the file: it is
   * called again when the portal offers the file again.
   *
   * At least once for each file: after a kill it may be called again, and `transferId` tells that. `signal` aborts when the call is no longer
   * needed; the receiver waits for it. Default: each file is accepted.
   */
  readonly beforeAnswer?: (file: HandledFile, signal: AbortSignal) => 'later' | undefined | Promise<'later' | undefined>
  /**
   * Called once a file is in the folder, durable: one call at a time, in the order of publication. At least once for each file: what a kill
   * has kept from it comes first at the next call of `receive()`. When it throws, the iteration ends with the error, and the next
   * `receive()` calls it again for this file.
   */
  readonly handle?: (file: HandledFile, signal: AbortSignal) => void | Promise<void>
  /** The accepted senders. Files of other senders are refused. Default: all. */
  readonly from?: string | readonly string[]
  /** Makes the folder, or accepts one that no receiver has used before. Default: false, so that an unmounted disk is noticed. */
  readonly create?: boolean
  /** Ends after the first file that was received or refused. Default: false. */
  readonly once?: boolean
  /** Gives the files the time of modification that their sender says. Default: true. */
  readonly times?: boolean
  /** Files that are received at the same time. Default: 16. */
  readonly transfersAtOnce?: number
  /** Parts of one file that travel at the same time. Default: adapts to the connection. */
  readonly partsInFlight?: number
  /** Ends the iteration. */
  readonly signal?: AbortSignal
  /** Called for every step. */
  readonly onEvent?: (event: ReceiveEvent) => void
}

const optionRules = {
  decide: 'function?',
  beforeAnswer: 'function?',
  handle: 'function?',
  from: 'oneOrMore?',
  create: 'flag?',
  once: 'flag?',
  times: 'flag?',
  transfersAtOnce: 'number?',
  partsInFlight: 'number?',
  signal: 'signal?',
  onEvent: 'function?',
} as const satisfies Record<keyof ReceiveOptions, OptionRule>

/** @throws GoLooaderError `options-invalid` */
export function requireReceiveOptions(folder: string, options: ReceiveOptions): void {
  try {
    checkOptions('receive()', { folder }, { folder: 'text' })
    checkOptions('receive()', options, optionRules)
  } catch (error) {
    throw asLibraryError(error)
  }
}

/** Whose account receives. A guest's contacts know its owner alone. */
export interface ReceiveConnection {
  readonly client: Connection['client']
  readonly contacts: Contacts
}

export function deliveriesInto(
  { client, contacts }: ReceiveConnection,
  folder: string,
  options: ReceiveOptions,
  selfOf: (signal: AbortSignal, retryPolicy: RetryPolicy) => Promise<KnownSelf>,
): AsyncGenerator<ReceivedFile, void, undefined> {
  const {
    decide,
    beforeAnswer,
    handle,
    from,
    create = false,
    once = false,
    times = true,
    signal,
    onEvent,
    ...others
  } = options
  const labels = new RequestLabels()
  return iterationOf(signal, async (give, ending) => {
    const [{ requireInbox }, { receive }] = await Promise.all([
      import('../receiver/node-inbox.ts'),
      import('../receiver/node-receive.ts'),
    ])
    // Checked before any wait for the portal, so that a wrong folder is reported at once.
    if (!create) await requireInbox(folder)
    const { account, keys } = await selfOf(
      ending,
      new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal: ending }),
    )
    await receive({
      client,
      trust: keys === null ? null : { account, keys, contacts },
      from: from === undefined ? null : listOf(from),
      folder,
      mayCreate: create,
      isOnce: once,
      keepsTimes: times,
      handlers: handlersOf({ beforeAnswer, handle }, labels),
      signal: ending,
      ...(decide === undefined ? {} : { decide: async (offer, voided) => decide(labels.opened(offer), voided) }),
      onEvent: (told) => {
        const event = labels.opened(told)
        onEvent?.(event)
        if (event.type === 'received') give(receivedFileOf(event))
      },
      ...others,
    })
  })
}

type GivenHandlers = { [Name in 'beforeAnswer' | 'handle']?: ReceiveOptions[Name] | undefined }

/** What a program does with the files in its folder; null for nothing. */
export function handlersOf({ beforeAnswer, handle }: GivenHandlers, labels = new RequestLabels()): Handlers | null {
  if (beforeAnswer === undefined && handle === undefined) return null
  return {
    beforeAnswer: beforeAnswer === undefined ? null : async (file, signal) => beforeAnswer(labels.opened(file), signal),
    handle: handle === undefined ? null : async (file, signal) => handle(labels.opened(file), signal),
  }
}

/** Options of a file that is received into a stream: it is one file, and nothing is published in a folder. */
export type ReceiveStreamOptions = Pick<ReceiveOptions, 'decide' | 'from' | 'signal' | 'onEvent'>

/** A file that was received into a stream. */
export type ReceivedStream = Omit<ReceivedFile, 'path' | 'isRenamed'>

const streamOptionRules = { decide: 'function?', from: 'oneOrMore?', signal: 'signal?', onEvent: 'function?' } as const

/** @throws Problem `options-invalid` */
export function requireStreamOptions(stream: unknown, options: ReceiveStreamOptions): void {
  checkOptions('receiveInto()', options, streamOptionRules)
  const isWritable = typeof stream === 'object' && stream !== null && 'write' in stream
  if (!isWritable) throw optionsInvalid('receiveInto() needs a writable stream')
}

/**
 * Receives one file into a stream.
 *
 * @throws Problem of a refusal; the error of the stream; the signal's reason
 */
export async function streamInto(
  { client, contacts }: ReceiveConnection,
  stream: Writable,
  { decide, from, signal = new AbortController().signal, onEvent }: ReceiveStreamOptions,
  selfOf: (signal: AbortSignal, retryPolicy: RetryPolicy) => Promise<KnownSelf>,
): Promise<ReceivedStream> {
  const [{ receiveStream }, { OutputFailedError }] = await Promise.all([
    import('../receiver/node-receive.ts'),
    import('../receiver/node-stream-inbox.ts'),
  ])
  const retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal })
  const { account, keys } = await selfOf(signal, retryPolicy)
  const labels = new RequestLabels()
  let received: ReceivedStream | null = null
  let refusal: ProblemJson | null = null
  await receiveStream({
    client,
    keepsTimes: false,
    trust: keys === null ? null : { account, keys, contacts },
    from: from === undefined ? null : listOf(from),
    output: outputTo(stream),
    signal,
    ...(decide === undefined ? {} : { decide: async (offer, voided) => decide(labels.opened(offer), voided) }),
    onEvent: (told) => {
      const event = labels.opened(told)
      onEvent?.(event)
      if (event.type === 'refused') refusal = event.problem
      if (event.type !== 'received') return
      const { path: _path, isRenamed: _isRenamed, ...file } = receivedFileOf(event)
      received = file
    },
  }).catch((error: unknown) => {
    if (!(error instanceof OutputFailedError)) throw error
    throw new Problem('write-failed', { detail: error.message }, { cause: error })
  })
  if (received !== null) return received
  signal.throwIfAborted()
  if (refusal !== null) throw new GoLooaderError(refusal, (refusal as ProblemJson).title, {})
  throw new Error('the receiver ended without a file')
}

/** Writes with back-pressure. A file is synced at the end. */
function outputTo(stream: Writable): Output {
  let failure: Error | null = null
  // Without a listener, Node would end the process at an error of the stream.
  stream.on('error', (error) => {
    failure ??= error
  })
  return {
    // A stream of a program may pass on the same memory. That of standard output has given it to the system.
    keepsBuffers: stream !== process.stdout,
    write: (bytes) =>
      new Promise((resolve, reject) => {
        if (failure !== null) return reject(failure)
        stream.write(bytes, (error) => (error ? reject(error) : resolve()))
      }),
    finish: async () => {
      if (failure !== null) throw failure
      if ('fd' in stream && typeof stream.fd === 'number') syncFile(stream.fd)
    },
  }
}

/** A pipe or a terminal cannot be synced. */
function syncFile(descriptor: number): void {
  if (fstatSync(descriptor).isFile()) fdatasyncSync(descriptor)
}

function receivedFileOf(event: ReceiveEvent & { type: 'received' }): ReceivedFile {
  const { transferId, from, name, path, isRenamed, sizeBytes, isSealed, signedBy } = event
  const { mediaType, modifiedAt, isExecutable, tree, request } = event
  const traits = { mediaType, modifiedAt, isExecutable, tree, ...(request === undefined ? {} : { request }) }
  return { transferId, from, name, path, isRenamed, sizeBytes, ...traits, isSealed, signedBy }
}
