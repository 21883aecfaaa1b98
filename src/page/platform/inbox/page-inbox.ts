/**
 * The inbox in a browser, and how it keeps its promise.
 *
 * Content is written into files of the origin, and what counts of it stands in the database. Where nobody has chosen a folder, a
 * file is published by one transaction that gives it its name; it stays in the browser until its owner says that it may go, as
 * no browser tells whether a download arrived. Where somebody has chosen a folder, the file is copied there. Before that a
 * record says durably which transfer is about to appear under which name, and in which folder; after it, that it did. A
 * later run that finds the first record looks into the folder: the whole content under that name, compared by its digests, was
 * published; anything else was not, and all of it is done again from the copy in the browser, which goes last.
 *
 * A browser gives a folder less than a file system does. Whether a name is free, is looked up, not taken: a program that
 * puts a file under it in that moment loses it. And if a person renames the copy in the moment between the two records, and the
 * browser ends in it, a second copy comes.
 */
import { localTurns } from '../../../hop/index.ts'
import { Problem, randomText } from '../../../protocol/index.ts'
import {
  type CommitRecord,
  type Inbox,
  type IncomingFile,
  isForgotten,
  numberedName,
  type PartBody,
  type PartialLayout,
  type Published,
  sameNamesMax,
} from '../../../receiver/index.ts'
import { change, type PageDatabase } from '../database.ts'
import { type Arrival, Arrivals, type Arrived, type Arriving, Overtaken, type Publishing } from './arrivals.ts'
import { ChosenFolder, type FolderLapse } from './chosen-folder.ts'
import { copyInto, entryIn, holdsContent, removeEmpty } from './folder-copy.ts'
import { PageFile, verifiedParts } from './page-file.ts'
import { Staging, StagingError } from './staging.ts'
import { meaningOf, reasonOf } from './storage-problem.ts'

const INSTANCE_BYTES = 18
const INSTANCE_KEY = 'instance'
const DAY_MS = 86_400_000
/** A transfer lives for 7 days unless a portal says otherwise; its leftovers are of no use for much longer. */
const LEFTOVER_MS_MAX = 8 * DAY_MS
/** Under which names are given one after another. */
const NAMES = 'names'

/** A file that has come and is still in this browser. */
export interface KeptFile {
  readonly transferId: string
  readonly name: string
  readonly sizeBytes: number
  /** Null where nobody signed. */
  readonly from: string | null
  readonly atMs: number
}

export interface PageInboxOptions {
  readonly database: PageDatabase
  /** Several portals may share an origin, under a path each. */
  readonly portalUrl: string
  /** A person is needed for the chosen folder; null: not any more. */
  readonly onFolderLapse: (lapse: FolderLapse | null) => void
}

/** Only one at a time may be open in a browser: whoever opens it sees to that. */
export async function openPageInbox({ database, portalUrl, onFolderLapse }: PageInboxOptions): Promise<PageInbox> {
  const folder = await ChosenFolder.open(database, onFolderLapse)
  const staging = new Staging(`inbox ${encodeURIComponent(new URL(portalUrl).pathname)}`)
  const inbox = new PageInbox(await instanceOf(database), new Arrivals(database), staging, folder)
  await inbox.removeLeftovers()
  return inbox
}

export class PageInbox implements Inbox<PartBody>, Disposable {
  readonly instanceId: string
  /** Where files are copied to, if there is such a folder. */
  readonly folder: ChosenFolder
  readonly #arrivals: Arrivals
  readonly #staging: Staging
  readonly #turns = localTurns()
  /** Another tab may be about to do what this one has begun. */
  readonly #ending = new AbortController()

  constructor(instanceId: string, arrivals: Arrivals, staging: Staging, folder: ChosenFolder) {
    this.instanceId = instanceId
    this.folder = folder
    this.#arrivals = arrivals
    this.#staging = staging
  }

  async freeBytes(): Promise<number> {
    const { quota, usage } = await navigator.storage.estimate()
    return quota === undefined ? Number.POSITIVE_INFINITY : Math.max(0, quota - (usage ?? 0))
  }

