/** A drop folder that this process has for itself, with its folders `.sending`, `sent` and `failed`. */
import { lstatSync, statSync } from 'node:fs'
import { mkdir, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FolderTakenError, hasCode, makeFolder, OwnedFolder, removeUnfinished, syncFolder } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { failedFolderName, sendingFolderName, sentFolderName, usedAs } from './left-alone.ts'

/** Less the umask. */
const FOLDER_MODE = 0o777
const use = { advice: 'A drop folder needs a disk on which files can be locked and renamed' }

export class OutboxFolder implements AsyncDisposable {
  /** The path with symbolic links resolved. */
  readonly path: string
  /** The path as people know it. */
  readonly shown: string
  readonly sending: string
  readonly sent: string
  readonly failed: string
  readonly #own: OwnedFolder

  private constructor(path: string, shown: string, own: OwnedFolder) {
    this.path = path
    this.shown = shown
    this.sending = own.path
    this.sent = join(path, sentFolderName)
    this.failed = join(path, failedFolderName)
    this.#own = own
  }

  /**
   * Takes a folder for this process.
   *
   * @param mayCreate whether to make a missing folder
   * @throws Problem `outbox-busy` when another process watches it; `folder-unavailable`; errors of the file system
   */
  static async open(shown: string, { mayCreate }: { mayCreate: boolean }): Promise<OutboxFolder> {
    if (mayCreate) await makeFolder(shown, FOLDER_MODE)
    const path = await realpath(shown).catch((cause: unknown) => {
      if (!hasCode(cause, 'ENOENT')) throw cause
      throw unavailable(`${shown} is not there; --create makes it`, cause)
    })
    if (!statSync(path).isDirectory()) throw unavailable(`${shown} is not a folder`)
    requireAlone(path, shown)
    const own = await OwnedFolder.take(join(path, sendingFolderName), use).catch((cause: unknown) => {
      if (!(cause instanceof FolderTakenError)) throw cause
      throw new Problem('outbox-busy', { detail: shown }, { cause })
    })
    try {
      const outbox = new OutboxFolder(path, shown, own)
      await outbox.#makeShelves()
      return outbox
    } catch (error) {
      await own[Symbol.asyncDispose]()
      throw error
    }
  }

  /** The path of a file in it, as people know it. */
  shownPath(name: string): string {
    return join(this.shown, name)
  }

  /** @throws FolderAwayError */
  assertIsThere(): void {
    this.#own.assertIsThere()
  }

  /** @throws an error that says why the folder cannot be used at the moment */
  async assertUsable(): Promise<void> {
    await this.#own.assertUsable()
    await this.#makeShelves()
  }

  /** Removes what an earlier run has left in `sent` and `failed` that was killed while it wrote beside a file. */
  async removeUnfinished(): Promise<void> {
    for (const folder of [this.sent, this.failed]) await removeUnfinished(folder)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#own[Symbol.asyncDispose]()
  }

  /** Makes `sent` and `failed`, and checks that files can be renamed into them. */
  async #makeShelves(): Promise<void> {
    let isNew = false
    for (const folder of [this.sent, this.failed]) {
      try {
        await mkdir(folder, { mode: FOLDER_MODE })
        isNew = true
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error
      }
      const stats = lstatSync(folder)
      if (stats.isSymbolicLink())
        throw unavailable(`${folder} is a symbolic link. It has to be a folder on the disk of ${this.path}`)
      if (!stats.isDirectory()) throw unavailable(`${folder} has to be a folder`)
      if (stats.dev !== lstatSync(this.sending).dev) {
        throw unavailable(
          `${folder} has to be on the same disk as ${this.sending}, so that files can be renamed into it`,
        )
      }
    }
    if (isNew) await syncFolder(this.path)
  }
}

/** Another watcher, or a receiver, would take files away, or send what was received. */
function requireAlone(path: string, shown: string): void {
  if (usedAs(path) !== null && !isWatched(path)) throw unavailable(`${shown} is ${usedAs(path)}`)
  for (let above = dirname(path); ; above = dirname(above)) {
    if (isWatched(above)) throw unavailable(`${shown} lies in the drop folder ${above}`)
    if (above === dirname(above)) return
  }
}

function isWatched(folder: string): boolean {
  return statSync(join(folder, sendingFolderName, 'lock'), { throwIfNoEntry: false }) !== undefined
}

function unavailable(detail: string, cause?: unknown): Problem {
  return new Problem('folder-unavailable', { detail }, { cause })
}
