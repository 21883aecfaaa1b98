/**
 * Which transfer stands in the folder under which name: written down before it appears there, kept for months after.
 *
 * A record begins beside the unfinished content. Once the portal has been answered it moves, by one rename, among those
 * that are only remembered: a portal that offers an old transfer once more gets the old answer, and nothing is delivered
 * twice. Whichever of the two places a crash leaves it in, it says the same.
 *
 * What is remembered lies in a folder per month of the transfer's own time, which its id carries and its sender signed.
 * So a whole month is forgotten at once, and what is older than that is not taken any more.
 */
import { readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasCode, isThere, makeFolder, readTextOrNull } from '../hop/node.ts'
import { Problem, transferTimeMs } from '../protocol/index.ts'
import type { ReceiptClaims } from '../trust/index.ts'
import { inboxFolderName } from './paths.ts'

const DAY_MS = 86_400_000
const MONTHS_PER_YEAR = 12
/** So long after it was made, a transfer can still be delivered. */
const TRANSFER_AGE_MS_MAX = 90 * DAY_MS
const MONTH_FOLDER = /^(\d{4,6})-(\d{2})$/

/** What is about to be published, or is published. */
export interface CommitRecord {
  readonly transferId: string
  readonly finalName: string
  /** hex */
  readonly manifestDigest: string
  /** What is signed as the receipt, the same each time; null where this account has no keys to sign with. */
  readonly receipt: ReceiptClaims | null
}

/** @returns null when there is none */
export async function readRecord(path: string): Promise<CommitRecord | null> {
  const text = await readTextOrNull(path)
  if (text === null) return null
  try {
    return recordOf(JSON.parse(text))
  } catch (cause) {
    // A record is replaced as a whole, so this is not half a record: something else wrote it.
    throw new Problem('write-failed', { detail: 'a commit record of the receiver cannot be read' }, { cause })
  }
}

/** As it is written. */
export function recordText(record: CommitRecord): string {
  return `${JSON.stringify(record)}\n`
}

/** @throws Error for a value of another form */
function recordOf(value: unknown): CommitRecord {
  if (typeof value !== 'object' || value === null) throw new Error('not an object')
  const { transferId, finalName, manifestDigest, receipt = null }: Partial<Record<keyof CommitRecord, unknown>> = value
  if (typeof transferId !== 'string' || typeof finalName !== 'string' || typeof manifestDigest !== 'string') {
    throw new Error('a member is missing')
  }
  if (typeof receipt !== 'object') throw new Error('the receipt is not an object')
  return { transferId, finalName, manifestDigest, receipt: receipt as ReceiptClaims | null }
}

/** The records of transfers that have been answered for. */
export class ReceivedRecords {
  readonly #folder: string

  /** @param folder the one that files are delivered to */
  constructor(folder: string) {
    this.#folder = join(folder, inboxFolderName, 'received')
  }

  /** Whether a transfer is too old to be told from one that was received and has been forgotten. */
  static isForgotten(transferId: string): boolean {
    return transferTimeMs(transferId) < Date.now() - TRANSFER_AGE_MS_MAX
  }

  read(transferId: string): Promise<CommitRecord | null> {
    return readRecord(this.#pathOf(transferId))
  }

  /** Takes over a record from beside the unfinished content. One that has gone from there is here already. */
  async take(transferId: string, path: string): Promise<void> {
    const remembered = this.#pathOf(transferId)
    if (!isThere(dirname(remembered))) await makeFolder(dirname(remembered))
    try {
      await rename(path, remembered)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  /** Forgets the months of which nothing is taken any more. */
  async forgetOld(): Promise<void> {
    for (const month of await readdir(this.#folder).catch(noneIfNoFolder)) {
      const [, year, number] = MONTH_FOLDER.exec(month) ?? []
      if (year === undefined || number === undefined) continue
      const endMs = Date.UTC(
        Number(year) + Math.floor(Number(number) / MONTHS_PER_YEAR),
        Number(number) % MONTHS_PER_YEAR,
      )
      if (endMs < Date.now() - TRANSFER_AGE_MS_MAX)
        await rm(join(this.#folder, month), { recursive: true, force: true })
    }
  }

  #pathOf(transferId: string): string {
    const [year = '', month = ''] = new Date(transferTimeMs(transferId)).toISOString().split('-')
    return join(this.#folder, `${year}-${month}`, transferId)
  }
}

function noneIfNoFolder(error: unknown): string[] {
  if (hasCode(error, 'ENOENT')) return []
  throw error
}
