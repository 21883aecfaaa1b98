/**
 * Sends files of this machine: see `send`.
 */
import { setMaxListeners } from 'node:events'
import { heldBackText, isPassing, publishMissingKeys, RemoteProblem, RetryPolicy } from '../client/index.ts'
import { atOnceWithinDescriptors, makeTriedFolder } from '../fs/index.ts'
import type { SendContext } from './context.ts'
import { EventWatch } from './event-watch.ts'
import type { SendOutcome } from './events.ts'
import { FileJournal } from './node-journal.ts'
import { FileSealRecords } from './node-seal-record.ts'
import { checkSources, type SourceOptions } from './node-source.ts'
import { passStream } from './node-stream.ts'
import { fifoStream, isFifo, type StreamInput, unsizedFileStream } from './node-stream-input.ts'
import { UnsizedFileError } from './node-unsized.ts'
import { sendSlots } from './send-slot.ts'
import { beginSending, type FirstHop, outcomeOf, type SendingOptions, sendFirst } from './sending.ts'
import type { Source, SourceIdentity } from './source.ts'

/** Many at a time, because small files mostly wait for disks and for answers: two batches of them. */
const TRANSFERS_AT_ONCE_DEFAULT = 128
/** Fewer of those that do not travel in one request: their parts take memory. */
const IN_PARTS_AT_ONCE_MAX = 16
/** Descriptors of one transfer: the file, its seal record and that record's lock, the journal, and two connections. */
const DESCRIPTORS_PER_TRANSFER = 6
/** Few large files at a time: they share the bandwidth, and finishing one is better than having many half done. */
const LARGE_AT_ONCE_MAX = 2
/** Memory for all parts in flight together. */
const BUFFER_BYTES_MAX = 64 * 1024 * 1024

/** The options that the library has checked: see `SendOptions`. */
export interface SendFilesOptions
  extends Omit<SendingOptions, 'journal' | 'sealRecords' | 'events' | 'partsInFlight' | 'bufferBytesMax'>,
    Partial<SourceOptions> {
  /** The folder whose subfolder `journal` has the journal. */
  readonly stateFolder: string
  /** Paths of files and folders, and what can be read only once. */
  readonly paths: readonly (string | StreamInput)[]
  /** False: return after the first notification. */
  readonly isWaiting: boolean
  /** Parts of one transfer in flight at the same time; adapts to the connection by default. */
  readonly partsInFlight?: number
  /** Transfers that are sent at the same time. Transfers that wait for receivers do not count. */
  readonly transfersAtOnce?: number
  /** Makes further receivers for the only file, before the portal hears of it: the guests of a link. */
  readonly guestsFor?: ((file: LinkedFile) => Promise<readonly string[]>) | undefined
}

/** The file that a link is made for. */
export interface LinkedFile {
  readonly place: string
  readonly name: string
  /** Null for a stream: it can be sent only once, so no earlier run has made a link for it. */
  readonly identity: SourceIdentity | null
}

/**
 * Sends files, each as a transfer of its own, and waits for the notifications about them.
 *
 * A failed file does not stop the others. Silence of the portal does: files that have not been started by then are not tried.
 *
 * @returns one outcome per path, in their order; with `as` one for all
 * @throws Problem `source-not-a-file`, `source-unreadable`, `source-incomplete`, `paths-invalid`, `keys-changed`, `keys-missing`,
 *   `folder-unavailable` before anything is sent; RemoteProblem `credentials-invalid`; the signal's reason when that aborts
 */
export async function send(options: SendFilesOptions): Promise<SendOutcome[]> {
  options.signal.throwIfAborted()
  const sources = await checkInputs(options)
  await requireStateFolder(options.stateFolder)
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  // Each request adds a listener and removes it when it ends, so many listeners are no leak.
  setMaxListeners(0, signal)
  const events = new EventWatch({
    client: options.client,
    answerTimeoutMs: options.answerTimeoutMs,
    signal,
    onHeldBack: () => options.onEvent({ type: 'held-back', transferId: null, reason: heldBackText }),
    onSilence: (reason, pauseMs) => options.onEvent({ type: 'silence', transferId: null, reason, pauseMs }),
  })
  const following = events.follow().catch((error) => stop.abort(error))
  const publishing = publishOwnKeys(options, signal)
  try {
    const wanted = Math.max(1, Math.min(options.transfersAtOnce ?? TRANSFERS_AT_ONCE_DEFAULT, sources.length))
    const transfersAtOnce = atOnceWithinDescriptors(wanted, DESCRIPTORS_PER_TRANSFER)
    const { partsInFlight, ...others } = options
    const guests = options.guestsFor === undefined ? [] : await guestsFor(options.guestsFor, sources, publishing)
    const context = await beginSending({
      ...others,
      to: [...options.to, ...guests],
      ...(partsInFlight === undefined ? {} : { partsInFlight: { min: partsInFlight, max: partsInFlight } }),
      journal: new FileJournal(options.stateFolder),
      sealRecords: new FileSealRecords(options.stateFolder),
      events,
      bufferBytesMax: BUFFER_BYTES_MAX / Math.min(transfersAtOnce, LARGE_AT_ONCE_MAX),
      signal,
    })
    await publishing
    const streamPartBytes = options.partSizeBytes ?? null
    return await sendAll({ isWaiting: options.isWaiting, transfersAtOnce, streamPartBytes }, context, sources, stop)
  } catch (error) {
    options.signal.throwIfAborted()
    // Only `beginSending` throws this problem, so nothing has been sent.
    if (error instanceof RemoteProblem && error.code === 'receiver-unknown') {
      const { problem } = error
      const outcomes = sources.map(({ path }): SendOutcome => ({ path, transferId: null, outcome: 'refused', problem }))
      for (const outcome of outcomes) await options.onOutcome?.(outcome, null)
      return outcomes
    }
    if (!isPassing(error)) throw error
    return sources.map((source) => unsent(source, error.message))
  } finally {
    stop.abort()
    await following
  }
}

