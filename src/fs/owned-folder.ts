/**
 * A folder of this program's own inside a folder of its user, held by one process at a time, also where several machines share the disk.
 * While it is held, its owner notices when the user's folder is moved away, replaced, or unmounted.
 */
import { accessSync, constants, existsSync, type Stats } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import {
  createFile,
  makeOwnFolder,
  removeFile,
  removeUnfinished,
  requireOwnFolder,
  setFolderMode,
  unfinishedPath,
} from './durable.ts'
import { type FolderLock, lockFolder } from './folder-lock.ts'
import { FolderOwner } from './folder-owner.ts'
import { OnceATurn } from './once-a-turn.ts'
import { type FolderUse, folderProblem, requireUsableFolder } from './usable-folder.ts'

const LOCK_FILE = 'lock'
const PRIVATE_MODE = 0o700
const PROBE_MODE = 0o600

/** The folder is missing, or is not the one that was opened. */
export class FolderAwayError extends Error {
  override readonly name = 'FolderAwayError'
}

export class OwnedFolder implements AsyncDisposable {
  readonly path: string
  #seen: Stats
  #lock: FolderLock
  /** Null where the lock suffices. */
  readonly #owner: FolderOwner | null
  /** Callers ask for this several times in a turn. */
  readonly #place = new OnceATurn(() => this.#assertInPlace())

  private constructor(path: string, lock: FolderLock, owner: FolderOwner | null) {
    this.path = path
    this.#seen = requireOwnFolder(path)
    this.#lock = lock
    this.#owner = owner
  }

  /**
   * Makes the folder if it is missing, tries it, and takes it for this process.
   *
   * @param path its parent exists
   * @throws FolderTakenError when another process has it; Problem `folder-unavailable`; errors of the file system
   */
  static async take(path: string, use: FolderUse): Promise<OwnedFolder> {
    const folder = dirname(path)
    await makeOwnFolder(path, { withParents: false }).catch((cause: unknown) => {
      throw folderProblem(folder, use, 'take a folder', cause)
    })
    await setFolderMode(path, PRIVATE_MODE)
    await requireUsableFolder(path, use)
    const lock = await lockFolder(folder, join(path, LOCK_FILE))
    let owner: FolderOwner | null = null
    try {
      owner = await FolderOwner.take(path)
      await removeUnfinished(path)
      return new OwnedFolder(path, lock, owner)
    } catch (error) {
      await owner?.release()
      await lock.release()
      throw error
    }
  }

  /** @throws FolderAwayError when the folder is not the one that was taken */
  assertIsThere(): void {
    if (this.#owner?.isSure === false) throw new FolderAwayError('another process may have taken the folder')
    this.#place.run()
  }

  /**
   * Checks that the folder is there, is held by this process, and can be written. One that was away and is back is taken again.
   *
   * @throws FolderTakenError, Problem `folder-unavailable`; errors of the file system
   */
  async assertUsable(): Promise<void> {
    await this.#lockAgain()
    await this.#owner?.assert()
    accessSync(dirname(this.path), constants.W_OK | constants.X_OK)
    await this.#probe()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owner?.release()
    await this.#lock.release()
  }

  #assertInPlace(): void {
    try {
      const { dev, ino } = requireOwnFolder(this.path)
      if (dev === this.#seen.dev && ino === this.#seen.ino) return
    } catch (cause) {
      throw new FolderAwayError(this.#awayText(), { cause })
    }
    throw new FolderAwayError('another folder has taken the place of the folder')
  }

  /** An empty folder may be where a disk is mounted that is away: what is known of the files on that disk has to wait for it. */
  #awayText(): string {
    return existsSync(dirname(this.path))
      ? `${this.path} is not there. If the disk of that folder is away, mount it. If ${basename(this.path)} was deleted, or this is a new disk, start the program again`
      : 'the folder is not there'
  }

  /** Takes a new lock: a folder that was away may have come back on another device, which the old lock does not cover. */
  async #lockAgain(): Promise<void> {
    const { dev, ino } = requireOwnFolder(this.path)
    if (dev === this.#seen.dev && ino === this.#seen.ino) return
    const lock = await lockFolder(dirname(this.path), join(this.path, LOCK_FILE))
    await this.#lock.release()
    this.#lock = lock
    this.#seen = requireOwnFolder(this.path)
  }

  /** Tries to write. A later start removes what a crash leaves. */
  async #probe(): Promise<void> {
    const path = unfinishedPath(this.path)
    try {
      await createFile(path, [Buffer.from('probe')], PROBE_MODE)
    } finally {
      await removeFile(path)
    }
  }
}
