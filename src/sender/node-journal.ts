/**
 * The journal in a folder: one JSON file per portal, account, file and receivers, named by the digest of these. Entries
 * are changed under a lock that goes with its process.
 */
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../digests/index.ts'
import {
  hasCode,
  isThere,
  makeFolder,
  placeFile,
  readTextOrNull,
  removeFile,
  syncFolder,
  withFolderLock,
} from '../hop/node.ts'
import { asEntry, type Journal, type JournalEntry, type JournalKey, keyText } from './journal.ts'
import { FileSealRecords } from './node-seal-record.ts'

const JOURNAL_VERSION = 2

/** A change that waits for its turn. */
interface Change {
  readonly act: () => Promise<unknown>
  readonly resolve: (result: never) => void
  readonly reject: (error: unknown) => void
}

export class FileJournal implements Journal {
  readonly #folder: string
  readonly #sealRecords: FileSealRecords
  #waiting: Change[] = []
  #isWorking = false

  /** @param stateFolder the entries lie in its folder `journal` */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'journal')
    this.#sealRecords = new FileSealRecords(stateFolder)
  }

  async read(key: JournalKey): Promise<JournalEntry | null> {
    const text = await readTextOrNull(this.#pathOf(key))
    const entry = text === null ? null : parseEntry(text)
    return entry !== null && keyText(entry) === keyText(key) ? entry : null
  }

  /** A file that cannot be an entry is set aside as `….damaged` for whoever wants to look at it. */
  async replace(known: JournalEntry | null, entry: JournalEntry): Promise<boolean> {
    return this.#alone(async () => {
      const current = await this.read(entry)
      if (current?.transferId !== known?.transferId) return false
      const path = this.#pathOf(entry)
      if (current === null) await setAside(path)
      else await this.#sealRecords.remove(current.transferId)
      await placeFile(path, entryText(entry))
      return true
    })
  }

  async remove(entry: JournalEntry): Promise<void> {
    await this.#alone(async () => {
      const current = await this.read(entry)
      if (current?.transferId !== entry.transferId) return
      await this.#sealRecords.remove(entry.transferId)
      await removeFile(this.#pathOf(entry))
    })
  }

  /**
   * Changes an entry while no other process changes the journal. Changes of different entries that are asked for at the same
   * time are made together, under one lock, and wait for the disk together.
   */
  #alone<Result>(act: () => Promise<Result>): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    this.#waiting.push({ act, resolve, reject })
    if (!this.#isWorking) void this.#work()
    return promise
  }

  async #work(): Promise<void> {
    this.#isWorking = true
    while (this.#waiting.length > 0) {
      const changes = this.#waiting
      this.#waiting = []
      try {
        const results = await this.#make(changes)
        for (const [index, { resolve, reject }] of changes.entries()) {
          const result = results[index]
          if (result?.status === 'fulfilled') resolve(result.value as never)
          else reject(result?.reason)
        }
      } catch (error) {
        for (const { reject } of changes) reject(error)
      }
    }
    this.#isWorking = false
  }

  async #make(changes: readonly Change[]): Promise<PromiseSettledResult<unknown>[]> {
    await makeFolder(this.#folder)
    return withFolderLock(this.#folder, `${this.#folder}.lock`, async () => {
      const results = await Promise.allSettled(changes.map(({ act }) => act()))
      await syncFolder(this.#folder)
      return results
    })
  }

  #pathOf(key: JournalKey): string {
    return join(this.#folder, `${digestOf('sha-256', new TextEncoder().encode(keyText(key)))}.json`)
  }
}

/** Renames a file, if there is one. */
async function setAside(path: string): Promise<void> {
  if (!isThere(path)) return
  try {
    await rename(path, `${path}.damaged`)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

function entryText({ place, ...entry }: JournalEntry): string {
  return `${JSON.stringify({ version: JOURNAL_VERSION, path: place, ...entry }, null, 2)}\n`
}

function parseEntry(text: string): JournalEntry | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // JSON.parse throws on nothing but malformed input: the file is damaged.
    return null
  }
  if (typeof value !== 'object' || value === null || !('version' in value) || !('path' in value)) return null
  const { version, path, ...entry } = value
  return version === JOURNAL_VERSION ? asEntry({ ...entry, place: path }) : null
}
