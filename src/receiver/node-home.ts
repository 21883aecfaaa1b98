/**
 * The folder that files are delivered to. The receiver recognises it by its own folder in it and by the instance id written there. So
 * it does not mistake an empty mount point, or another disk in its place, for the folder.
 */
import { statSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import {
  folderProblem,
  hasCode,
  isNoRoom,
  isThere,
  makeFolder,
  OwnedFolder,
  readTextOrNull,
  replaceFile,
  requireOwnFolder,
} from '../fs/index.ts'
import { Problem, randomText } from '../protocol/index.ts'
import type { Obstacle } from './inbox.ts'
import { inboxFolderName } from './names.ts'
import { isShortage, shortageOf } from './node-write-problem.ts'

const INSTANCE_BYTES = 18
const INSTANCE_ID = /^[A-Za-z0-9_-]{8,64}$/
const FOLDER_MODE = 0o755
/** By it a drop folder is known, to watchers as well. */
const DROP_FOLDER_LOCK = join('.sending', 'lock')
const use = { advice: 'Name a folder on another disk: --into DIR' }

export class Home implements AsyncDisposable {
  /** The path with symbolic links resolved. */
  readonly folder: string
  readonly instanceId: string
  readonly #own: OwnedFolder

  private constructor(folder: string, instanceId: string, own: OwnedFolder) {
    this.folder = folder
    this.instanceId = instanceId
    this.#own = own
  }

  /**
   * Opens a folder, and locks it for this process.
   *
   * @param mayCreate whether to make a missing folder, and to accept one that no receiver has used before
   * @throws Problem `folder-unavailable`, also for a drop folder; errors of the file system
   */
  static async open(path: string, { mayCreate }: { mayCreate: boolean }): Promise<Home> {
    if (mayCreate) await makeFolder(path, FOLDER_MODE).catch((cause: unknown) => refuse(path, cause))
    const folder = await locate(path)
    if (!mayCreate) requireUsed(folder)
    else if (!isUsed(folder)) refuseDropFolder(folder)
    const own = await OwnedFolder.take(join(folder, inboxFolderName), use)
    try {
      return new Home(folder, (await instanceIn(own.path)) ?? (await newInstance(own.path)), own)
    } catch (error) {
      await own[Symbol.asyncDispose]()
      throw error
    }
  }

  /** @throws FolderAwayError when the folder is not the one that was opened */
  assertIsThere(): void {
    this.#own.assertIsThere()
  }

  /**
   * Checks that the folder is there, is this receiver's, and can be written. A folder that has come back is locked again.
   *
   * @returns null when nothing is wrong
   */
  async obstacle(): Promise<Obstacle | null> {
    try {
      if (!(await this.#isOwn())) return away('the folder is not there, or is not the one that was used before')
      await this.#own.assertUsable()
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
    await this.#own[Symbol.asyncDispose]()
  }

  async #isOwn(): Promise<boolean> {
    requireOwnFolder(this.#own.path)
    return (await instanceIn(this.#own.path)) === this.instanceId
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

function isUsed(folder: string): boolean {
  return isThere(join(folder, inboxFolderName, 'instance'))
}

/**
 * What arrives in a drop folder is sent on at once, perhaps to where it came from, without end. Asked only before the first file: later
 * a folder of that name may have been received.
 */
function refuseDropFolder(folder: string): void {
  if (!isThere(join(folder, DROP_FOLDER_LOCK))) return
  const detail = `${folder} is a drop folder: golooader watch would send what arrives. Name another folder`
  throw new Problem('folder-unavailable', { detail })
}

function requireUsed(folder: string): void {
  if (isUsed(folder)) return
  if (!statSync(folder).isDirectory()) throw new Problem('folder-unavailable', { detail: 'it is not a folder' })
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
