/**
 * The journal in a folder: one JSON file per portal, account, file and receivers, named by the digest of these. Entries that are
 * recorded together share a file (`node-journal-batches.ts`). Entries are changed under a lock that the system releases when its process
 * ends.
 */
import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { Gatherer } from '../async/index.ts'
import { digestOf } from '../digests/index.ts'
import {
  hasCode,
  isThere,
  makeOwnFolder,
  placeFile,
  readTextOrNull,
  removeFile,
  removeUnfinished,
  syncFolder,
  withFolderLock,
} from '../fs/index.ts'
import { asEntry, type Journal, type JournalEntry, type JournalKey, keyText } from './journal.ts'
import { JournalBatches } from './node-journal-batches.ts'
import { FileSealRecords } from './node-seal-record.ts'

const JOURNAL_VERSION = 2
/** The file of one entry. */
const ALONE = /^[0-9a-f]{64}\.json$/
/** Other processes may be about to use what is younger. */
const LEFTOVER_MS_MIN = 3_600_000

/** The combined result of the changes that are made together. */
interface Group {
  /** By key. */
  readonly added: Map<string, JournalEntry>
  readonly removed: JournalEntry[]
}

/** One change of the journal. Its own error does not affect the others of its group. */
type Change = (group: Group) => Promise<void>

export class FileJournal implements Journal {
  readonly #folder: string
  readonly #sealRecords: FileSealRecords
  readonly #batches: JournalBatches
  readonly #changes = new Gatherer((changes: readonly Change[]) => this.#make(changes), setImmediate)

