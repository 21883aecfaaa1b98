/**
 * How a finished file gets its name, exactly once, however often the program is killed in between.
 *
 * Before a name appears, a durable commit record says which transfer will get which name, and in which of two ways.
 *
 * By links, where {@link probeFolder} has shown that they work: the content gets its name by `link`, which never replaces a file;
 * then the folder is synced; only then is the old name, `<transferId>.partial`, removed. A later run that finds such a record
 * knows what happened:
 *
 * - the content has no old name any more: it was published;
 * - the content has its old name and one in the folder: it was published, and the run completes the remaining steps;
 * - the content has only its old name: it was not published, and everything is done again. The record is removed first, durably,
 *   because the content may be deleted and fetched again, and a record alone means that it was published.
 *
 * By renaming, elsewhere: a small placeholder, created exclusively, takes the name, and the content is renamed over it. Link
 * count and inode are not used: a record without the old name means that the content was published. While the old name exists, the
 * next start removes the placeholder and then the record. This includes the empty placeholder of a run that was killed right after
 * it created the file.
 *
 * A tree, whose content is a folder: an empty folder, made exclusively, takes the name, and the tree is renamed over it, which a file system
 * does only while that folder is empty. A record without the old name means that it was published. Otherwise the next start removes the
 * empty folder and then the record.
 *
 * Within one run no two transfers have records with the same name, so a placeholder belongs to the record that has its name.
 */
import { linkSync } from 'node:fs'
import { link, mkdir, open, readdir, readFile, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  hasCode,
  isSameFile,
  isThere,
  isWithoutLinks,
  lstatOrNull,
  removeFile,
  replaceFile,
  syncFolder,
} from '../fs/index.ts'
import { numberedName, Problem, sameNamesMax } from '../protocol/index.ts'
import { type CommitRecord, PublishIncompleteError } from './inbox.ts'
import { inboxFolderName, nameVariants } from './names.ts'
import { readRecord, recordText } from './node-commit-record.ts'
import type { FolderAbilities } from './node-folder-probe.ts'
import { type TransferPaths, type TreePaths, transferPaths, treePaths } from './node-partial-file.ts'
import { haveSameContent } from './node-same-content.ts'
import { writeProblem } from './node-write-problem.ts'

/** The mode of a placeholder, minus the umask. */
const PLACEHOLDER_MODE = 0o644
/** Errors of file systems for a name that they do not accept. EIO may mean something else, which the next name shows. */
const NAME_CODES = ['ENAMETOOLONG', 'EINVAL', 'EILSEQ', 'EIO']

/** The content of a record besides the name. */
export type RecordClaims = Pick<CommitRecord, 'manifestDigest' | 'receipt' | 'mtime' | 'isExecutable'>

/** How the content gets its name. */
export interface PublishOptions {
  /** Where the record goes, together with the content, which then need not be durable; null for a file of its own. */
  readonly log?: RecordLog | null
  readonly isTree?: boolean
}

/** Writes a record down, with the content. When it resolves, both survive the loss of power. @throws LogUnusableError */
export type RecordLog = (record: CommitRecord) => Promise<void>

/** A small file cannot be published by way of the log, but by a record of its own. */
export class LogUnusableError extends Error {
  override readonly name = 'LogUnusableError'
}

/** The file system does not accept a name. */
class NameNotTakenError extends Error {
  override readonly name = 'NameNotTakenError'
}

export class Publisher {
  readonly #folder: string
  readonly #own: string
  readonly #abilities: FolderAbilities
  /** Transfer with an open record -> the name in the record, in its normal form. */
  readonly #reserved = new Map<string, string>()

  constructor(folder: string, abilities: FolderAbilities) {
    this.#folder = folder
    this.#own = join(folder, inboxFolderName)
    this.#abilities = abilities
  }