/** Checks every path before anything is sent. @throws like `checkSources` */
async function checkInputs(options: SendFilesOptions): Promise<(Source | StreamInput)[]> {
  const isTogether = options.as != null
  const found = options.paths.map((input) => {
    return typeof input === 'string' && !isTogether && isFifo(input) ? fifoStream(input) : input
  })
  const files = await checkSources(
    found.filter((input) => typeof input === 'string'),
    options,
  )
  for (const one of files.flatMap(({ leftOut }) => leftOut)) {
    options.onEvent({ type: 'left-out', transferId: null, ...one })
  }
  if (isTogether) return files
  return found.map((input) => {
    const source = typeof input === 'string' ? files.shift() : input
    if (source === undefined) throw new Error('a path has no source')
    return source
  })
}

/**
 * @param publishing of the account's keys, without which it may make no guests
 * @throws Problem `source-unreadable`; like `make`
 */
async function guestsFor(
  make: (file: LinkedFile) => Promise<readonly string[]>,
  [source, ...others]: readonly (Source | StreamInput)[],
  publishing: Promise<void>,
): Promise<readonly string[]> {
  if (source === undefined || others.length > 0) throw new Error('a link is for one file')
  await publishing
  if (!('sizeBytes' in source)) return make({ place: '', name: source.name, identity: null })
  await using file = await source.open()
  return make({ place: source.place, name: source.name, identity: file.identity })
}

/** A receiver refuses a sealed file of a sender whose keys the portal does not have. Other errors show when the files are sent. */
async function publishOwnKeys(
  { client, trust, answerTimeoutMs }: SendFilesOptions,
  signal: AbortSignal,
): Promise<void> {
  if (trust === null) return
  const retryPolicy = new RetryPolicy({ answerTimeoutMs, signal })
  await publishMissingKeys(client, trust.keys.publicKeys, retryPolicy).catch(() => {})
}

/** Folders that this process has tried. */
const triedFolders = new Set<string>()

/** Tries, before anything is announced, whether the folder suits the journal and the seal records. Once per process, because programs call `send` often. */
async function requireStateFolder(folder: string): Promise<void> {
  if (triedFolders.has(folder)) return
  const advice = 'The state of transfers needs a folder on a disk of this machine: set XDG_STATE_HOME to one'
  await makeTriedFolder(folder, { advice })
  triedFolders.add(folder)
}

/** Sends each file as soon as there is a slot for it. One that is stored waits for its receivers beside the others. */
async function sendAll(
  { isWaiting, transfersAtOnce, streamPartBytes }: SendingAll,
  context: SendContext,
  sources: readonly (Source | StreamInput)[],
  stop: AbortController,
): Promise<SendOutcome[]> {
  const slotFor = sendSlots({
    transfersAtOnce,
    inPartsAtOnce: Math.min(IN_PARTS_AT_ONCE_MAX, context.client.rateBounds?.uploadsMax ?? IN_PARTS_AT_ONCE_MAX),
    largeAtOnce: LARGE_AT_ONCE_MAX,
  })
  let silence: string | null = null
  const sendOne = async (source: Source | StreamInput): Promise<SendOutcome> => {
    const isStream = !('sizeBytes' in source)
    const release = await slotFor(isStream ? 0 : source.sizeBytes)(context.signal)
    let passed: Awaited<ReturnType<typeof passStream>>
    try {
      // Checked only now, because the portal may have fallen silent while this file waited for its place.
      if (silence !== null) return unsent(source, silence)
      passed = isStream
        ? await passStream(context, source, streamPartBytes)
        : await passFile(context, source, streamPartBytes)
      if (passed.sent.end === 'no-answer') silence = passed.sent.reason
    } finally {
      release()
    }
    return outcomeOf(passed.context, source, passed.sent, isWaiting)
  }
  const outcomes = sources.map(sendOne)
  // A failure stops everything at once, long before this function awaits the outcome.
  for (const outcome of outcomes) outcome.catch((error) => stop.abort(error))
  await Promise.allSettled(outcomes)
  context.signal.throwIfAborted()
  return Promise.all(outcomes)
}

interface SendingAll {
  readonly isWaiting: boolean
  readonly transfersAtOnce: number
  /** The part size that the caller wants for streams, too; null for the default. */
  readonly streamPartBytes: number | null
}

/** A long file of which the system does not say how long it is becomes a stream. */
async function passFile(
  context: SendContext,
  source: Source,
  streamPartBytes: number | null,
): Promise<{ context: SendContext; sent: FirstHop }> {
  try {
    return { context, sent: await sendFirst(context, source) }
  } catch (error) {
    if (!(error instanceof UnsizedFileError)) throw error
    return passStream(context, unsizedFileStream(source.path, error.location, source.name), streamPartBytes)
  }
}

function unsent({ path }: Pick<Source, 'path'>, reason: string): SendOutcome {
  return { path, transferId: null, outcome: 'no-answer', reason }
}
