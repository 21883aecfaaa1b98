/**
 * The sender's own record: which transfer a file is being sent as. It is on disk before the portal hears of the
 * transfer, so whatever happens, the same command goes on with the same transfer instead of sending a second copy.
 *
 * One JSON file per portal, account, file and receivers, named by the digest of these. Several runs of the same
 * command may be at work, over the same file or over two versions of it. So an entry is changed by compare-and-set,
 * under a lock that goes with its process, and each run forgets nothing but its own transfer.
 */
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
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
import {
  type DigestAlgorithm,
  DigestHex,
  isDigestAlgorithm,
  Metadata,
  Timestamp,
  TransferId,
} from '../protocol/index.ts'
import { sealLockPath } from './seal-record.ts'
import type { SourceIdentity } from './source.ts'

const JOURNAL_VERSION = 2

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
  /** A file that is sent once more without a seal is another transfer. */
  readonly isSealed: boolean
}

const StoredEntry = Type.Object({
  version: Type.Literal(JOURNAL_VERSION),
  transferId: TransferId,
  portalUrl: Type.String(),
  account: Type.String(),
  path: Type.String(),
  name: Type.String(),
  to: Type.Array(Type.String()),
  isSealed: Type.Boolean(),
  metadata: Metadata,
  sealedFor: Type.Union([Type.String(), Type.Null()]),
  onlyPartDigest: Type.Union([DigestHex, Type.Null()]),
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
  /** As it is announced, and the same again whenever it is announced again. Where it is sealed, the content key is in it. */
  readonly metadata: Metadata
  /** For which keys it is sealed, `sealedForText`; null where it is not. */
  readonly sealedFor: string | null
  /** Of the sealed part, where there is only one: no other content may be sealed with the same key. */
  readonly onlyPartDigest: string | null
  /** Of the file itself: sealed parts are longer. */
  readonly partSizeBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  readonly createdAt: string
}

/** A change that waits for its turn. */
interface Change {
  readonly act: () => Promise<unknown>
  readonly resolve: (result: never) => void
  readonly reject: (error: unknown) => void
}

export class Journal {
  readonly #folder: string
  #waiting: Change[] = []
  #isWorking = false

  /** @param stateFolder the entries lie in its folder `journal` */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'journal')
  }

  /** The entry of a key. @returns null where there is none, or only a file that cannot be one */
  async read(key: JournalKey): Promise<JournalEntry | null> {
    const text = await readTextOrNull(this.#pathOf(key))
    const entry = text === null ? null : parseEntry(text)
    return entry !== null && keyText(entry) === keyText(key) ? entry : null
  }

  /**
   * Records a transfer, if what the journal says is still `known`. When it resolves, the record survives the loss of
   * power. A file that cannot be an entry is set aside as `….damaged` for whoever wants to look at it.
   *
   * @param known what `read` returned
   * @returns false where another run has recorded, or forgotten, a transfer meanwhile: then nothing was changed
   */
  async replace(known: JournalEntry | null, entry: JournalEntry): Promise<boolean> {
    return this.#alone(async () => {
      const current = await this.read(entry)
      if (current?.transferId !== known?.transferId) return false
      const path = this.#pathOf(entry)
      if (current === null) await setAside(path)
      else await this.#removeSealRecord(current)
      const stored: StoredEntry = { version: JOURNAL_VERSION, ...entry, to: [...entry.to] }
      await placeFile(path, `${JSON.stringify(stored, null, 2)}\n`)
      return true
    })
  }

  /**
   * Forgets a transfer whose end the user has been told; durable too, lest an old end is told of a new command. Where
   * another run has recorded a newer transfer since, that stays.
   */
  async remove(entry: JournalEntry): Promise<void> {
    await this.#alone(async () => {
      const current = await this.read(entry)
      if (current?.transferId !== entry.transferId) return
      await this.#removeSealRecord(entry)
      await removeFile(this.#pathOf(entry))
    })
  }

  /** Where it is written down what was sealed for a transfer. It goes with the entry. */
  sealRecordPath({ transferId }: JournalEntry): string {
    return join(this.#folder, `${transferId}.sealed`)
  }

  async #removeSealRecord(entry: JournalEntry): Promise<void> {
    const path = this.sealRecordPath(entry)
    await removeFile(path)
    await removeFile(sealLockPath(path))
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

function keyText({ portalUrl, account, path, name, to, isSealed }: JournalKey): string {
  return JSON.stringify([portalUrl, account, path, name, to, isSealed])
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
