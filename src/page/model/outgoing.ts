/** The outgoing files of this tab. The same sender core runs in `golooader send`. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { isAboutToken, type PortalClient, RemoteProblem, RetryPolicy } from '../../client/index.ts'
import type { ProblemJson } from '../../protocol/index.ts'
import { folderName } from '../../receiver/index.ts'
import {
  beginSending,
  type EventWatch,
  followOne,
  type JournalEntry,
  type SendContext,
  type SenderTrust,
  type SendOutcome,
  type Source,
  sendOne,
  sendSlots,
} from '../../sender/index.ts'
import { BrowserFileSource } from '../platform/file-source.ts'
import { BrowserFolderSource } from '../platform/folder-source.ts'
import type { PageJournal } from '../platform/journal.ts'
import { workerDigestAlgorithms } from '../platform/part-workers.ts'
import { type Picked, PickedFolder } from '../platform/picked-folder.ts'
import type { PageSealRecords } from '../platform/seal-records.ts'
import { type AboutOutgoing, OutgoingFile } from './outgoing-file.ts'
import { problemOf } from './problem-of.ts'
import type { OutgoingFiles, ShownContent, Unfinished } from './types.ts'

/** The number of transfers that upload at the same time. Transfers that wait for receivers do not count. */
const LINE = { transfersAtOnce: 3, largeAtOnce: 1 }
/**
 * Concurrent parts. A browser opens six connections to a portal, and the page needs some of them for other requests.
 */
const PARTS_IN_FLIGHT = { min: 1, max: 3 }
/** The memory of one transfer. Each part is in memory twice: as it is in the file, and as it is sent. */
const BUFFER_BYTES_MAX = 64 * 1024 * 1024

export interface OutgoingOptions {
  readonly client: PortalClient
  readonly account: string
  readonly portalUrl: string
  readonly trust: Omit<SenderTrust, 'isSealing'>
  readonly journal: PageJournal
  readonly sealRecords: PageSealRecords
  readonly events: EventWatch
  readonly signal: AbortSignal
  readonly isSealedOnly: ReadonlySignal<boolean>
  /** Reports an error that ends everything, such as an invalid token. */
  readonly onTrouble: (problem: ProblemJson) => void
  /** A transfer started or ended, so the history may have to reload. */
  readonly onChange: () => void
}

export class OutgoingList implements OutgoingFiles {
  readonly files: ReadonlySignal<readonly OutgoingFile[]>
  readonly unfinished: ReadonlySignal<readonly Unfinished[]>
  readonly isSealedOnly: ReadonlySignal<boolean>
  readonly #options: OutgoingOptions
  readonly #files = signal<readonly OutgoingFile[]>([])
  readonly #unfinished = signal<readonly Unfinished[]>([])
  readonly #placeFor = sendSlots(LINE)
  #count = 0

  constructor(options: OutgoingOptions) {
    this.#options = options
    this.files = this.#files
    this.unfinished = this.#unfinished
    this.isSealedOnly = options.isSealedOnly
  }

  /** Transfers of earlier tabs. The page reads them before it can start a new one. */
  async begunEarlier(): Promise<readonly JournalEntry[]> {
    const { journal, account, portalUrl } = this.#options
    return (await journal.list()).filter((one) => one.account === account && one.portalUrl === portalUrl)
  }

  /**
   * Resumes the transfers of earlier tabs. Where the portal has stored the file, the page needs no file and waits for
   * the receivers. For the others the user has to choose the file again.
   */
  takeUp(entries: readonly JournalEntry[]): void {
    const here = new Set(this.files.value.map(({ transferId }) => transferId.value))
    for (const entry of entries) if (!here.has(entry.transferId)) void this.#follow(entry)
  }