  /** @param stateFolder the entries lie in its folder `journal` */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'journal')
    this.#sealRecords = new FileSealRecords(stateFolder)
    const textOf = (entry: JournalEntry): string => JSON.stringify(stored(entry))
    this.#batches = new JournalBatches(this.#folder, { keyOf: keptKeyText, textOf, parse: entryIn })
  }

  async read(key: JournalKey): Promise<JournalEntry | null> {
    const alone = await this.#readAlone(key)
    const batched = this.#batches.find(keyText(key))
    if (alone === null || batched === null) return alone ?? batched
    // A crash has kept the older one from being removed.
    return alone.transferId > batched.transferId ? alone : batched
  }

  /** The entries of an account at a portal. */
  async entriesOf({ portalUrl, account }: Pick<JournalKey, 'portalUrl' | 'account'>): Promise<JournalEntry[]> {
    if (!isThere(this.#folder)) return []
    const found = new Map<string, JournalEntry>()
    for (const entry of await this.#all()) {
      if (entry.portalUrl !== portalUrl || entry.account !== account) continue
      const newest = await this.read(entry)
      if (newest !== null) found.set(newest.transferId, newest)
    }
    return [...found.values()]
  }

  /** All entries, outdated ones included. */
  async #all(): Promise<JournalEntry[]> {
    const keys = (await readdir(this.#folder)).filter((name) => ALONE.test(name))
    const alone = await Promise.all(keys.map((name) => readTextOrNull(join(this.#folder, name))))
    return [...alone.flatMap((text) => parseEntry(text ?? '') ?? []), ...this.#batches.all()]
  }

  /** Removes what killed processes have left: files that never got their name, and seal records of transfers without an entry. */
  async tidy(): Promise<void> {
    if (!isThere(this.#folder)) return
    await removeUnfinished(this.#folder, LEFTOVER_MS_MIN)
    const idle = this.#sealRecords.idle(LEFTOVER_MS_MIN)
    if (idle.length === 0) return
    await this.#alone(async () => {
      const known = new Set((await this.#all()).map(({ transferId }) => transferId))
      for (const transferId of idle) if (!known.has(transferId)) await this.#sealRecords.remove(transferId)
    })
  }

  async #readAlone(key: JournalKey): Promise<JournalEntry | null> {
    if (!this.#batches.mayHaveOthers) return null
    const text = await readTextOrNull(this.#pathOf(key))
    const entry = text === null ? null : parseEntry(text)
    return entry !== null && keyText(entry) === keyText(key) ? entry : null
  }

  /** A file that cannot be an entry is renamed to `….damaged`, so that a person can look at it. */
  async replace(known: JournalEntry | null, entry: JournalEntry): Promise<boolean> {
    return this.#alone(async (group) => {
      const key = keyText(entry)
      const current = group.added.get(key) ?? (await this.read(entry))
      // Another call of the same group may have been faster.
      if ((group.added.get(key) ?? current)?.transferId !== known?.transferId) return false
      group.added.set(key, entry)
      if (current === null) await setAside(this.#pathOf(entry))
      else {
        await this.#sealRecords.remove(current.transferId)
        group.removed.push(current)
      }
      return true
    })
  }

  async remove(entry: JournalEntry): Promise<void> {
    await this.#alone(async (group) => {
      const current = await this.read(entry)
      if (current?.transferId !== entry.transferId) return
      await this.#sealRecords.remove(entry.transferId)
      group.removed.push(entry)
    })
  }

  /**
   * Changes an entry while no other process changes the journal. Changes of different entries that are requested at the same
   * time are made together under one lock, and wait for the disk together.
   */
  async #alone<Result>(act: (group: Group) => Promise<Result>): Promise<Result> {
    const { promise, resolve } = Promise.withResolvers<Result>()
    await this.#changes.add(async (group) => {
      resolve(act(group))
      await promise.catch(() => {})
    })
    return promise
  }

  async #make(changes: readonly Change[]): Promise<void> {
    await makeOwnFolder(this.#folder, { withParents: true })
    await withFolderLock(this.#folder, `${this.#folder}.lock`, async () => {
      const group: Group = { added: new Map(), removed: [] }
      this.#batches.refresh()
      await Promise.all(changes.map((change) => change(group)))
      await this.#write(group)
      await syncFolder(this.#folder)
    })
  }

  /** Writes new entries first: until an older entry of the same key is removed, the newer one counts. */
  async #write({ added, removed }: Group): Promise<void> {
    const [only, ...others] = added.values()
    if (only !== undefined && others.length === 0) await placeFile(this.#pathOf(only), entryText(only))
    else if (only !== undefined) await this.#batches.add([only, ...others])
    const kept = new Set([...added.values()].map(({ transferId }) => transferId))
    for (const entry of removed) {
      const alone = await this.#readAlone(entry)
      if (alone !== null && !kept.has(alone.transferId)) await removeFile(this.#pathOf(entry))
    }
    await this.#batches.remove(removed, kept)
  }

  #pathOf(key: JournalKey): string {
    return join(this.#folder, `${digestOf('sha-256', new TextEncoder().encode(keyText(key)))}.json`)
  }
}

const keyTexts = new WeakMap<JournalEntry, string>()

/** {@link keyText} of an entry, made once. */
function keptKeyText(entry: JournalEntry): string {
  let text = keyTexts.get(entry)
  if (text === undefined) {
    text = keyText(entry)
    keyTexts.set(entry, text)
  }
  return text
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

function entryText(entry: JournalEntry): string {
  return `${JSON.stringify(stored(entry), null, 2)}\n`
}

function stored({ place, ...entry }: JournalEntry): object {
  return { version: JOURNAL_VERSION, path: place, ...entry }
}

function parseEntry(text: string): JournalEntry | null {
  try {
    return entryIn(JSON.parse(text))
  } catch {
    // JSON.parse throws on nothing but malformed input: the file is damaged.
    return null
  }
}

function entryIn(value: unknown): JournalEntry | null {
  if (typeof value !== 'object' || value === null || !('version' in value) || !('path' in value)) return null
  const { version, path, ...entry } = value
  return version === JOURNAL_VERSION ? asEntry({ ...entry, place: path }) : null
}
