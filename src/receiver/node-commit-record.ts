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
import { type CommitRecord, commitRecordOf, transferAgeMsMax } from './commit-record.ts'
import { inboxFolderName } from './names.ts'

const MONTHS_PER_YEAR = 12
const MONTH_FOLDER = /^(\d{4,6})-(\d{2})$/

/** @returns null when there is none */
export async function readRecord(path: string): Promise<CommitRecord | null> {
  const text = await readTextOrNull(path)
  if (text === null) return null
  try {
    return commitRecordOf(JSON.parse(text))
  } catch (cause) {
    // A record is replaced as a whole, so this is not half a record: something else wrote it.
    throw new Problem('write-failed', { detail: 'a commit record of the receiver cannot be read' }, { cause })
  }
}

/** As it is written. */
export function recordText(record: CommitRecord): string {
  return `${JSON.stringify(record)}\n`
}

/** The records of transfers that have been answered for. */
export class ReceivedRecords {
  readonly #folder: string

  /** @param folder the one that files are delivered to */
  constructor(folder: string) {
    this.#folder = join(folder, inboxFolderName, 'received')
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
      if (endMs < Date.now() - transferAgeMsMax) await rm(join(this.#folder, month), { recursive: true, force: true })
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
