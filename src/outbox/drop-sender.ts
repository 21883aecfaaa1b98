/**
 * Sends the files of a drop folder: one connection for all of them, each file a transfer of its own.
 *
 * What all transfers to the same receivers share, among it the receivers' keys, is learned again after a while, because this runs for months.
 */
import { setMaxListeners } from 'node:events'
import { heldBackText, type PortalClient, publishMissingKeys, RetryPolicy } from '../client/index.ts'
import { atOnceWithinDescriptors, makeTriedFolder } from '../fs/index.ts'
import { treeNameEnd } from '../protocol/index.ts'
import {
  beginSending,
  EventWatch,
  forget,
  type JournalEntry,
  type JournalKey,
  type KeptReceipt,
  Pause,
  type SendContext,
  type SendEvent,
  type SenderTrust,
  type SendOutcome,
  sendOne,
  sendSlots,
} from '../sender/index.ts'
import type { NodeSource } from '../sender/node-content.ts'
import { FileJournal } from '../sender/node-journal.ts'
import { journalId } from '../sender/node-journal-id.ts'
import { FileSealRecords } from '../sender/node-seal-record.ts'
import { sourceTakenOver } from '../sender/node-source.ts'
import type { HowToSend } from './batch-record.ts'
import { type Drop, locationOf, placeOf } from './batches.ts'

export const transfersAtOnce = 128
const IN_PARTS_AT_ONCE_MAX = 16
const LARGE_AT_ONCE_MAX = 2
/** Descriptors of one transfer: the file, its seal record and that record's lock, the journal, and two connections. */
const DESCRIPTORS_PER_TRANSFER = 6
const BUFFER_BYTES_MAX = 64 * 1024 * 1024
/** After this time the receivers' keys and the portal's limits are learned again. */
const CONTEXT_MS_MAX = 60_000

export interface OutboxTrust extends SenderTrust {
  readonly receipts: SenderTrust['receipts'] & {
    /** The receipts of a transfer that are kept on this machine. */
    readonly of: (transferId: string) => Promise<KeptReceipt[]>
  }
}

export interface DropSenderOptions {
  readonly client: PortalClient
  readonly identity: { readonly portalUrl: string; readonly account: string }
  readonly trust: OutboxTrust | null
  readonly stateFolder: string
  /** How long the portal may stay silent before a file is stored. */
  readonly answerTimeoutMs: number
  /** How long to wait for the receivers of a stored file; null: until they answer. */
  readonly waitMs: number | null
  readonly partSizeBytes?: number
  readonly partsInFlight?: number
  readonly signal: AbortSignal
  readonly onEvent: (event: SendEvent) => void
  readonly onConnected: () => void
}

interface KnownContext {
  readonly context: Promise<SendContext>
  readonly madeAtMs: number
}

