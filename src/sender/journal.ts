/**
 * The sender's own record: which transfer a file is being sent as. It is on disk before the portal hears of the
 * transfer, so whatever happens, the same command goes on with the same transfer instead of sending a second copy.
 *
 * One JSON file per portal, account, file and receivers, named by the digest of these.
 */
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { digestOf } from '../digests/index.ts'
import { makeFolder, readTextOrNull, replaceFile, syncFolder } from '../hop/index.ts'
import { type DigestAlgorithm, isDigestAlgorithm, Timestamp, TransferId } from '../protocol/index.ts'
import type { SourceIdentity } from './source.ts'

const JOURNAL_VERSION = 1

/** What makes two commands the same command. */
export interface JournalKey {
  readonly portalUrl: string
  readonly account: string
  /** Absolute, without symbolic links. */
  readonly path: string
  /** The name the receiver is told; a link to the file may give it another one, which is another transfer. */
  readonly name: string
  /** In ascending order. */
  readonly to: readonly string[]
}

const StoredEntry = Type.Object({
  version: Type.Literal(JOURNAL_VERSION),
  transferId: TransferId,
  portalUrl: Type.String(),
  account: Type.String(),
  path: Type.String(),
  name: Type.String(),
  to: Type.Array(Type.String()),
  source: Type.Object({
    sizeBytes: Type.Integer({ minimum: 0 }),
    mtimeNs: Type.String(),
    inode: Type.String(),
    device: Type.String(),
  }),
  partSizeBytes: Type.Integer({ minimum: 1 }),
  digestAlgorithm: Type.String(),
  createdAt: Timestamp,
})
type StoredEntry = Static<typeof StoredEntry>

const validator = Compile(StoredEntry)

/** A transfer that this sender has begun, and has not yet told its user the end of. */
export interface JournalEntry extends JournalKey {
  readonly transferId: string
  readonly source: SourceIdentity
  readonly partSizeBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  readonly createdAt: string
}

export class Journal {
  readonly #folder: string

  /** @param stateFolder the entries lie in its folder `journal` */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'journal')
  }

  /**
   * The entry of a key. A file that cannot be an entry is set aside as `….damaged` for whoever wants to look at it.
   *
   * @returns null where there is none
   */
  async read(key: JournalKey): Promise<JournalEntry | null> {
    const path = this.#pathOf(key)
    const text = await readTextOrNull(path)
    if (text === null) return null
    const entry = parseEntry(text)
    if (entry !== null && keyText(entry) === keyText(key)) return entry
    await rename(path, `${path}.damaged`)
    await syncFolder(this.#folder)
    return null
  }

  /** Records a transfer. When it resolves, the record survives the loss of power. */
  async write(entry: JournalEntry): Promise<void> {
    await makeFolder(this.#folder)
    const stored: StoredEntry = { version: JOURNAL_VERSION, ...entry, to: [...entry.to] }
    await replaceFile(this.#pathOf(entry), `${JSON.stringify(stored, null, 2)}\n`)
  }

  /** Forgets a transfer whose end the user has been told; durable too, lest an old end is told of a new command. */
  async remove(entry: JournalEntry): Promise<void> {
    await rm(this.#pathOf(entry), { force: true })
    await syncFolder(this.#folder)
  }

  #pathOf(key: JournalKey): string {
    return join(this.#folder, `${digestOf('sha-256', new TextEncoder().encode(keyText(key)))}.json`)
  }
}

function keyText({ portalUrl, account, path, name, to }: JournalKey): string {
  return JSON.stringify([portalUrl, account, path, name, to])
}

function parseEntry(text: string): JournalEntry | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // JSON.parse throws on nothing but malformed input: the file is damaged.
    return null
  }
  if (!validator.Check(value)) return null
  const { version: _, digestAlgorithm, ...entry } = value
  return isDigestAlgorithm(digestAlgorithm) ? { ...entry, digestAlgorithm } : null
}
