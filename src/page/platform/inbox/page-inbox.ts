/**
 * The inbox in a browser, and how it publishes exactly once.
 *
 * Content goes to files of the origin; the database records the verified parts. Without a chosen folder, one transaction publishes
 * a file by naming it, and the browser keeps it until its owner removes it. With a chosen folder, the page copies the file there
 * (`folder-publisher.ts`). The browser's copy is deleted last.
 *
 * A tree arrives as a tar. It is unpacked into the chosen folder, once all of it is verified. Without one it stays a tar: browsers cannot
 * download a folder.
 *
 * Three limits remain. A name that is free cannot be reserved: another program that creates it in the same moment loses its file. If
 * the user renames the copy between the two records and the browser crashes then, a second copy is created. A browser cannot rename
 * folders, so that a tree is seen while it is written.
 */
import { KeyedMutex, Semaphore } from '../../../async/index.ts'
import { type FileTraits, type Problem, randomText, type TreeSize, treeNameEnd } from '../../../protocol/index.ts'
import {
  agreedMs,
  type Clocks,
  type CommitRecord,
  type Inbox,
  type IncomingFile,
  type PartBody,
  type PartialLayout,
  type Published,
  publishedBy,
} from '../../../receiver/index.ts'
import { leftBytes } from '../browser.ts'
import { change, type PageDatabase } from '../database.ts'
import {
  type ArrivalRecord,
  Arrivals,
  type ArrivedRecord,
  type ArrivingRecord,
  isContinued,
  OvertakenError,
} from './arrivals.ts'
import { BrowserIncomingFile, verifiedParts } from './browser-incoming-file.ts'
import { ChosenFolder, type FolderLapse } from './chosen-folder.ts'
import { type CommitAbout, FolderPublisher, namesFrom, type PublisherContext, tooMany } from './folder-publisher.ts'
import { isLeftover, keepSince } from './memory.ts'
import { type FileKeeping, openStaging } from './open-staging.ts'
import { type Staging, StagingError } from './staging.ts'
import { meaningOf, storageReasonOf } from './storage-problem.ts'
import type { Unpacked, WritingProgress } from './tree-progress.ts'

const INSTANCE_BYTES = 18
const INSTANCE_KEY = 'instance'
/** The mutex key for choosing a free name. */
const NAMES = 'names'
/** Of all streams together. Each part is in memory twice, as it was sent and opened. */
const STREAM_PARTS_AT_ONCE = 4

/** A received file that is still in this browser. */
export interface KeptFile {
  readonly transferId: string
  readonly name: string
  readonly sizeBytes: number
  /** Type and subtype; null where it is unknown. */
  readonly mediaType: string | null
  /** What is in it, where it is the tar of a tree; null for a file. */
  readonly tree: TreeSize | null
  /** Null for an unsigned file. */
  readonly from: string | null
  readonly atMs: number
}

export interface PageInboxOptions {
  readonly database: PageDatabase
  /** Several portals may share an origin, each under its own path. */
  readonly portalUrl: string
  readonly fileKeeping: FileKeeping
  /** Called when the chosen folder needs the user; null: no longer. */
  readonly onFolderLapse: (lapse: FolderLapse | null) => void
  /** Called while a tree is written into that folder. */
  readonly onWriting?: (transferId: string, progress: WritingProgress) => void
}

/** Only one instance may be open in a browser. The caller ensures that. */
export async function openPageInbox(options: PageInboxOptions): Promise<PageInbox> {
  const { database, portalUrl, fileKeeping, onFolderLapse, onWriting = () => {} } = options
  const folder = await ChosenFolder.open(database, onFolderLapse)
  const staging = openStaging(fileKeeping, database, portalUrl, 'inbox')
  const inbox = new PageInbox(await instanceOf(database), database, staging, folder, onWriting)
  await inbox.removeOrphans()
  return inbox
}

export class PageInbox implements Inbox<PartBody>, Disposable {
  readonly instanceId: string
  readonly unpacksTrees = true
  readonly keepsParts = true
  readonly takesStreams = true
  /** The folder for copies, if the user has chosen one. */
  readonly folder: ChosenFolder
  readonly #database: PageDatabase
  readonly #arrivals: Arrivals
  readonly #staging: Staging
  readonly #turns = new KeyedMutex()
  readonly #streamParts = new Semaphore(STREAM_PARTS_AT_ONCE)
  readonly #publisher: FolderPublisher
  readonly #ending = new AbortController()

