/**
 * Commit records: which transfer has which name in the folder. A record is written before the name appears and kept for months.
 *
 * A record begins beside the unfinished content. Once the portal has confirmed the answer, one rename moves it to the remembered
 * records: a portal that offers an old transfer again gets the old answer, and nothing is delivered twice. A record means the
 * same in both places, so a crash may leave it in either.
 *
 * Remembered records lie in one folder per month, by the time in the transferId, which the sender signed. So a whole month is
 * forgotten at once. A file beside them has the time since which everything is remembered (`memory.ts`); older transfers are
 * not accepted.
 */
import { readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasCode, isThere, makeOwnFolder, readTextOrNull, replaceFile, requireOwnFolder } from '../fs/index.ts'
import { Problem, transferTimeMs } from '../protocol/index.ts'
import { type CommitRecord, commitRecordOf } from './inbox.ts'
import { type Clocks, rememberedSinceMs } from './memory.ts'
import { inboxFolderName } from './names.ts'
import { writeProblem } from './node-write-problem.ts'

/** `2026-11`. Years with more digits, which come from a wrong clock, have a plus in front (ECMA-262). */
const MONTH_FOLDER = /^(\d{4}|\+\d{6})-(\d{2})$/
const sinceFileName = 'since'

/** @returns null when there is none */
export async function readRecord(path: string): Promise<CommitRecord | null> {
  const text = await readTextOrNull(path)
  if (text === null) return null
  try {
    return commitRecordOf(JSON.parse(text))
  } catch (cause) {
    // Records are replaced as a whole, so this is not a torn one: another program wrote it.
    throw new Problem('write-failed', { detail: 'a commit record of the receiver cannot be read' }, { cause })
  }
}

/** The record as the text of its file. */
export function recordText(record: CommitRecord): string {
  return `${JSON.stringify(record)}\n`
}

/** The records of transfers whose answer the portal has confirmed. */
export class ReceivedRecords {
  readonly #folder: string

  /** @param folder the folder that files are delivered to */
  constructor(folder: string) {
    this.#folder = join(folder, inboxFolderName, 'received')
  }

  read(transferId: string): Promise<CommitRecord | null> {
    return readRecord(this.#pathOf(transferId))
  }

  /** Moves a record here from beside the unfinished content. If it is not there any more, it was moved before. */
  async take(transferId: string, path: string): Promise<void> {
    const remembered = this.#pathOf(transferId)
    if (!isThere(dirname(remembered))) {
      await makeOwnFolder(this.#folder, { withParents: false })
      await makeOwnFolder(dirname(remembered), { withParents: false })
    }
    try {
      await rename(path, remembered)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  /** @throws Problem `folder-unavailable` when the folder of records is a symbolic link or anything else than a folder */
  requireOwn(): void {
    if (isThere(this.#folder)) requireOwnFolder(this.#folder)
  }

  /**
   * Forgets the months whose transfers are too old to be accepted.
   *
   * @returns the time since which everything is remembered
   */
  async forget(clocks: Clocks, newestElsewhereMs: number | null = null): Promise<number> {
    this.requireOwn()
    const months = (await readdir(this.#folder).catch(noneIfNoFolder)).flatMap((name) => monthOf(name) ?? [])
    const times = [...months.map(({ startMs }) => startMs), ...(newestElsewhereMs === null ? [] : [newestElsewhereMs])]
    const newestMs = times.length === 0 ? null : Math.max(...times)
    const knownMs = await this.#readSince()
    const sinceMs = rememberedSinceMs(knownMs, newestMs, clocks)
    if (sinceMs !== knownMs && !(await this.#writeSince(sinceMs))) return knownMs ?? sinceMs
    for (const { name, endMs } of months) {
      if (endMs <= sinceMs) await rm(join(this.#folder, name), { recursive: true, force: true })
    }
    return sinceMs
  }

  /** @returns null when the file has never been written or cannot be parsed; it is written again then */
  async #readSince(): Promise<number | null> {
    const sinceMs = Date.parse((await readTextOrNull(join(this.#folder, sinceFileName)))?.trim() ?? '')
    return Number.isNaN(sinceMs) ? null : sinceMs
  }

  /** Writes the time durably. @returns false when the folder cannot be written: then nothing is forgotten */
  async #writeSince(sinceMs: number): Promise<boolean> {
    try {
      if (!isThere(this.#folder)) await makeOwnFolder(this.#folder, { withParents: false })
      await replaceFile(join(this.#folder, sinceFileName), `${new Date(sinceMs).toISOString()}\n`)
      return true
    } catch (error) {
      if (writeProblem(error) === null) throw error
      return false
    }
  }

  #pathOf(transferId: string): string {
    const [month = ''] = /^.+?-\d\d/.exec(new Date(transferTimeMs(transferId)).toISOString()) ?? []
    return join(this.#folder, month, transferId)
  }
}

function monthOf(name: string): { name: string; startMs: number; endMs: number } | null {
  const [, year, number] = MONTH_FOLDER.exec(name) ?? []
  if (year === undefined || number === undefined) return null
  const month = Number(number)
  return { name, startMs: Date.UTC(Number(year), month - 1), endMs: Date.UTC(Number(year), month) }
}

function noneIfNoFolder(error: unknown): string[] {
  if (hasCode(error, 'ENOENT')) return []
  throw error
}
