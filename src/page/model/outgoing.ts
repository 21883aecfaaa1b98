/** What is sent in this tab, over the sender that `golooader send` runs. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { Patience, type PortalClient, RemoteProblem } from '../../client/index.ts'
import { Problem, type ProblemJson } from '../../protocol/index.ts'
import {
  beginSending,
  type EventWatch,
  followOne,
  type JournalEntry,
  type SendContext,
  type SenderTrust,
  type SendOutcome,
  sendOne,
  sharedLine,
} from '../../sender/index.ts'
import { PageFile } from '../platform/file-source.ts'
import type { PageJournal } from '../platform/journal.ts'
import type { PageSealRecords } from '../platform/seal-records.ts'
import { type AboutOutgoing, OutgoingFile } from './outgoing-file.ts'
import type { NamedFile, OutgoingFiles, Unfinished } from './types.ts'

/** Transfers that send at the same time. What waits for receivers does not count. */
const LINE = { transfersAtOnce: 3, largeAtOnce: 1 }
/** A browser opens six connections to a portal in all, and others are needed, too. */
const PARTS_IN_FLIGHT = { min: 1, max: 3 }
/** Of one transfer. A part is held as it is in the file, and as it travels. */
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
  /** What ends everything: a token that is not valid any more. */
  readonly onTrouble: (problem: ProblemJson) => void
  /** Something began or ended, which the history may want to show. */
  readonly onChange: () => void
}

export class OutgoingList implements OutgoingFiles {
  readonly files: ReadonlySignal<readonly OutgoingFile[]>
  readonly unfinished: ReadonlySignal<readonly Unfinished[]>
  readonly isSealedOnly: ReadonlySignal<boolean>
  readonly #options: OutgoingOptions
  readonly #files = signal<readonly OutgoingFile[]>([])
  readonly #unfinished = signal<readonly Unfinished[]>([])
  readonly #placeFor = sharedLine(LINE)
  #count = 0

  constructor(options: OutgoingOptions) {
    this.#options = options
    this.files = this.#files
    this.unfinished = this.#unfinished
    this.isSealedOnly = options.isSealedOnly
  }

  /**
   * Takes up what earlier tabs have begun. What the portal has stored meanwhile needs no file any more: here it is waited for the
   * receivers. For all else somebody has to choose the file again.
   */
  async takeUp(): Promise<void> {
    const { journal, account, portalUrl } = this.#options
    const entries = (await journal.list()).filter((one) => one.account === account && one.portalUrl === portalUrl)
    for (const entry of entries) void this.#follow(entry)
  }

  async #follow(entry: JournalEntry): Promise<void> {
    const { signal: stop, onChange, onTrouble } = this.#options
    const { transferId, name, to, isSealed } = entry
    const outgoing = this.#fileOf({ name, sizeBytes: entry.source.sizeBytes, to, isSealed }, null)
    outgoing.begun(transferId)
    try {
      const context = await this.#begin(to, isSealed)
      const outcome = await followOne(context, entry, {
        signal: outgoing.signal,
        onEvent: (event) => {
          outgoing.apply(event)
          // Only now it is known that it is stored.
          if (event.type === 'notification') this.#show(outgoing)
        },
      })
      if (outcome === null) this.#unfinished.value = [...this.#unfinished.value, this.#unfinishedOf(entry)]
      else this.#ended(outgoing, outcome)
    } catch (error) {
      if (stop.aborted || outgoing.signal.aborted) return
      if (error instanceof RemoteProblem && error.code === 'credentials-invalid') onTrouble(error.problem)
      // Its receivers are not who they were, say. Whoever chooses the file again is told.
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

  send(files: readonly NamedFile[], to: readonly string[], { isSealed }: { isSealed: boolean }): void {
    const context = this.#begin(to, isSealed)
    // Each file that waits for it tells what went wrong.
    context.catch(() => {})
    for (const { name, file } of files) this.#add(name, file, to, isSealed, context)
  }

  #begin(to: readonly string[], isSealing: boolean): Promise<SendContext> {
    const { client, account, portalUrl, trust, journal, sealRecords, events, signal: stop } = this.#options
    return beginSending({
      ...{ client, journal, sealRecords, events, to },
      identity: { portalUrl, account },
      trust: { ...trust, isSealing },
      // Somebody who looks at the page sees that there is no answer, and decides what that means.
      answerTimeoutMs: Number.POSITIVE_INFINITY,
      waitMs: null,
      partsInFlight: PARTS_IN_FLIGHT,
      bufferBytesMax: BUFFER_BYTES_MAX,
      signal: stop,
      onEvent: () => {},
    })
  }

  #add(name: string, file: File, to: readonly string[], isSealed: boolean, context: Promise<SendContext>): void {
    const outgoing = this.#fileOf({ name, sizeBytes: file.size, to, isSealed }, file)
    this.#show(outgoing)
    void this.#run(outgoing, new PageFile(file, name), context)
  }

  /** @param file null where it has gone with an earlier tab */
  #fileOf(about: Omit<AboutOutgoing, 'key' | 'account'>, file: File | null): OutgoingFile {
    const { account } = this.#options
    const { name, isSealed } = about
    return new OutgoingFile(
      { ...about, key: ++this.#count, account },
      {
        cancel: (one) => this.#cancel(one),
        again:
          file === null
            ? null
            : (one, lacking) => {
                this.#remove(one)
                this.send([{ name, file }], lacking, { isSealed })
              },
        dismiss: (one) => this.#remove(one),
      },
    )
  }

  async #run(outgoing: OutgoingFile, source: PageFile, context: Promise<SendContext>): Promise<void> {
    const { onChange, onTrouble, signal: stop } = this.#options
    try {
      const outcome = await sendOne(await context, source, {
        signal: outgoing.signal,
        isWaiting: true,
        pause: outgoing.pauseOfSend,
        takePlace: this.#placeFor(outgoing.sizeBytes),
        onEvent: (event) => {
          outgoing.apply(event)
          if (event.type === 'started' || event.type === 'notification') onChange()
        },
      })
      outgoing.end(outcome)
    } catch (error) {
      if (stop.aborted || outgoing.signal.aborted) return
      if (error instanceof RemoteProblem && error.code === 'credentials-invalid') onTrouble(error.problem)
      outgoing.refuse(problemOf(error))
    }
    onChange()
  }

  /** Before it is stored nothing is left of it; what is stored fails for those who do not have it yet. */
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
      // Without an answer nobody knows whether it is delivered all the same: it stays in the journal until there is one.
      const patience = new Patience({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal: stop })
      await patience.insist(() => client.cancel(transferId, { stallMs: patience.stallMs, signal: stop }))
    } catch (error) {
      if (stop.aborted) return
      // It never got to the portal, or has ended there.
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
      ...{ transferId, name, to, createdAt },
      sizeBytes: entry.source.sizeBytes,
      goOn: (file) => {
        if (new PageFile(file, name).place !== entry.place || !name.endsWith(file.name))
          return differenceOf(entry, file)
        done()
        this.send([{ name, file }], to, { isSealed })
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

function differenceOf({ name, source }: JournalEntry, file: File): string {
  if (!name.endsWith(file.name)) return `This is another file: ${file.name}.`
  return file.size === source.sizeBytes
    ? 'It has been written to since: send it as a new one.'
    : 'It has another size than before: send it as a new one.'
}

/** As it is shown, whatever it was. */
export function problemOf(error: unknown): ProblemJson {
  if (error instanceof Problem) return error.toJSON()
  if (error instanceof RemoteProblem) return error.problem
  return new Problem('internal', { detail: error instanceof Error ? error.message : String(error) }).toJSON()
}