  constructor(
    instanceId: string,
    database: PageDatabase,
    staging: Staging,
    folder: ChosenFolder,
    onWriting: PublisherContext['onWriting'],
  ) {
    this.instanceId = instanceId
    this.folder = folder
    this.#database = database
    this.#arrivals = new Arrivals(database)
    this.#staging = staging
    this.#publisher = new FolderPublisher({
      ...{ arrivals: this.#arrivals, staging, onWriting },
      ending: this.#ending.signal,
    })
  }

  async freeBytes(): Promise<number> {
    return Math.min(await leftBytes(), this.#staging.fileBytesMax)
  }

  async hasBegun(transferId: string): Promise<boolean> {
    return (await this.#arrivals.get(transferId)) !== null
  }

  async open(
    transferId: string,
    layout: PartialLayout,
    signal: AbortSignal,
    { mediaType, tree }: Pick<FileTraits, 'mediaType' | 'tree'> = { mediaType: null, tree: null },
  ): Promise<IncomingFile<PartBody>> {
    const context = { staging: this.#staging, arrivals: this.#arrivals, streamParts: this.#streamParts }
    const known = await this.#arrivals.get(transferId)
    if (known !== null && known.state !== 'arriving') throw new OvertakenError('another tab is publishing it')
    const arriving = { state: 'arriving', transferId, layout, mediaType, tree, touchedAtMs: Date.now() } as const
    if (known === null || !isContinued(known.layout, layout)) {
      await this.#arrivals.begin(known, arriving)
      await this.#staging.truncate(transferId, 0)
      return new BrowserIncomingFile(context, transferId, layout, new Map())
    }
    await this.#arrivals.put(known, arriving)
    const held = await verifiedParts(context, transferId, layout, signal)
    return new BrowserIncomingFile(context, transferId, layout, held)
  }

  async published(transferId: string, signal: AbortSignal): Promise<Published | null> {
    const known = await this.#arrivals.get(transferId)
    if (known?.state === 'published') {
      if (await this.#isWhereItWas(known)) return publishedBy(known.record)
      await this.#arrivals.remove(transferId, known)
      return null
    }
    if (known?.state !== 'publishing') return null
    const found = await this.#whileUsable(signal, (folder) => this.#publisher.hasPublished(known, folder))
    // No folder is chosen any more. The file may be complete in the previous one.
    if (found ?? (await this.#publisher.hasPublished(known, null))) return publishedBy(known.record)
    await this.#publisher.unpublish(known)
    return null
  }

  async commit(
    transferId: string,
    name: string,
    about: CommitAbout,
    finished: Promise<void>,
    signal: AbortSignal,
  ): Promise<Published> {
    await finished
    const published = await this.#whileUsable(signal, (folder) =>
      this.#turns.run(NAMES, () => this.#publisher.publish(folder, transferId, name, about)),
    )
    return published ?? (await this.#turns.run(NAMES, () => this.#keep(transferId, name, about)))
  }

  async answered(transferId: string): Promise<void> {
    const known = await this.#arrivals.get(transferId)
    if (known?.state === 'published') await this.#arrivals.put(known, { ...known, isAnswered: true })
  }

  whereIs(name: string): string {
    return name
  }

  async unfinished(): Promise<string[]> {
    const open = (await this.#arrivals.all()).filter((one) => one.state !== 'published' || !one.isAnswered)
    return open.map(({ transferId }) => transferId)
  }

  async discard(transferId: string): Promise<void> {
    try {
      await this.#discard(transferId)
    } catch (error) {
      // Another tab now owns the transfer.
      if (!(error instanceof OvertakenError)) throw error
    }
  }

  async #discard(transferId: string): Promise<void> {
    let known = await this.#arrivals.get(transferId)
    if (known?.state === 'published') return this.answered(transferId)
    if (known?.state === 'publishing') {
      // Without the permission the folder cannot be checked. The record and the copy in the browser stay.
      if ((await this.#publisher.isThere(known)) !== false) return
      known = await this.#publisher.unpublish(known)
    }
    await this.#arrivals.remove(transferId, known)
    await this.#staging.remove(transferId)
  }

  meaningOf(error: unknown): Problem | 'later' | null {
    return error instanceof OvertakenError ? 'later' : meaningOf(error)
  }

  /** In a browser every error concerns a single file. */
  async obstacle(): Promise<null> {
    return null
  }

  /** The received files that are still in this browser, newest first. */
  async kept(): Promise<KeptFile[]> {
    return (await this.#arrivals.all())
      .filter((one): one is ArrivedRecord => one.state === 'published' && one.place === 'browser')
      .map(({ transferId, record, layout, mediaType = null, tree = null, atMs }) => {
        const from = record.receipt?.from ?? null
        return { transferId, name: record.finalName, sizeBytes: layout.sizeBytes, mediaType, tree, from, atMs }
      })
      .sort((one, other) => other.atMs - one.atMs)
  }

  /** The record of a transfer that this browser published; null where there is none any more. */
  async recordOf(transferId: string): Promise<CommitRecord | null> {
    const known = await this.#arrivals.get(transferId)
    return known?.state === 'published' ? known.record : null
  }

  /** What of a tree is not in the chosen folder as its sender has it; null for a file. */
  async unpacked(transferId: string): Promise<Unpacked | null> {
    const known = await this.#arrivals.get(transferId)
    return (known?.state === 'published' ? known.unpacked : null) ?? null
  }

  /** The content of a kept file, as a stream source or for an object URL. */
  keptFile(transferId: string): Promise<File> {
    return this.#staging.file(transferId)
  }

  /** Removes a kept file at its owner's request. The record that it arrived stays. */
  async removeKept(transferId: string): Promise<void> {
    const known = await this.#arrivals.get(transferId)
    if (known?.state !== 'published' || known.place !== 'browser') return
    await this.#arrivals.put(known, { ...known, place: 'gone' })
    await this.#staging.remove(transferId)
  }

  async tidy(clocks: Clocks): Promise<number> {
    const all = await this.#arrivals.all()
    const sinceMs = await keepSince(this.#database, all, clocks)
    const agreed = agreedMs(clocks)
    if (agreed === null) return sinceMs
    for (const arrival of all) {
      if (isLeftover(arrival, agreed, sinceMs)) await this.#removeArrival(arrival)
    }
    await this.removeOrphans()
    return sinceMs
  }

  async #removeArrival(arrival: ArrivalRecord): Promise<void> {
    try {
      await this.#arrivals.remove(arrival.transferId, arrival)
    } catch (error) {
      // Another tab now owns the transfer.
      if (!(error instanceof OvertakenError)) throw error
    }
  }

  /** Removes content without a record, which a crash has left. */
  async removeOrphans(): Promise<void> {
    const known = new Map((await this.#arrivals.all()).map((one) => [one.transferId, one]))
    for (const transferId of await this.#staging.transferIds()) {
      const arrival = known.get(transferId)
      const isPublishedElsewhere = arrival?.state === 'published' && arrival.place !== 'browser'
      if (arrival === undefined || isPublishedElsewhere) await this.#staging.remove(transferId)
    }
  }

  [Symbol.dispose](): void {
    this.#ending.abort(new StagingError('AbortError', 'the inbox was closed'))
    this.#staging[Symbol.dispose]()
  }

  /** A browser may lose a file and keep its record. The page must not confirm that delivery. */
  async #isWhereItWas({ transferId, place, layout }: ArrivedRecord): Promise<boolean> {
    if (place !== 'browser') return true
    return (await this.#staging.sizeBytes(transferId)) === layout.sizeBytes
  }

  /** A transfer that was to be copied into a folder that is not chosen any more is received into the browser. */
  async #arriving(transferId: string): Promise<ArrivingRecord> {
    const known = await this.#arrivals.get(transferId)
    if (known?.state === 'publishing') return this.#publisher.unpublish(known)
    if (known?.state !== 'arriving') throw new OvertakenError('the file is no longer arriving in this tab')
    return known
  }

  /** Publishes a file that stays in the browser, in one transaction: the page owns both the name and the content. */
  async #keep(transferId: string, name: string, about: CommitAbout): Promise<Published> {
    const known = await this.#arriving(transferId)
    const { tree = null } = known
    if (tree !== null) await this.#publisher.checked(transferId, tree)
    const wanted = tree === null ? name : name + treeNameEnd
    const taken = new Set((await this.kept()).map((file) => file.name))
    const finalName = namesFrom(wanted).find((one) => !taken.has(one))
    if (finalName === undefined) throw tooMany()
    const { layout, mediaType = null } = known
    const record: CommitRecord = { transferId, finalName, ...about }
    const state = { state: 'published', place: 'browser', isAnswered: false, atMs: Date.now() } as const
    await this.#arrivals.publish(known, { transferId, layout, mediaType, tree, record, ...state })
    return publishedBy(record)
  }

  /** Uses the chosen folder, and waits while it is unavailable. @returns null where no folder is chosen */
  async #whileUsable<Result>(
    signal: AbortSignal,
    act: (folder: FileSystemDirectoryHandle) => Promise<Result>,
  ): Promise<Result | null> {
    while (true) {
      const folder = await this.folder.ready(signal)
      if (folder === null) return null
      try {
        return await act(folder)
      } catch (error) {
        const reason = storageReasonOf(error)
        if (reason === 'NotAllowedError') this.folder.lapsed('permission')
        else if (reason === 'NotFoundError' && !(await isReachable(folder))) this.folder.lapsed('missing')
        else throw error
      }
    }
  }
}

async function isReachable(folder: FileSystemDirectoryHandle): Promise<boolean> {
  try {
    await folder.keys().next()
    return true
  } catch {
    return false
  }
}

async function instanceOf(database: PageDatabase): Promise<string> {
  const known = await database.get('settings', INSTANCE_KEY)
  if (typeof known === 'string') return known
  const instanceId = randomText(INSTANCE_BYTES)
  await change(database, 'settings', (settings) => settings.put(instanceId, INSTANCE_KEY))
  return instanceId
}
