/** The inbox that is a folder. {@link Publisher} gives files their names there. */
import { lstatSync } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { FolderAwayError, FreeSpace, hasCode, isThere, lstatOrNull, removeFile, syncFolder } from '../fs/index.ts'
import { Problem, transferIdsFrom, transferTimeMs } from '../protocol/index.ts'
import type { HandledAbout } from './handling.ts'
import { type Inbox, type Obstacle, type Published, publishedBy } from './inbox.ts'
import { type IncomingFile, type KeptTraits, noTraits, type PartialLayout } from './incoming-file.ts'
import { agreedMs, type Clocks, isForgotten } from './memory.ts'
import { inboxFolderName } from './names.ts'
import { ReceivedRecords, readRecord } from './node-commit-record.ts'
import { probeFolder } from './node-folder-probe.ts'
import { contentIdentity, HandlingRecords, type HandlingState, isSameContent } from './node-handling-records.ts'
import { Home, requireHome } from './node-home.ts'
import { LoggedFiles } from './node-logged-files.ts'
import { openPartialFile, type TransferPaths, transferPaths, treePaths } from './node-partial-file.ts'
import { Publisher, type RecordClaims, removeRecord } from './node-publisher.ts'
import { isSmall, SmallFile } from './node-small-file.ts'
import { beginTree, removeTree } from './node-tree-file.ts'
import { isShortage, shortageOf, writeProblem } from './node-write-problem.ts'

const DAY_MS = 86_400_000
/** Unfinished content is kept a little longer than the 7 days that a transfer lives by default. */
const LEFTOVER_MS_MAX = 8 * DAY_MS

/** @see Home.open */
export interface OpenInboxOptions {
  /** Whether to make a missing folder, and to accept one that no receiver has used before. */
  readonly mayCreate: boolean
  /**
   * Whether something is done with the files in the folder, which may move them away: after a loss of power the log of small files would
   * bring them back. So new ones do not go by way of it.
   */
  readonly hasHandlers?: boolean
}

/**
 * Opens a folder as an inbox, and locks it for this process.
 *
 * @throws Problem `folder-unavailable` when it is missing, is not a receiver's, is in use by another receiver, or cannot be
 *   written; `disk-full`, `write-failed`
 */
export async function openInbox(
  folder: string,
  { mayCreate, hasHandlers = false }: OpenInboxOptions,
): Promise<FolderInbox> {
  let home: Home | null = null
  try {
    home = await Home.open(folder, { mayCreate })
    const own = join(home.folder, inboxFolderName)
    await removeHalfWritten(own)
    const abilities = await probeFolder(home.folder, own)
    const publisher = new Publisher(home.folder, abilities)
    new ReceivedRecords(home.folder).requireOwn()
    const logged = await LoggedFiles.open(home.folder, publisher, abilities.hasHonestLinks && !hasHandlers)
    const inbox = new FolderInbox(home, publisher, logged, await HandlingRecords.load(own))
    await publisher.recover()
    return inbox
  } catch (error) {
    await home?.[Symbol.asyncDispose]()
    // `mkdir` answers EEXIST when the path is a file.
    if (hasCode(error, 'EEXIST'))
      throw new Problem('folder-unavailable', { detail: 'it is not a folder' }, { cause: error })
    if (isShortage(error)) throw error
    throw writeProblem(error) ?? error
  }
}

/**
 * Checks, before anything else is done, that {@link openInbox} would accept the folder without making it.
 *
 * @throws Problem `folder-unavailable`, `write-failed`
 */
export async function requireInbox(folder: string): Promise<void> {
  await requireHome(folder).catch((error: unknown) => {
    throw writeProblem(error) ?? error
  })
}

export class FolderInbox implements Inbox<Readable>, AsyncDisposable {
  readonly folder: string
  readonly instanceId: string
  readonly unpacksTrees = true
  readonly keepsParts = true
  readonly takesStreams = true
  /** Records of transfers whose answer the portal has confirmed. */
  readonly received: ReceivedRecords
  /** Records of what is to be done with files. */
  readonly handling: HandlingRecords
  readonly #home: Home
  readonly #publisher: Publisher
  readonly #logged: LoggedFiles
  /** Small files that are being received, and go by way of the log. */
  readonly #small = new Map<string, SmallFile>()
  /** Trees that are being received. */
  readonly #trees = new Set<string>()
  readonly #freeSpace: FreeSpace

  constructor(home: Home, publisher: Publisher, logged: LoggedFiles, handling: HandlingRecords) {
    this.folder = home.folder
    this.instanceId = home.instanceId
    this.received = new ReceivedRecords(home.folder)
    this.#freeSpace = new FreeSpace(join(home.folder, inboxFolderName))
    this.handling = handling
    this.#home = home
    this.#publisher = publisher
    this.#logged = logged
  }

  pathsOf(transferId: string): TransferPaths {
    return transferPaths(this.folder, transferId)
  }