export class DropSender {
  readonly #options: DropSenderOptions
  readonly #journal: FileJournal
  readonly #sealRecords: FileSealRecords
  readonly #events: EventWatch
  readonly #slotFor = sendSlots({
    transfersAtOnce: atOnceWithinDescriptors(transfersAtOnce, DESCRIPTORS_PER_TRANSFER),
    inPartsAtOnce: IN_PARTS_AT_ONCE_MAX,
    largeAtOnce: LARGE_AT_ONCE_MAX,
  })
  /** By the text of how files are sent. */
  readonly #contexts = new Map<string, KnownContext>()
  /** By transfer: receipts that have come, until the end of the transfer is recorded. */
  readonly #receipts = new Map<string, KeptReceipt[]>()

  /** @param options `signal` aborts everything */
  constructor(options: DropSenderOptions) {
    this.#options = options
    this.#journal = new FileJournal(options.stateFolder)
    this.#sealRecords = new FileSealRecords(options.stateFolder)
    const { client, answerTimeoutMs, signal, onEvent, onConnected } = options
    // Each request adds a listener and removes it when it ends, so many listeners are no leak.
    setMaxListeners(0, signal)
    this.#events = new EventWatch({
      client,
      answerTimeoutMs,
      signal,
      onHeldBack: () => onEvent({ type: 'held-back', transferId: null, reason: heldBackText }),
      onSilence: (reason, pauseMs) => onEvent({ type: 'silence', transferId: null, reason, pauseMs }),
      onMessage: ({ type }) => {
        if (type === 'current') onConnected()
      },
    })
  }

  /**
   * Tries the folder for the state of transfers, and removes what killed runs have left there.
   *
   * @returns the name of its journal
   * @throws Problem `folder-unavailable`
   */
  async prepare(): Promise<string> {
    const advice = 'The state of transfers needs a folder on a disk of this machine: set XDG_STATE_HOME to one'
    await makeTriedFolder(this.#options.stateFolder, { advice })
    await this.#journal.tidy()
    return journalId(this.#options.stateFolder)
  }

  /**
   * Follows the events of the account until the signal aborts. Nothing is sent without it.
   *
   * @throws the signal's reason; RemoteProblem when the portal does not let this account in; NoResponseError
   */
  follow(): Promise<never> {
    return this.#events.follow()
  }

  /**
   * Resolves when the portal knows the receivers, so that files can be sent.
   *
   * @throws RemoteProblem `receiver-unknown`; Problem `keys-changed`, `keys-missing`; the signal's reason
   */
  async ready(how: HowToSend): Promise<void> {
    await this.#contextOf(how)
  }

  /** Sends a file, or continues its transfer, and waits for the receivers. @throws like `sendOne`, and what `onOutcome` throws */
  async send(drop: Drop, path: string, onOutcome: SendContext['onOutcome']): Promise<SendOutcome> {
    const { signal, onEvent } = this.#options
    const { how } = drop.batch.header
    const source = await sourceOf(drop, path)
    for (const one of source.leftOut) onEvent({ type: 'left-out', transferId: null, ...one })
    return sendOne(await this.#contextOf(how), source, {
      ...{ signal, isWaiting: true, onOutcome },
      onEvent: () => {},
      pause: new Pause(),
      acquireSlot: this.#slotFor(source.sizeBytes),
    })
  }

  /**
   * The receipts that came for a transfer. They are not asked for again.
   *
   * @param isRecovered whether an earlier run may have got some: a kill right after a receipt was kept leaves it on the disk alone
   */
  async receiptsOf(transferId: string, isRecovered: boolean): Promise<KeptReceipt[]> {
    const receipts = this.#receipts.get(transferId) ?? []
    const kept = isRecovered ? ((await this.#options.trust?.receipts.of(transferId)) ?? []) : []
    return [...receipts, ...kept.filter((one) => receipts.every(({ receiver }) => receiver !== one.receiver))]
  }

  /** The end of a transfer is recorded, with its receipts. */
  forgetReceipts(transferId: string): void {
    this.#receipts.delete(transferId)
  }

  /** The transfer of a file in the journal; null when it has none. */
  entryOf(drop: Drop): Promise<JournalEntry | null> {
    return this.#journal.read(this.#keyOf(drop))
  }

  /** Removes a transfer from the journal whose end is recorded in the drop folder. */
  async forgetEnded(key: JournalKey, transferId: string | null): Promise<void> {
    const entry = await this.#journal.read(key)
    if (entry !== null && entry.transferId === transferId) await this.#journal.remove(entry)
  }

  /** Gives up the transfer of a file that was taken away, unless the portal has stored it. @returns its id; null where there was none */
  async giveUp(drop: Drop): Promise<string | null> {
    const entry = await this.entryOf(drop)
    if (entry !== null) {
      await forget({ ...this.#options, journal: this.#journal }, entry)
      this.forgetReceipts(entry.transferId)
    }
    return entry?.transferId ?? null
  }

  #keyOf(drop: Drop): JournalKey {
    const { to, isSealed } = drop.batch.header.how
    const name = drop.isFolder ? drop.name + treeNameEnd : drop.name
    return { ...this.#options.identity, place: placeOf(drop), name, to: [...to].sort(), isSealed }
  }

  async #contextOf(how: HowToSend): Promise<SendContext> {
    const key = JSON.stringify(how)
    const known = this.#contexts.get(key)
    if (known !== undefined && performance.now() - known.madeAtMs < CONTEXT_MS_MAX) return known.context
    const context = this.#begin(how)
    this.#contexts.set(key, { context, madeAtMs: performance.now() })
    // A failure is not kept: the next file tries again.
    context.catch(() => this.#contexts.delete(key))
    return context
  }

  async #begin({ to, isSealed }: HowToSend): Promise<SendContext> {
    const { client, identity, trust, answerTimeoutMs, waitMs, partSizeBytes, partsInFlight, signal, onEvent } =
      this.#options
    await this.#events.opened
    if (trust !== null) {
      // Other errors show when files are sent.
      await publishMissingKeys(client, trust.keys.publicKeys, new RetryPolicy({ answerTimeoutMs, signal })).catch(
        () => {},
      )
    }
    return beginSending({
      ...{ client, identity, to, answerTimeoutMs, waitMs, signal, onEvent },
      trust: trust === null ? null : { ...trust, isSealing: isSealed, receipts: this.#remembering(trust) },
      journal: this.#journal,
      sealRecords: this.#sealRecords,
      events: this.#events,
      bufferBytesMax: BUFFER_BYTES_MAX / LARGE_AT_ONCE_MAX,
      ...(partSizeBytes === undefined ? {} : { partSizeBytes }),
      ...(partsInFlight === undefined ? {} : { partsInFlight: { min: partsInFlight, max: partsInFlight } }),
    })
  }

  /** Receipts are also remembered until the end of their transfer. */
  #remembering({ receipts }: SenderTrust): SenderTrust['receipts'] {
    return {
      keep: async (receipt) => {
        const of = this.#receipts.get(receipt.transferId) ?? []
        this.#receipts.set(receipt.transferId, [...of.filter(({ receiver }) => receiver !== receipt.receiver), receipt])
        await receipts.keep(receipt)
      },
    }
  }
}

/** @throws Problem `source-unreadable`, `source-not-a-file`, `source-incomplete` */
export function sourceOf(drop: Drop, path: string): Promise<NodeSource> {
  const { withTimes, exclude, isStrict } = drop.batch.header.how
  return sourceTakenOver({ path, location: locationOf(drop), place: placeOf(drop), withTimes, exclude, isStrict })
}