  async hasBegun(transferId: string): Promise<boolean> {
    return (await this.#arrivals.get(transferId)) !== null
  }

  async open(transferId: string, layout: PartialLayout, signal: AbortSignal): Promise<IncomingFile<PartBody>> {
    const context = { staging: this.#staging, arrivals: this.#arrivals }
    const known = await this.#arrivals.get(transferId)
    if (known !== null && known.state !== 'arriving') throw new Overtaken('another tab is publishing it')
    const arriving = { state: 'arriving', transferId, layout, touchedAtMs: Date.now() } as const
    if (known === null || !isSame(known.layout, layout)) {
      await this.#arrivals.begin(known, arriving)
      await this.#staging.truncate(transferId, 0)
      return new PageFile(context, transferId, layout, new Map())
    }
    await this.#arrivals.put(known, arriving)
    return new PageFile(context, transferId, layout, await verifiedParts(context, transferId, layout, signal))
  }

  async published(transferId: string, signal: AbortSignal): Promise<Published | null> {
    const known = await this.#arrivals.get(transferId)
    if (known?.state === 'published') {
      if (await this.#isWhereItWas(known)) return publishedBy(known.record)
      await this.#arrivals.remove(transferId, known)
      return null
    }
    if (known?.state !== 'publishing') return null
    const found = await this.#whileUsable(signal, async (folder) =>
      // Into another one nobody may be let look any more.
      (await folder.isSameEntry(known.folder)) ? this.#isPublished(known) : this.#isPublished(known).catch(() => false),
    )
    // Where no folder is chosen any more, it may have got into the one that was.
    if (found ?? (await this.#isPublished(known).catch(() => false))) {
      await this.#hasPublished(known)
      return publishedBy(known.record)
    }
    await this.#unpublish(known)
    return null
  }

  async commit(
    transferId: string,
    name: string,
    about: Pick<CommitRecord, 'manifestDigest' | 'receipt'>,
    finished: Promise<void>,
    signal: AbortSignal,
  ): Promise<Published> {
    await finished
    const published = await this.#whileUsable(signal, (folder) =>
      this.#turns.take(NAMES, () => this.#copyTo(folder, transferId, name, about)),
    )
    return published ?? (await this.#turns.take(NAMES, () => this.#keep(transferId, name, about)))
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
      // Then it is that tab's.
      if (!(error instanceof Overtaken)) throw error
    }
  }

  async #discard(transferId: string): Promise<void> {
    let known = await this.#arrivals.get(transferId)
    if (known?.state === 'published') return this.answered(transferId)
    if (known?.state === 'publishing') {
      // Without the permission nobody can tell; then the record stays, and so does the copy in the browser.
      const isThere = await this.#isPublished(known).catch(() => null)
      if (isThere === null) return
      if (isThere) return this.#hasPublished(known)
      known = await this.#unpublish(known)
    }
    await this.#arrivals.remove(transferId, known)
    await this.#staging.remove(transferId)
  }

  meaningOf(error: unknown): Problem | 'later' | null {
    return error instanceof Overtaken ? 'later' : meaningOf(error)
  }

  /** What has come and is still in this browser, the newest first. */
  async kept(): Promise<KeptFile[]> {
    return (await this.#arrivals.all())
      .filter((one): one is Arrived => one.state === 'published' && one.place === 'browser')
      .map(({ transferId, record, layout, atMs }) => {
        const from = record.receipt?.from ?? null
        return { transferId, name: record.finalName, sizeBytes: layout.sizeBytes, from, atMs }
      })
      .sort((one, other) => other.atMs - one.atMs)
  }

  /** The content of one of those, to be read as a stream, or handed to the browser by an object URL. */
  keptFile(transferId: string): Promise<File> {
    return this.#staging.file(transferId)
  }

  /** Its owner has it elsewhere, or does not want it: it goes. That it came is remembered. */
  async removeKept(transferId: string): Promise<void> {
    const known = await this.#arrivals.get(transferId)
    if (known?.state !== 'published' || known.place !== 'browser') return
    await this.#arrivals.put(known, { ...known, place: 'gone' })
    await this.#staging.remove(transferId)
  }

  /** What earlier runs left of transfers that are over, and what a crash left without a record. */
  async removeLeftovers(): Promise<void> {
    const known = new Map((await this.#arrivals.all()).map((one) => [one.transferId, one]))
    for (const arrival of known.values()) {
      if (!isLeftover(arrival)) continue
      await this.#arrivals.remove(arrival.transferId, arrival)
      known.delete(arrival.transferId)
    }
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

  /** A record may have survived what its file has not: then nothing may be answered for. */
  async #isWhereItWas({ transferId, place, layout }: Arrived): Promise<boolean> {
    if (place !== 'browser') return true
    try {
      return (await this.#staging.file(transferId)).size === layout.sizeBytes
    } catch (error) {
      if (reasonOf(error) === 'NotFoundError') return false
      throw error
    }
  }

  async #arriving(transferId: string): Promise<Arriving> {
    const known = await this.#arrivals.get(transferId)
    if (known?.state !== 'arriving') throw new Overtaken('what is to be published is not arriving here any more')
    return known
  }

  /** Publishes what stays in the browser: one transaction, as name and content are one's own. */
  async #keep(
    transferId: string,
    name: string,
    about: Pick<CommitRecord, 'manifestDigest' | 'receipt'>,
  ): Promise<Published> {
    const known = await this.#arriving(transferId)
    const taken = new Set((await this.kept()).map((file) => file.name))
    const finalName = namesFrom(name).find((one) => !taken.has(one))
    if (finalName === undefined) throw tooMany()
    const { layout } = known
    const record: CommitRecord = { transferId, finalName, ...about }
    const state = { state: 'published', place: 'browser', isAnswered: false, atMs: Date.now() } as const
    await this.#arrivals.publish(known, { transferId, layout, record, ...state })
    return publishedBy(record)
  }

  async #copyTo(
    folder: FileSystemDirectoryHandle,
    transferId: string,
    name: string,
    about: Pick<CommitRecord, 'manifestDigest' | 'receipt'>,
  ): Promise<Published> {
    const known = await this.#arriving(transferId)
    const { layout } = known
    for (const finalName of namesFrom(name)) {
      if ((await entryIn(folder, finalName)) !== null) continue
      const record: CommitRecord = { transferId, finalName, ...about }
      const publishing: Publishing = { state: 'publishing', transferId, layout, record, folder }
      await this.#arrivals.put(known, publishing)
      try {
        await copyInto(folder, finalName, await this.#staging.file(transferId), this.#ending.signal)
      } catch (error) {
        await this.#unpublish(publishing)
        throw error
      }
      await this.#hasPublished(publishing)
      return publishedBy(record)
    }
    throw tooMany()
  }

  /** Does something with the chosen folder, as soon as and as long as it can be used. @returns null where there is none */
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
        const reason = reasonOf(error)
        if (reason === 'NotAllowedError') this.folder.lapsed('permission')
        else if (reason === 'NotFoundError' && !(await isReachable(folder))) this.folder.lapsed('missing')
        else throw error
      }
    }
  }

