/**
 * Entries of the journal that were recorded together: one file holds all of them, so that they become durable by one sync. An entry
 * is removed by another line; the file goes with its last entry.
 *
 *     {"version":2,"transferId":…}        an entry
 *     {"removed":"TRANSFER"}
 *
 * The entries are there from the moment the file has its name. A line that a crash has cut off counts for nothing: its entry is then
 * looked at once more. Everything is changed under the lock of the journal, and read without it.
 */
import { randomBytes } from 'node:crypto'
import { appendFileSync, closeSync, fdatasync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasCode, placeFile, removeFile, whenDescriptorsAllow } from '../fs/index.ts'
import type { JournalEntry } from './journal.ts'

const syncContent = promisify(fdatasync)
const BATCH = /^[0-9a-f]{12}\.batch$/
/** An entry that has a file of its own: see `FileJournal`. */
const ALONE = /\.json$/

interface Batch {
  /** By transfer. */
  readonly entries: Map<string, JournalEntry>
  /** The size of the file, as far as this process knows it. */
  readonly sizeBytes: number
}

export interface BatchCodec {
  readonly keyOf: (entry: JournalEntry) => string
  readonly textOf: (entry: JournalEntry) => string
  /** @returns null for anything that is no entry */
  readonly parse: (value: unknown) => JournalEntry | null
}

export class JournalBatches {
  readonly #folder: string
  readonly #codec: BatchCodec
  readonly #batches = new Map<string, Batch>()
  /** Key -> the names of the files that have an entry of it. */
  readonly #names = new Map<string, Set<string>>()
  #listedAtNs = -1n
  /** Whether all files were looked at in this turn of the event loop. */
  #isFresh = false
  /** Whether the folder has entries that have a file of their own. */
  #hasOthers = true

  constructor(folder: string, codec: BatchCodec) {
    this.#folder = folder
    this.#codec = codec
  }

  /** Whether the folder may have entries that are in no batch. */
  get mayHaveOthers(): boolean {
    this.#list()
    return this.#hasOthers
  }

  /** All entries, in no order. Of one key there may be several. */
  all(): JournalEntry[] {
    this.#list()
    return [...this.#batches.keys()].flatMap((name) => [...(this.#read(name)?.entries.values() ?? [])])
  }

  /** The newest entry of a key; null when there is none. */
  find(key: string): JournalEntry | null {
    this.#list()
    let newest: JournalEntry | null = null
    for (const name of [...(this.#names.get(key) ?? [])]) {
      for (const entry of this.#read(name)?.entries.values() ?? []) {
        if (this.#codec.keyOf(entry) !== key) continue
        if (newest === null || entry.transferId > newest.transferId) newest = entry
      }
    }
    return newest
  }

  /** The entries are durable once the folder has been synced. */
  async add(entries: readonly JournalEntry[]): Promise<void> {
    const name = `${randomBytes(6).toString('hex')}.batch`
    const text = entries.map((entry) => `${this.#codec.textOf(entry)}\n`).join('')
    await placeFile(join(this.#folder, name), text)
    this.#keep(name, new Map(entries.map((entry) => [entry.transferId, entry])), Buffer.byteLength(text))
  }

  /** Removes the entries of the same keys as these, except those `kept`. That is durable once the folder has been synced, too. */
  async remove(entries: readonly JournalEntry[], kept: ReadonlySet<string>): Promise<void> {
    this.#list()
    const gone = new Map<string, string[]>()
    for (const entry of entries) {
      const key = this.#codec.keyOf(entry)
      for (const name of [...(this.#names.get(key) ?? [])]) {
        // Another one of the same key, which a crash has left, would count again.
        const ids = [...(this.#read(name)?.entries.values() ?? [])]
          .filter((one) => this.#codec.keyOf(one) === key && !kept.has(one.transferId))
          .map(({ transferId }) => transferId)
        if (ids.length > 0) gone.set(name, [...(gone.get(name) ?? []), ...ids])
      }
    }
    await Promise.all([...gone].map(([name, ids]) => this.#removeFrom(name, ids)))
  }

  async #removeFrom(name: string, transferIds: readonly string[]): Promise<void> {
    const path = join(this.#folder, name)
    const batch = this.#read(name)
    const gone = new Set(transferIds)
    if (batch === null || batch.entries.size <= gone.size) {
      await removeFile(path)
      return this.#drop(name)
    }
    // A line feed first: a crash may have cut off the line before.
    const text = `${transferIds.map((removed) => `\n${JSON.stringify({ removed })}`).join('')}\n`
    const descriptor = await whenDescriptorsAllow(() => openSync(path, 'a'))
    try {
      appendFileSync(descriptor, text)
      await syncContent(descriptor)
    } finally {
      closeSync(descriptor)
    }
    const entries = [...batch.entries].filter(([id]) => !gone.has(id))
    this.#keep(name, new Map(entries), batch.sizeBytes + Buffer.byteLength(text))
  }

  /** Looks which files there are, if the folder has changed since. */
  #list(): void {
    if (this.#isFresh) return
    const changedAtNs = statSync(this.#folder, { bigint: true, throwIfNoEntry: false })?.mtimeNs
    if (changedAtNs === undefined || changedAtNs === this.#listedAtNs) return
    this.refresh()
    this.#listedAtNs = changedAtNs
  }

  /** Finds what others have recorded. The time of a folder is too coarse for that: to be called under the lock, before a change. */
  refresh(): void {
    const all = readdirSync(this.#folder)
    const names = new Set(all.filter((name) => BATCH.test(name)))
    this.#isFresh = false
    for (const name of [...this.#batches.keys()]) if (!names.has(name)) this.#drop(name)
    for (const name of names) this.#read(name)
    this.#hasOthers = all.some((name) => ALONE.test(name))
    this.#isFresh = true
    setImmediate(() => {
      this.#isFresh = false
    })
  }

  /** A batch as it is now; null when it has gone. */
  #read(name: string): Batch | null {
    const known = this.#batches.get(name)
    if (this.#isFresh) return known ?? null
    const path = join(this.#folder, name)
    const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size
    if (known !== undefined && known.sizeBytes === sizeBytes) return known
    this.#drop(name)
    const text = sizeBytes === undefined ? null : textOrNull(path)
    if (text === null) return null
    const entries = new Map<string, JournalEntry>()
    for (const value of text.split('\n').map(parsedLine)) {
      const entry = this.#codec.parse(value)
      if (entry !== null) entries.set(entry.transferId, entry)
      else if (typeof value === 'object' && value !== null && 'removed' in value) entries.delete(String(value.removed))
    }
    return this.#keep(name, entries, Buffer.byteLength(text))
  }

  /** Remembers what a file holds. */
  #keep(name: string, entries: Map<string, JournalEntry>, sizeBytes: number): Batch {
    this.#drop(name)
    for (const entry of entries.values()) {
      const key = this.#codec.keyOf(entry)
      const names = this.#names.get(key)
      if (names === undefined) this.#names.set(key, new Set([name]))
      else names.add(name)
    }
    const batch = { entries, sizeBytes }
    this.#batches.set(name, batch)
    return batch
  }

  #drop(name: string): void {
    for (const entry of this.#batches.get(name)?.entries.values() ?? []) {
      const key = this.#codec.keyOf(entry)
      const names = this.#names.get(key)
      names?.delete(name)
      if (names?.size === 0) this.#names.delete(key)
    }
    this.#batches.delete(name)
  }
}

function textOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

function parsedLine(line: string): unknown {
  try {
    return line === '' ? null : JSON.parse(line)
  } catch {
    // JSON.parse throws on nothing but malformed input: the line was cut off.
    return null
  }
}