  /**
   * @param finished resolves when the content is durable and closed
   * @returns the record. The content has its name now; {@link finish} makes that durable
   * @throws Problem `name-refused`; errors of the file system
   */
  async publish(
    transferId: string,
    name: string,
    claims: RecordClaims,
    finished: Promise<void>,
    { log = null, isTree = false }: PublishOptions = {},
  ): Promise<CommitRecord> {
    let refusal: NameNotTakenError | null = null
    for (const variant of nameVariants(name)) {
      try {
        const named = { transferId, finalName: variant, ...claims, ...(isTree ? { isTree } : {}) }
        return await this.#publishNumbered(named, finished, log)
      } catch (error) {
        if (!(error instanceof NameNotTakenError)) throw error
        refusal = error
      }
    }
    const cause = refusal?.cause
    // The last variant is a short ASCII name, so EIO comes from the disk.
    if (hasCode(cause, 'EIO')) throw cause
    throw new Problem('name-refused', { detail: "the receiver's file system takes no such name" }, { cause })
  }

  /** The name that the content of a record has in the folder; null when it has none. */
  async nameOf(record: CommitRecord): Promise<string | null> {
    const { transferId, finalName, isByRenaming = false, isTree = false } = record
    const { partial, tree } = this.#pathsOf(transferId)
    if (isTree) return isThere(tree) ? null : finalName
    if (await isGone(partial)) return finalName
    if (!isByRenaming && this.#abilities.hasHonestLinks) return this.#linkedName(partial, finalName)
    // A rename removes the old name. It is back when the power was lost before both folders were synced.
    return (await haveSameContent(partial, join(this.#folder, finalName))) ? finalName : null
  }

  /**
   * Makes the name durable, and then removes the old name. The removal need not be durable: an old name beside a record changes
   * nothing, and a later start removes one without a record.
   *
   * @throws PublishIncompleteError
   */
  async finish({ transferId, isByRenaming = false, isTree = false }: CommitRecord): Promise<void> {
    const { partial, parts } = this.#pathsOf(transferId)
    try {
      await syncFolder(this.#folder)
      if (isByRenaming || isTree) await syncFolder(this.#own)
      await removeFile(parts)
      await removeFile(partial)
    } catch (cause) {
      if (writeProblem(cause) === null) throw cause
      throw new PublishIncompleteError('the file is in the folder, but could not be made durable', { cause })
    }
  }

  /** Removes the placeholder and then the record of a transfer that was not published. Durably. */
  async forget({ transferId, finalName, isTree = false }: CommitRecord): Promise<void> {
    if (isTree) await this.#removeEmpty(finalName)
    else await this.#removePlaceholder(transferId, finalName, { mayBeUnfinished: false })
    await removeRecord(this.#own, this.#pathsOf(transferId).commit)
    this.#reserved.delete(transferId)
  }

  /** Cleans up after a killed run. Called once, before anything is published. */
  async recover(): Promise<void> {
    for (const file of await readdir(this.#own)) {
      const [, transferId] = /^([0-9a-f-]{36})\.commit$/.exec(file) ?? []
      if (transferId === undefined) continue
      const record = await readRecord(join(this.#own, file)).catch(nullIfUnreadable)
      if (record === null || (record.isByRenaming !== true && record.isTree !== true)) continue
      if ((await this.nameOf(record)) !== null) continue
      if (record.isTree === true) await this.#removeEmpty(record.finalName)
      else await this.#removePlaceholder(transferId, record.finalName, { mayBeUnfinished: true })
      await removeRecord(this.#own, join(this.#own, file))
    }
  }

  async #publishNumbered(named: CommitRecord, finished: Promise<void>, log: RecordLog | null): Promise<CommitRecord> {
    const { transferId, isTree = false } = named
    for (let number = 0; number <= sameNamesMax; number++) {
      const finalName = numberedName(named.finalName, number, { isFolder: isTree })
      if (!this.#reserve(finalName, transferId)) continue
      // This look only saves writing a record for a name that is clearly taken. `#publishAs` decides.
      if (await this.#isTaken(finalName, transferId)) continue
      const record = await this.#publishAs({ ...named, finalName }, finished, log)
      if (record === null) continue
      this.#reserved.delete(transferId)
      return record
    }
    throw new Problem('name-refused', { detail: `the receiver has ${sameNamesMax} files of that name already` })
  }

  /**
   * When it throws, the name stays reserved for this transfer, because its record may exist.
   *
   * @returns null when the name is taken
   */
  async #publishAs(record: CommitRecord, finished: Promise<void>, log: RecordLog | null): Promise<CommitRecord | null> {
    const { commit } = this.#pathsOf(record.transferId)
    if (record.isTree === true) {
      await replaceFile(commit, recordText(record), { after: finished })
      return (await this.#renameTree(record)) ? record : null
    }
    if (this.#abilities.hasHonestLinks) {
      if (log === null) await replaceFile(commit, recordText(record), { after: finished })
      else await log(record)
      const isLinked = await this.#link(record, log !== null)
      if (isLinked !== null) return isLinked ? record : null
    }
    if (log !== null) throw new LogUnusableError('the file system does not link this file')
    const renaming = { ...record, isByRenaming: true }
    await replaceFile(commit, recordText(renaming), { after: finished })
    return (await this.#renameTo(renaming)) ? renaming : null
  }

  /**
   * @param isSmall whether to link in this thread: for a small file the way to another one costs more than the link
   * @returns false when the name is taken; null when links do not work
   */
  async #link({ transferId, finalName }: CommitRecord, isSmall: boolean): Promise<boolean | null> {
    const { partial } = this.#pathsOf(transferId)
    try {
      const path = join(this.#folder, finalName)
      await this.#naming(async () => (isSmall ? linkSync(partial, path) : link(partial, path)), 'EIO', 'EINVAL')
      return true
    } catch (error) {
      // On a network file system only the answer of the first try may have been lost. The second try then fails with EEXIST.
      if (isSameFile(lstatOrNull(partial), lstatOrNull(join(this.#folder, finalName)))) return true
      // A placeholder of an earlier run can be replaced only by renaming.
      if (hasCode(error, 'EEXIST')) return (await this.#isPlaceholder(finalName, transferId)) ? null : false
      if (isWithoutLinks(error)) return null
      throw error
    }
  }

  /** @returns false when the name is taken */
  async #renameTo({ transferId, finalName }: CommitRecord): Promise<boolean> {
    const { partial } = this.#pathsOf(transferId)
    if (!(await this.#placehold(finalName, transferId))) return false
    try {
      await rename(partial, join(this.#folder, finalName))
    } catch (error) {
      // On a network file system the rename may have succeeded and only its answer been lost.
      if (await isGone(partial)) return true
      await this.#removePlaceholder(transferId, finalName, { mayBeUnfinished: false }).catch(() => {})
      throw error
    }
    return true
  }

  /** @returns false when the name is taken */
  async #renameTree({ transferId, finalName }: CommitRecord): Promise<boolean> {
    const { tree } = this.#pathsOf(transferId)
    const path = join(this.#folder, finalName)
    try {
      await this.#naming(() => mkdir(path))
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false
      throw error
    }
    try {
      await rename(tree, path)
    } catch (error) {
      // On a network file system the rename may have succeeded and only its answer been lost.
      if (!isThere(tree)) return true
      // Someone has put something into the empty folder.
      if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return false
      await this.#removeEmpty(finalName).catch(() => {})
      throw error
    }
    return true
  }

  /** Removes the empty folder that was made for a tree, if it still is empty. Durably. */
  async #removeEmpty(name: string): Promise<void> {
    try {
      await rmdir(join(this.#folder, name))
      await syncFolder(this.#folder)
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) throw error
    }
  }

  /** @returns false when the name is taken */
  async #placehold(name: string, transferId: string): Promise<boolean> {
    const path = join(this.#folder, name)
    const text = Buffer.from(placeholderOf(transferId))
    let isMade = false
    try {
      const handle = await this.#naming(() => open(path, 'wx', PLACEHOLDER_MODE))
      isMade = true
      try {
        await handle.writeFile(text)
        await handle.sync()
      } finally {
        await handle.close()
      }
      return true
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return this.#isPlaceholder(name, transferId)
      if (isMade) await removeFile(path).catch(() => {})
      throw error
    }
  }

  async #linkedName(partial: string, finalName: string): Promise<string | null> {
    const old = lstatOrNull(partial)
    if (old === null) return finalName
    if (old.nlink === 1n) return null
    // A link count alone proves nothing, because backups make links, too. So the content is looked for in the folder. The user may
    // have renamed it since.
    for (const name of [finalName, ...(await readdir(this.#folder))]) {
      if (isSameFile(lstatOrNull(join(this.#folder, name)), old)) return name
    }
    return null
  }

  #reserve(name: string, transferId: string): boolean {
    for (const [owner, reserved] of this.#reserved) {
      if (owner !== transferId && reserved === plainest(name)) return false
    }
    this.#reserved.set(transferId, plainest(name))
    return true
  }

  async #isTaken(name: string, transferId: string): Promise<boolean> {
    const stat = await this.#naming(async () => lstatOrNull(join(this.#folder, name)))
    return stat !== null && !(await this.#isPlaceholder(name, transferId))
  }

  async #isPlaceholder(name: string, transferId: string): Promise<boolean> {
    return (await this.#placeholderText(name, transferId)) === placeholderOf(transferId)
  }

  /** @returns null when the file cannot be a placeholder */
  async #placeholderText(name: string, transferId: string): Promise<string | null> {
    const path = join(this.#folder, name)
    const stat = lstatOrNull(path)
    if (stat === null || !stat.isFile() || stat.size > BigInt(placeholderOf(transferId).length)) return null
    return readFile(path, 'utf8')
  }

  /** @param mayBeUnfinished whether a cut-off or empty placeholder counts, too */
  async #removePlaceholder(
    transferId: string,
    name: string,
    { mayBeUnfinished }: { mayBeUnfinished: boolean },
  ): Promise<void> {
    const text = await this.#placeholderText(name, transferId)
    if (text === null) return
    const whole = placeholderOf(transferId)
    if (!(mayBeUnfinished ? whole.startsWith(text) : whole === text)) return
    await removeFile(join(this.#folder, name))
    await syncFolder(this.#folder)
  }

  /** Runs a step with a name in the folder. @throws NameNotTakenError when the file system does not accept the name */
  async #naming<Result>(act: () => Promise<Result>, ...notTheName: string[]): Promise<Result> {
    try {
      return await act()
    } catch (cause) {
      if (!hasCode(cause, ...NAME_CODES) || hasCode(cause, ...notTheName)) throw cause
      throw new NameNotTakenError('the file system does not take the name', { cause })
    }
  }

  #pathsOf(transferId: string): TransferPaths & TreePaths {
    return { ...transferPaths(this.#folder, transferId), ...treePaths(this.#folder, transferId) }
  }
}

/** Removes a commit record, durably. */
export async function removeRecord(own: string, path: string): Promise<void> {
  await removeFile(path)
  await syncFolder(own)
}

function placeholderOf(transferId: string): string {
  return `golooader: the file of transfer ${transferId} is about to take this place\n`
}

/** The normal form of a name. Names that some file system takes for the same have the same form. */
function plainest(name: string): string {
  return name.normalize('NFC').toLowerCase()
}

/** Finds out by opening the file, because network file systems may show outdated names. */
async function isGone(path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'r')
    await handle.close()
    return false
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true
    throw error
  }
}

/** Ignores an unreadable record here. The next offer of its transfer reports the error. */
function nullIfUnreadable(error: unknown): null {
  if (error instanceof Problem) return null
  throw error
}