  async #follow(entry: JournalEntry): Promise<void> {
    const { signal: stop, onChange, onTrouble } = this.#options
    const { transferId, to, isSealed } = entry
    const outgoing = this.#fileOf({ ...contentOf(entry), to, isSealed }, null)
    outgoing.begun(transferId)
    try {
      const context = await this.#begin(to, isSealed)
      const outcome = await followOne(context, entry, {
        signal: outgoing.signal,
        onEvent: (event) => {
          outgoing.apply(event)
          // The page learns only now that the portal has stored the file.
          if (event.type === 'notification') this.#show(outgoing)
        },
      })
      // A transfer that the portal lost needs its file again.
      const isWanted = outcome === null || outcome.outcome === 'no-answer'
      if (isWanted) this.#unfinished.value = [...this.#unfinished.value, this.#unfinishedOf(entry)]
      if (outcome !== null) this.#ended(outgoing, outcome)
    } catch (error) {
      if (stop.aborted || outgoing.signal.aborted) return
      if (error instanceof RemoteProblem && isAboutToken(error)) onTrouble(error.problem)
      // For example, the keys of its receivers have changed. The page shows the problem when the user chooses the file
      // again.
      this.#unfinished.value = [...this.#unfinished.value, this.#unfinishedOf(entry)]
    }
    onChange()
  }

  #ended(outgoing: OutgoingFile, outcome: SendOutcome): void {
    outgoing.end(outcome)
    this.#show(outgoing)
  }

  #show(outgoing: OutgoingFile): void {
    if (!this.#files.value.includes(outgoing)) this.#files.value = [outgoing, ...this.#files.value]
  }

  send(picked: readonly Picked[], to: readonly string[], { isSealed }: { isSealed: boolean }): void {
    this.#send(
      picked.map((one) => ({ name: one.name, picked: one })),
      to,
      { isSealed },
    )
  }

  #send(named: readonly Named[], to: readonly string[], { isSealed }: { isSealed: boolean }): void {
    const context = this.#begin(to, isSealed)
    // Each file that waits for the portal shows the error itself.
    context.catch(() => {})
    for (const one of named) this.#add(one, to, isSealed, context)
  }

  async #begin(to: readonly string[], isSealing: boolean): Promise<SendContext> {
    const { client, account, portalUrl, trust, journal, sealRecords, events, signal: stop } = this.#options
    return beginSending({
      ...{ client, journal, sealRecords, events, to },
      identity: { portalUrl, account },
      trust: { ...trust, isSealing },
      // The page shows that the portal does not answer, and the user decides what to do.
      answerTimeoutMs: Number.POSITIVE_INFINITY,
      waitMs: null,
      digestAlgorithms: await workerDigestAlgorithms(),
      partsInFlight: PARTS_IN_FLIGHT,
      bufferBytesMax: BUFFER_BYTES_MAX,
      signal: stop,
      onEvent: () => {},
    })
  }

  #add(named: Named, to: readonly string[], isSealed: boolean, context: Promise<SendContext>): void {
    const source = sourceOf(named)
    const { name, picked } = named
    const tree = picked instanceof PickedFolder ? picked.size : null
    const outgoing = this.#fileOf({ name, sizeBytes: source.sizeBytes, tree, to, isSealed }, named)
    this.#show(outgoing)
    void this.#run(outgoing, source, context)
  }

  /** @param named null where an earlier tab sent it */
  #fileOf(about: Omit<AboutOutgoing, 'key' | 'account' | 'at'>, named: Named | null): OutgoingFile {
    const { account } = this.#options
    const { isSealed } = about
    const picked = named?.picked
    const at = picked instanceof PickedFolder ? (offsetBytes: number) => picked.at(offsetBytes) : null
    return new OutgoingFile(
      { ...about, key: ++this.#count, account, at },
      {
        cancel: (one) => this.#cancel(one),
        again:
          named === null
            ? null
            : (one, lacking) => {
                this.#remove(one)
                this.#send([named], lacking, { isSealed })
              },
        dismiss: (one) => this.#remove(one),
      },
    )
  }

  async #run(outgoing: OutgoingFile, source: Source, context: Promise<SendContext>): Promise<void> {
    const { onChange, onTrouble, signal: stop } = this.#options
    try {
      const outcome = await sendOne(await context, source, {
        signal: outgoing.signal,
        isWaiting: true,
        pause: outgoing.pauseOfSend,
        acquireSlot: this.#placeFor(outgoing.sizeBytes),
        onEvent: (event) => {
          outgoing.apply(event)
          if (event.type === 'started' || event.type === 'notification') onChange()
        },
      })
      outgoing.end(outcome)
    } catch (error) {
      if (stop.aborted || outgoing.signal.aborted) return
      if (error instanceof RemoteProblem && isAboutToken(error)) onTrouble(error.problem)
      outgoing.refuse(problemOf(error))
    }
    onChange()
  }

  /**
   * Before the file is stored, the portal deletes all of it. A stored file fails for the receivers that do not have it
   * yet.
   */
  async #cancel(outgoing: OutgoingFile): Promise<void> {
    const { client, journal, signal: stop, onChange } = this.#options
    const transferId = outgoing.transferId.value
    const isOver = outgoing.isStored
    if (!isOver) {
      outgoing.stop()
      this.#remove(outgoing)
    }
    if (transferId === null) return
    try {
      // Without a response it is unknown whether the file will still be delivered. The entry stays in the journal until
      // the portal answers.
      const retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal: stop })
      await retryPolicy.retry((bounds) => client.cancel(transferId, bounds))
    } catch (error) {
      if (stop.aborted) return
      // The transfer never reached the portal, or has ended there.
      if (!(error instanceof RemoteProblem)) throw error
    }
    if (!isOver) await removeEntry(journal, transferId)
    onChange()
  }

  #remove(outgoing: OutgoingFile): void {
    this.#files.value = this.#files.value.filter((other) => other !== outgoing)
  }

  #unfinishedOf(entry: JournalEntry): Unfinished {
    const { transferId, name, to, createdAt, isSealed } = entry
    const done = (): void => {
      this.#unfinished.value = this.#unfinished.value.filter((other) => other.transferId !== transferId)
    }
    return {
      ...contentOf(entry),
      ...{ transferId, to, createdAt },
      resume: (picked) => {
        const isFolder = picked instanceof PickedFolder
        // A file keeps the name under which it was sent: earlier versions added the path in its folder.
        const named = { name: isFolder ? picked.name : name, picked }
        const source = sourceOf(named)
        const isOfName = isFolder ? source.name === name : name.endsWith(picked.name)
        if (source.place !== entry.place || !isOfName) return differenceOf(entry, named, source)
        done()
        this.#send([named], to, { isSealed })
        return null
      },
      forget: async () => {
        const { client, journal, signal: stop } = this.#options
        await client.cancel(transferId, { onlyWhile: 'receiving', signal: stop }).catch((error: unknown) => {
          if (!(error instanceof RemoteProblem)) throw error
        })
        await journal.remove(entry)
        done()
      },
    }
  }
}

