/**
 * One process per folder on network file systems, where the lock of the operating system does not suffice: two machines may mount
 * one folder, and each grants its own lock. So the owner writes its name and a counter to a file in the folder every few seconds.
 *
 * No times are compared, because clocks differ. Another process watches the text. If the text stays the same for several intervals,
 * its owner is dead. Whether an owner on the same machine lives, its process id tells at once: a killed process can be started again without
 * a wait, and a second one is refused without a wait. An owner that finds another owner in the file stops using the folder.
 */
import { statfsSync } from 'node:fs'
import { join } from 'node:path'
import { sleep } from '../async/index.ts'
import { randomText } from '../protocol/index.ts'
import { isNoRoom, placeFile, readTextOrNull, removeFile } from './durable.ts'
import { localFileSystemTypes } from './file-system-types.ts'
import { FolderTakenError } from './folder-lock.ts'
import { isRunningHere, type ProcessIdentity, processIdentity } from './process-identity.ts'

const OWNER_FILE = 'owner'
const PROCESS_BYTES = 18
const BEAT_MS = 3_000
/** The owner counts as dead after its text has stayed the same for this long. */
const SILENT_MS_MAX = 4 * BEAT_MS
const LOOK_MS = 300
/** An owner that could not write for this long may have been suspended. It checks the file before it continues. */
const DOUBT_MS = 3 * BEAT_MS
/** All texts have the same length, because network file systems may show an old size for a while. */
const TEXT_BYTES = 200

interface Owner {
  readonly process: string
  readonly beat: number
  readonly identity: ProcessIdentity | null
}

export class FolderOwner {
  readonly #path: string
  readonly #process: string
  readonly #timer: NodeJS.Timeout
  #beat = 0
  #writtenAtMs = Number.NEGATIVE_INFINITY
  #beating: Promise<void> = Promise.resolve()
  #isOther = false

  private constructor(path: string, process: string) {
    this.#path = path
    this.#process = process
    this.#timer = setInterval(() => {
      this.#beating = this.#beating.then(() => this.#keep()).catch(() => {})
    }, BEAT_MS)
    // The timer does not keep the process running.
    this.#timer.unref()
  }

  /**
   * @param own a folder of this program's own; the caller holds its lock
   * @returns null where the lock suffices
   * @throws FolderTakenError when another process owns the folder; errors of the file system
   */
  static async take(own: string): Promise<FolderOwner | null> {
    if (isLocal(own)) return null
    const path = join(own, OWNER_FILE)
    const process = randomText(PROCESS_BYTES)
    await untilFree(path)
    await write(path, { process, beat: 0, identity: processIdentity() })
    // When several processes come at the same time, the last writer is the owner.
    await sleep(LOOK_MS)
    if (ownerOf(await readTextOrNull(path))?.process !== process) refuse()
    const owner = new FolderOwner(path, process)
    owner.#writtenAtMs = Date.now()
    return owner
  }

  /** Whether this process wrote recently enough to be the owner without another look at the file. */
  get isSure(): boolean {
    return !this.#isOther && Date.now() - this.#writtenAtMs < DOUBT_MS
  }

  /**
   * Checks that this process owns the folder, and takes the folder again when its owner is gone.
   *
   * @throws FolderTakenError; errors of the file system
   */
  async assert(): Promise<void> {
    await this.#beating
    if (this.isSure) return
    if (this.#isOther) {
      await untilFree(this.#path)
      this.#isOther = false
      await this.#write()
      await sleep(LOOK_MS)
    }
    await this.#keep()
    if (this.#isOther) refuse()
  }

  /** Removes the file, so that the next owner need not wait. */
  async release(): Promise<void> {
    clearInterval(this.#timer)
    await this.#beating
    try {
      if (ownerOf(await readTextOrNull(this.#path))?.process === this.#process) await removeFile(this.#path)
    } catch {
      // The folder is gone. If it comes back, the next owner sees that the text stays the same.
    }
  }

  async #keep(): Promise<void> {
    if (this.#isOther) return
    const found = ownerOf(await readTextOrNull(this.#path))
    // A missing or invalid file is written again.
    this.#isOther = found !== null && found.process !== this.#process
    if (!this.#isOther) await this.#write()
  }

  async #write(): Promise<void> {
    this.#beat++
    try {
      await write(this.#path, { process: this.#process, beat: this.#beat, identity: processIdentity() })
    } catch (error) {
      // On a full disk another process cannot write either. Who writes into the folder reports the full disk.
      if (!isNoRoom(error)) throw error
    }
    this.#writtenAtMs = Date.now()
  }
}

/** Waits until the owner is known to be dead. Fails after a moment when the owner lives. */
async function untilFree(path: string): Promise<void> {
  const first = await readTextOrNull(path)
  const owner = ownerOf(first)
  if (owner === null) return
  const isAlive = isRunningHere(owner.identity)
  if (isAlive === true) refuse()
  if (isAlive === false) return
  const endMs = performance.now() + SILENT_MS_MAX
  while (performance.now() < endMs) {
    await sleep(LOOK_MS)
    const text = await readTextOrNull(path)
    if (ownerOf(text) === null) return
    if (text !== first) refuse()
  }
}

function refuse(): never {
  throw new FolderTakenError('another process, perhaps of another machine, is using the folder')
}

/** It is not synced, because after a power loss the owner no longer runs. */
async function write(path: string, { process, beat, identity }: Owner): Promise<void> {
  const { space, pid, startTicks } = identity ?? { space: '-', pid: 0, startTicks: '-' }
  const text = `golooader-owner 1 ${process} ${beat} ${space} ${pid} ${startTicks} `
  await placeFile(path, `${text.padEnd(TEXT_BYTES - 1, '.')}\n`)
}

/** @returns null for an invalid text */
function ownerOf(text: string | null): Owner | null {
  const [, process, beat, space, pid, startTicks] =
    /^golooader-owner 1 (\S+) (\d+) (\S+) (\d+) (\S+) /.exec(text ?? '') ?? []
  if (process === undefined || space === undefined || startTicks === undefined) return null
  const identity = space === '-' ? null : { space, pid: Number(pid), startTicks }
  return { process, beat: Number(beat), identity }
}

function isLocal(path: string): boolean {
  if (process.platform !== 'linux') return false
  // All processes reach a local folder through the same kernel, so its lock suffices. Elsewhere the owner's file is used, too.
  return localFileSystemTypes.has(statfsSync(path).type)
}
