/**
 * The folder that files are delivered to. The receiver recognises it by its own folder in it and by the instance id written there. So
 * it does not mistake an empty mount point, or another disk in its place, for the folder.
 */
import { randomBytes } from 'node:crypto'
import { accessSync, constants, type Stats } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createFile,
  type FolderLock,
  folderProblem,
  hasCode,
  isNoRoom,
  isThere,
  lockFolder,
  makeFolder,
  makeOwnFolder,
  OnceATurn,
  readTextOrNull,
  removeFile,
  replaceFile,
  requireOwnFolder,
  requireUsableFolder,
  setFolderMode,
} from '../fs/index.ts'
import { Problem, randomText } from '../protocol/index.ts'
import type { Obstacle } from './inbox.ts'
import { inboxFolderName } from './names.ts'
import { FolderOwner } from './node-folder-owner.ts'
import { isShortage, shortageOf } from './node-write-problem.ts'

const lockFileName = 'lock'
const INSTANCE_BYTES = 18
const INSTANCE_ID = /^[A-Za-z0-9_-]{8,64}$/
const FOLDER_MODE = 0o755
const PRIVATE_MODE = 0o700
const PROBE_MODE = 0o600
const use = { advice: 'Name a folder on another disk: --into DIR' }

/** The folder is missing or is not the one that this receiver opened. Files wait for it. */
export class HomeAwayError extends Error {
  override readonly name = 'HomeAwayError'
}

export class Home implements AsyncDisposable {
  /** The path with symbolic links resolved. */
  readonly folder: string
  readonly instanceId: string
  readonly #own: string
  #seen: Stats
  #lock: FolderLock
  /** Null where the lock suffices. */
  readonly #owner: FolderOwner | null
  /** Each file asks for this several times. */
  readonly #place = new OnceATurn(() => this.#assertInPlace())

  private constructor(folder: string, instanceId: string, lock: FolderLock, owner: FolderOwner | null) {
    this.folder = folder
    this.instanceId = instanceId
    this.#own = join(folder, inboxFolderName)
    this.#seen = requireOwnFolder(this.#own)
    this.#lock = lock
    this.#owner = owner
  }

  /**
   * Opens a folder, and locks it for this process.
   *
   * @param mayCreate whether to make a missing folder, and to accept one that no receiver has used before
   * @throws Problem `folder-unavailable`; errors of the file system
   */
  static async open(path: string, { mayCreate }: { mayCreate: boolean }): Promise<Home> {
    if (mayCreate) await makeFolder(path, FOLDER_MODE).catch((cause: unknown) => refuse(path, cause))
    const folder = await locate(path)
    const own = join(folder, inboxFolderName)
    if (!mayCreate) requireUsed(folder)
    await makeOwnFolder(own, { withParents: false }).catch((cause: unknown) => refuse(folder, cause))
    await setFolderMode(own, PRIVATE_MODE)
    await requireUsableFolder(own, use)
    const lock = await lockFolder(folder, join(own, lockFileName))
    let owner: FolderOwner | null = null
    try {
      owner = await FolderOwner.take(own)
      return new Home(folder, (await instanceIn(own)) ?? (await newInstance(own)), lock, owner)
    } catch (error) {
      await owner?.release()
      await lock.release()
      throw error
    }
  }

  /** @throws HomeAwayError when the folder is not the one that was opened */
  assertIsThere(): void {
    if (this.#owner?.isSure === false) throw new HomeAwayError('another process may have taken the folder')
    this.#place.run()
  }

  /**
   * Checks that the folder is there, is this receiver's, and can be written. A folder that has come back is locked again.
   *
   * @returns null when nothing is wrong
   */
  async obstacle(): Promise<Obstacle | null> {
    try {
      if (!(await this.#isOwn())) return away('the folder is not there, or is not the one that was used before')
      await this.#lockAgain()
      await this.#owner?.assert()
      accessSync(this.folder, constants.W_OK | constants.X_OK)
      await this.#probe()
      return null
    } catch (error) {
      // Deliveries report a full disk.
      if (isNoRoom(error)) return null
      if (isShortage(error)) return shortageOf(error)
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return away('the folder is not there')
      if (hasCode(error, 'EACCES', 'EPERM')) return away('the folder may not be written')
      if (hasCode(error, 'EROFS')) return away('the disk of the folder can only be read')
      if (!(error instanceof Problem) && !(error instanceof Error && 'syscall' in error)) throw error
      return away(`the folder cannot be used: ${error.message}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owner?.release()
    await this.#lock.release()
  }

  #assertInPlace(): void {
    try {
      const { dev, ino } = requireOwnFolder(this.#own)
      if (dev === this.#seen.dev && ino === this.#seen.ino) return
    } catch (cause) {
      throw new HomeAwayError('the folder is not there', { cause })
    }
    throw new HomeAwayError('another folder has taken the place of the folder')
  }

  async #isOwn(): Promise<boolean> {
    requireOwnFolder(this.#own)
    return (await instanceIn(this.#own)) === this.instanceId
  }

  /** Takes a new lock: a folder that was away may have come back on another device, which the old lock does not cover. */
  async #lockAgain(): Promise<void> {
    const { dev, ino } = requireOwnFolder(this.#own)
    if (dev === this.#seen.dev && ino === this.#seen.ino) return
    const lock = await lockFolder(this.folder, join(this.#own, lockFileName))
    await this.#lock.release()
    this.#lock = lock
    this.#seen = requireOwnFolder(this.#own)
  }

  /** Tries to write. A later start removes what a crash leaves. */
  async #probe(): Promise<void> {
    const path = join(this.#own, `.${randomBytes(6).toString('hex')}.partial`)
    try {
      await createFile(path, [Buffer.from('probe')], PROBE_MODE)
    } finally {
      await removeFile(path)
    }
  }
}

/**
 * Checks that {@link Home.open} would accept a folder without creating anything. It changes nothing.
 *
 * @throws Problem `folder-unavailable`; errors of the file system
 */
export async function requireHome(path: string): Promise<void> {
  requireUsed(await locate(path))
}

async function locate(path: string): Promise<string> {
  return realpath(path).catch((cause: unknown) => {
    if (!hasCode(cause, 'ENOENT')) throw cause
    throw new Problem('folder-unavailable', { detail: 'it is not there; --create makes it' }, { cause })
  })
}

function requireUsed(folder: string): void {
  if (isThere(join(folder, inboxFolderName, 'instance'))) return
  const detail = 'no receiver has used it before. Is its disk mounted? If it is the right folder: --create'
  throw new Problem('folder-unavailable', { detail })
}

/** @throws Problem `folder-unavailable`; the error itself when it does not come from the file system */
function refuse(folder: string, cause: unknown): never {
  throw folderProblem(folder, use, 'take a folder', cause)
}

function away(reason: string): Obstacle {
  return { reason, isShortage: false }
}

async function instanceIn(own: string): Promise<string | null> {
  const known = (await readTextOrNull(join(own, 'instance')))?.trim() ?? ''
  return INSTANCE_ID.test(known) ? known : null
}

async function newInstance(own: string): Promise<string> {
  const instanceId = randomText(INSTANCE_BYTES)
  await replaceFile(join(own, 'instance'), `${instanceId}\n`)
  return instanceId
}