async function removeEntry(journal: PageJournal, transferId: string): Promise<void> {
  const entry = (await journal.list()).find((one) => one.transferId === transferId)
  if (entry !== undefined) await journal.remove(entry)
}

/** What the user chose, and the name to send it by. */
interface Named {
  readonly name: string
  readonly picked: Picked
}

function sourceOf({ name, picked }: Named): Source {
  return picked instanceof PickedFolder ? new BrowserFolderSource(picked) : new BrowserFileSource(picked, name)
}

/** The size of a folder stands beside its identity. */
function contentOf({ name, source }: JournalEntry): ShownContent {
  const { sizeBytes, fileCount, contentBytes } = source
  const isTree = typeof fileCount === 'number' && typeof contentBytes === 'number'
  const tree = isTree ? { fileCount, contentBytes } : null
  return { name: tree === null ? name : folderName(name), sizeBytes, tree }
}

function differenceOf(entry: JournalEntry, { picked }: Named, { sizeBytes }: Source): string {
  const { name, tree } = contentOf(entry)
  const kind = tree === null ? 'file' : 'folder'
  if (picked instanceof PickedFolder !== (tree !== null)) return `This is not a ${kind}: ${picked.name}.`
  const isOfName = tree === null ? name.endsWith(picked.name) : name === picked.name
  if (!isOfName) return `This is another ${kind}: ${picked.name}.`
  if (tree !== null) return 'The folder has changed since: send it as a new transfer.'
  return sizeBytes === entry.source.sizeBytes
    ? 'The file has changed since: send it as a new transfer.'
    : 'The file has another size than before: send it as a new transfer.'
}