  async tidy(clocks: Clocks): Promise<number> {
    // Without the folder its records are unknown, and nothing must be written in its place.
    this.#home.assertIsThere()
    const newest = await this.#logged.newest()
    const sinceMs = await this.received.forget(clocks, newest === null ? null : transferTimeMs(newest))
    await this.#logged.forgetBefore(transferIdsFrom(sinceMs))
    const agreed = agreedMs(clocks)
    try {
      if (agreed !== null) await removeLeftovers(join(this.folder, inboxFolderName), agreed, sinceMs)
    } catch (error) {
      // If leftovers cannot be removed, a later start tries again.
      if (writeProblem(error) === null) throw error
    }
    return sinceMs
  }

  freeBytes(): Promise<number> {
    return this.#freeSpace.freeBytes()
  }

  async hasBegun(transferId: string): Promise<boolean> {
    return isThere(this.pathsOf(transferId).parts) || isThere(treePaths(this.folder, transferId).tree)
  }

  async open(
    transferId: string,
    layout: PartialLayout,
    signal: AbortSignal,
    traits: KeptTraits = noTraits,
  ): Promise<IncomingFile<Readable>> {
    this.#home.assertIsThere()
    const paths = this.pathsOf(transferId)
    if (traits.tree !== null) {
      this.#trees.add(transferId)
      return beginTree(treePaths(this.folder, transferId), layout, { size: traits.tree, withTimes: traits.keepsTimes })
    }
    if (!isSmall(layout)) return openPartialFile(paths, layout, signal, traits)
    const file = new SmallFile(paths, layout, traits, this.#logged.isUsable)
    if (this.#logged.isUsable) this.#small.set(transferId, file)
    return file
  }

  async published(transferId: string): Promise<Published | null> {
    // Without the folder and its records each file would look new.
    this.#home.assertIsThere()
    const answered = await this.received.read(transferId)
    if (answered !== null) return { ...publishedBy(answered), isAnswered: true }
    const logged = await this.#logged.published(transferId)
    if (logged !== null) return logged
    const record = await readRecord(this.pathsOf(transferId).commit)
    if (record === null) return null
    const name = await this.#publisher.nameOf(record)
    if (name === null) {
      await this.#publisher.forget(record)
      return null
    }
    await this.#publisher.finish(record)
    return publishedBy(record, name)
  }

  /** The file must already have its unfinished name when this is called, even if `finished` has not resolved yet. */
  async commit(
    transferId: string,
    name: string,
    { manifestDigest, receipt }: RecordClaims,
    finished: Promise<void> = Promise.resolve(),
  ): Promise<Published> {
    // The publisher awaits it. A failure before that must not count as unhandled.
    finished.catch(() => {})
    this.#home.assertIsThere()
    const small = this.#small.get(transferId)
    if (small !== undefined) {
      this.#small.delete(transferId)
      await finished
      const published = await this.#logged.commit(transferId, name, { manifestDigest, receipt }, small)
      if (published !== null) return published
      await small.write({ isSynced: true })
    }
    const isTree = this.#trees.delete(transferId)
    const record = await this.#publisher.publish(transferId, name, { manifestDigest, receipt }, finished, { isTree })
    await this.#publisher.finish(record)
    return publishedBy(record)
  }

  async unfinished(): Promise<string[]> {
    const names = await readdir(join(this.folder, inboxFolderName)).catch((error: unknown) => {
      // A folder that cannot be read has no usable content. The next delivery reports the problem to its sender.
      if (writeProblem(error) !== null) return []
      throw error
    })
    const ids = names.flatMap((name) => /^([0-9a-f-]{36})\.(?:partial|parts|commit|tree)$/.exec(name)?.[1] ?? [])
    return [...new Set([...ids, ...(await this.#logged.unanswered()), ...this.handling.undecided])]
  }

  async keeps(transferId: string): Promise<void> {
    await this.handling.decided(transferId)
  }

  async answered(transferId: string): Promise<void> {
    if (!(await this.#logged.answered(transferId))) {
      await this.received.take(transferId, this.pathsOf(transferId).commit)
    }
    await this.handling.answered(transferId)
  }

  /** Records what is to be done with a file. Its content must be durable, whether it has its name or not. */
  async beginHandling(about: HandledAbout, state: HandlingState): Promise<void> {
    this.#home.assertIsThere()
    const { partial, tree } = this.#contentPathsOf(about.transferId)
    const published = isThere(partial) || isThere(tree) ? null : await this.published(about.transferId)
    const places = published === null ? [tree, partial] : [this.whereIs(published.name)]
    const identity = places.map(contentIdentity).find((one) => one !== null) ?? null
    await this.handling.begin(about, identity, state)
  }

  /**
   * Takes a published file out of the folder again, durably: its transfer was never answered. A file of that name which is another one by
   * now stays.
   */
  async unpublish(transferId: string): Promise<void> {
    this.#home.assertIsThere()
    const published = await this.published(transferId)
    if (published?.isAnswered === true) return
    if (published !== null) {
      const path = this.whereIs(published.name)
      const own = join(this.folder, inboxFolderName)
      const { partial, tree } = this.#contentPathsOf(transferId)
      const known = await this.handling.read(transferId)
      if (isSameContent(known?.identity ?? null, contentIdentity(path))) {
        // With this one step the record says that the file was not published. So a run that is killed here fetches it again.
        await rename(path, lstatSync(path).isDirectory() ? tree : partial)
        await syncFolder(this.folder)
        await syncFolder(own)
      }
      await this.#logged.unpublished(transferId)
      await removeRecord(own, this.pathsOf(transferId).commit)
      await removeFile(partial)
      await removeTree(treePaths(this.folder, transferId))
    }
    await this.handling.remove(transferId)
  }

  #contentPathsOf(transferId: string): { readonly partial: string; readonly tree: string } {
    return { partial: this.pathsOf(transferId).partial, tree: treePaths(this.folder, transferId).tree }
  }

  whereIs(name: string): string {
    return join(this.folder, name)
  }

  meaningOf(error: unknown): Problem | 'later' | null {
    return isShortage(error) || error instanceof FolderAwayError ? 'later' : writeProblem(error)
  }

  /** Whether the folder is there. One that was away and has come back is opened again. */
  async isThere(): Promise<boolean> {
    try {
      this.#home.assertIsThere()
      return true
    } catch (error) {
      if (!(error instanceof FolderAwayError)) throw error
      return (await this.#home.obstacle()) === null
    }
  }

  async obstacle(error: unknown): Promise<Obstacle | null> {
    return isShortage(error) ? shortageOf(error) : this.#home.obstacle()
  }

  /** If the folder cannot be written, a later start removes the rest. */
  async discard(transferId: string): Promise<void> {
    const { partial, parts, commit } = this.pathsOf(transferId)
    this.#small.delete(transferId)
    this.#trees.delete(transferId)
    try {
      if (this.handling.stateOf(transferId)?.isUndecided === true) await this.unpublish(transferId)
      await this.#logged.discard(transferId)
      // A record without a partial file means "published". So the record goes first: it is deleted, or, if the file was published,
      // moved to the remembered records.
      const record = await readRecord(commit)
      if (record !== null) {
        if ((await this.#publisher.nameOf(record)) === null) await this.#publisher.forget(record)
        else await this.received.take(transferId, commit)
      }
      await removeFile(parts)
      await removeFile(partial)
      await removeTree(treePaths(this.folder, transferId))
      await this.#discardHandling(transferId)
    } catch (error) {
      if (writeProblem(error) === null) throw error
    }
  }

  /** What is to be done with a file that was published is still to be done. */
  async #discardHandling(transferId: string): Promise<void> {
    if (this.handling.stateOf(transferId) === null) return
    if ((await this.published(transferId)) === null) await this.handling.remove(transferId)
    else await this.handling.answered(transferId)
  }

  /** Makes what was received durable without the help of a later start. */
  async settle(): Promise<void> {
    await this.#logged.settle()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#logged[Symbol.dispose]()
    await this.#home[Symbol.asyncDispose]()
  }
}

/** Removes the files that a killed `replaceFile` left, whose names begin with a dot. No other process writes in this folder. */
async function removeHalfWritten(own: string): Promise<void> {
  for (const name of await readdir(own)) {
    if (/^\..*\.(?:partial|parts|commit)$/.test(name)) await removeFile(join(own, name))
  }
}

/**
 * Removes unfinished content of transfers that are long over.
 *
 * @param agreedMs the time that both clocks have passed
 * @param sinceMs older transfers are not accepted any more, so their records are not needed
 */
async function removeLeftovers(own: string, agreedMs: number, sinceMs: number): Promise<void> {
  const names = (await readdir(own)).filter((name) =>
    /^[^.].*\.(?:partial|parts|commit|tree|later|waiting-\d+)$/.test(name),
  )
  // A partial file with a record stays, however old: the record alone would mean "published".
  const recorded = new Set<string>()
  for (const name of names.filter((one) => one.endsWith('.commit'))) {
    if (isForgotten(stemOf(name), sinceMs)) await removeRecord(own, join(own, name))
    else recorded.add(stemOf(name))
  }
  // A finished file may have an old time of its own, and the list of its parts is as old as its last part.
  const recent = new Set<string>()
  for (const name of names.filter((one) => !one.endsWith('.commit'))) {
    if (!isOlder(join(own, name), agreedMs - LEFTOVER_MS_MAX)) recent.add(stemOf(name))
  }
  for (const name of names) {
    if (recorded.has(stemOf(name)) || recent.has(stemOf(name))) continue
    if (name.endsWith('.tree')) await rm(join(own, name), { recursive: true, force: true })
    else await removeFile(join(own, name))
  }
}

function stemOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.'))
}

/** Whether a file has not been written since `thenMs`. */
function isOlder(path: string, thenMs: number): boolean {
  const stat = lstatOrNull(path)
  return stat !== null && Number(stat.mtimeMs) < thenMs
}