  async #isPublished({ transferId, folder, record, layout }: Publishing): Promise<boolean> {
    const entry = await entryIn(folder, record.finalName)
    if (!(entry instanceof File) || entry.size !== layout.sizeBytes) return false
    return holdsContent(entry, layout, await this.#arrivals.parts(transferId))
  }

  async #hasPublished(publishing: Publishing): Promise<void> {
    const { transferId, layout, record } = publishing
    const state = { state: 'published', place: 'folder', isAnswered: false, atMs: Date.now() } as const
    await this.#arrivals.publish(publishing, { transferId, layout, record, ...state })
    await this.#staging.remove(transferId)
  }

  /** What was not published goes on as what it was: all parts are still there. */
  async #unpublish(publishing: Publishing): Promise<Arriving> {
    const { transferId, layout, folder, record } = publishing
    await removeEmpty(folder, record.finalName, layout.sizeBytes)
    const arriving = { state: 'arriving', transferId, layout, touchedAtMs: Date.now() } as const
    await this.#arrivals.put(publishing, arriving)
    return arriving
  }
}

function publishedBy({ finalName, manifestDigest, receipt }: CommitRecord): Published {
  return { name: finalName, manifestDigest, receipt }
}

function namesFrom(name: string): string[] {
  return Array.from({ length: sameNamesMax + 1 }, (_, number) => numberedName(name, number))
}

function tooMany(): Problem {
  return new Problem('name-refused', { detail: `the receiver has ${sameNamesMax} files of that name already` })
}

function isSame(one: PartialLayout, other: PartialLayout): boolean {
  return (
    one.sizeBytes === other.sizeBytes &&
    one.partSizeBytes === other.partSizeBytes &&
    one.digestAlgorithm === other.digestAlgorithm
  )
}

function isLeftover(arrival: Arrival): boolean {
  if (arrival.state === 'arriving') return Date.now() - arrival.touchedAtMs > LEFTOVER_MS_MAX
  // A file that is still here keeps its record, however old.
  return arrival.state === 'published' && arrival.place !== 'browser' && isForgotten(arrival.transferId)
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
