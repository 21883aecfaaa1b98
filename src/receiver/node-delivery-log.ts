/**
 * The log of small files: record and content of each, durable before the file gets its name. Many become durable by one sync, where
 * files of their own would take two each.
 *
 * It is a database of SQLite with a write-ahead log, beside the records of what was answered. Nothing else has it open: its receiver
 * has locked the folder.
 *
 * The content stays until the file itself has been synced under its name. A run that was killed leaves the system with all that it
 * did, so the record and the names tell what happened, as with any file. Where the machine has been started again since, names and
 * content may be lost; then the content is still here (`restore` of the publisher).
 */
import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { bootId, FixedPath, isThere, makeOwnFolder, OnceATurn, removeFile, whenDescriptorsAllow } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { type CommitRecord, commitRecordOf } from './inbox.ts'

/** A file of which the log still has the content. */
export interface LoggedFile {
  readonly record: CommitRecord
  readonly content: Uint8Array
  readonly isAnswered: boolean
}

export interface LoggedRecord {
  readonly record: CommitRecord
  readonly isAnswered: boolean
}

interface Waiting {
  readonly record: CommitRecord
  readonly content: Uint8Array
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

const FILE_NAME = 'small-files.sqlite'
/** How many turns of the event loop a write waits for further files. */
const TURNS_WAITED_MAX = 8
/** The log file shrinks to this size when it can. */
const WAL_BYTES_MAX = 64 * 1024 * 1024
const SCHEMA = `
  create table if not exists deliveries (
    transfer_id text primary key, record text not null, is_answered integer not null, content blob, boot_id text
  ) strict, without rowid;
  create index if not exists with_content on deliveries (transfer_id) where content is not null;
  create index if not exists unanswered on deliveries (transfer_id) where is_answered = 0;
`

export class DeliveryLog implements Disposable {
  readonly #database: DatabaseSync
  readonly #place: FixedPath
  /** Each file asks for this several times. */
  readonly #isThere = new OnceATurn(() => this.#place.assertThereSync())
  readonly #bootId: string
  readonly #statements = new Map<string, StatementSync>()
  #waiting: Waiting[] = []
  readonly #answered = new Set<string>()
  #isScheduled = false

  private constructor(database: DatabaseSync, path: string) {
    this.#database = database
    this.#place = new FixedPath(path, 'the log of small files')
    this.#bootId = bootId()
  }

  /** Whether an earlier run has left one. */
  static isIn(own: string): boolean {
    return statSync(pathIn(own), { throwIfNoEntry: false })?.isFile() === true
  }

  /** @param own the receiver's own folder. @throws Problem `write-failed`, `disk-full`; errors of the file system */
  static async open(own: string): Promise<DeliveryLog> {
    const path = pathIn(own)
    const isNew = !isThere(path)
    try {
      return await DeliveryLog.#open(path)
    } catch (cause) {
      // A log that was just created is empty, and would count as one that cannot be read.
      if (isNew) for (const ending of ['', '-wal', '-journal']) await removeFile(path + ending)
      throw problemOf(cause)
    }
  }

  static async #open(path: string): Promise<DeliveryLog> {
    await makeOwnFolder(dirname(path), { withParents: false })
    // Loaded only here: it takes a while.
    const { DatabaseSync } = await import('node:sqlite')
    const database = await whenDescriptorsAllow(() => new DatabaseSync(path, { timeout: 0 }))
    try {
      // With an exclusive lock SQLite needs no shared-memory file.
      database.exec('pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full')
      database.exec(`pragma temp_store = memory; pragma journal_size_limit = ${WAL_BYTES_MAX}; ${SCHEMA}`)
      return new DeliveryLog(database, path)
    } catch (error) {
      database.close()
      throw error
    }
  }

  /** Whether the file is where it was opened: the folder may have been away meanwhile. */
  get isInPlace(): boolean {
    try {
      this.#isThere.run()
      return true
    } catch (error) {
      if (error instanceof Problem) return false
      throw error
    }
  }

  /** Resolves when record and content survive the loss of power. A record that was there of this transfer is replaced. */
  put(record: CommitRecord, content: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ record, content, resolve, reject })
    this.#schedule()
    return promise
  }

  /** Notes that the portal has confirmed an answer. A crash may forget that: then the answer is given again. */
  answered(transferId: string): void {
    this.#answered.add(transferId)
  }

  /** @returns null when there is none */
  read(transferId: string): LoggedRecord | null {
    const row = this.#run('select record, is_answered from deliveries where transfer_id = ?').get(transferId)
    if (row === undefined) return null
    return { record: recordIn(row), isAnswered: row.is_answered === 1 || this.#answered.has(transferId) }
  }

  /** The transfers whose answers the portal has not confirmed. */
  unanswered(): string[] {
    this.#write(() => {})
    return this.#run('select transfer_id from deliveries where is_answered = 0')
      .all()
      .map((row) => String(row.transfer_id))
  }

  /** The files whose content is still here, of before the machine was started, or of this time. */
  *files(when: 'before' | 'now'): Generator<LoggedFile> {
    const comparison = when === 'now' ? '=' : 'is not'
    const ids = this.#run(
      `select transfer_id from deliveries where content is not null and boot_id ${comparison} ?`,
    ).all(this.#bootId)
    for (const { transfer_id } of ids) {
      const row = this.#run('select record, is_answered, content from deliveries where transfer_id = ?').get(
        String(transfer_id),
      )
      if (row === undefined) continue
      yield { record: recordIn(row), content: row.content as Uint8Array, isAnswered: row.is_answered === 1 }
    }
  }

  /** Lets go of the contents of files that are durable by themselves. */
  settle(transferIds: readonly string[]): void {
    this.#write(() => {
      for (const id of transferIds) this.#run('update deliveries set content = null where transfer_id = ?').run(id)
    })
  }

  /** Removes the record of a transfer that was not published. Durably. */
  remove(transferId: string): void {
    this.#write(() => this.#run('delete from deliveries where transfer_id = ?').run(transferId))
  }

  /** The newest transferId; null where there is none. */
  newest(): string | null {
    const row = this.#run('select max(transfer_id) as id from deliveries').get()
    return typeof row?.id === 'string' ? row.id : null
  }

  /** Forgets what was answered of transfers whose id is lower than this text. */
  forgetBefore(idText: string): void {
    this.#write(() => this.#run('delete from deliveries where transfer_id < ? and content is null').run(idText))
  }

  [Symbol.dispose](): void {
    try {
      if (this.#answered.size > 0 && this.isInPlace) this.#write(() => {})
    } finally {
      this.#database.close()
    }
  }

  /** After everything that this turn of the event loop asks for. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#writeWhenAllCame(this.#waiting.length, TURNS_WAITED_MAX))
  }

  /** Many offers take several reads of the network. While each turn of the event loop brings more, one sync does for all of them. */
  #writeWhenAllCame(knownCount: number, turnsLeft: number): void {
    const count = this.#waiting.length
    if (turnsLeft === 0 || (count === knownCount && turnsLeft < TURNS_WAITED_MAX)) this.#writeWaiting()
    else setImmediate(() => this.#writeWhenAllCame(count, turnsLeft - 1))
  }

  #writeWaiting(): void {
    this.#isScheduled = false
    const batch = this.#waiting
    this.#waiting = []
    try {
      this.#write(() => {
        const insert = this.#run('insert or replace into deliveries values (?, ?, 0, ?, ?)')
        for (const { record, content } of batch) {
          insert.run(record.transferId, JSON.stringify(record), content, this.#bootId)
        }
      })
      for (const { resolve } of batch) resolve()
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  /** Runs one transaction, with the answers that were confirmed meanwhile. */
  #write(act: () => void): void {
    this.#place.assertThereSync()
    const answered = [...this.#answered]
    this.#run('begin immediate').run()
    try {
      const mark = this.#run('update deliveries set is_answered = 1 where transfer_id = ?')
      for (const id of answered) mark.run(id)
      act()
      this.#run('commit').run()
    } catch (error) {
      if (this.#database.isTransaction) this.#run('rollback').run()
      throw error
    }
    for (const id of answered) this.#answered.delete(id)
  }

  #run(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

function pathIn(own: string): string {
  return join(own, 'received', FILE_NAME)
}

function recordIn({ record }: Record<string, unknown>): CommitRecord {
  return commitRecordOf(JSON.parse(String(record)))
}

/** https://sqlite.org/rescode.html: the lower eight bits of a code. */
const SQLITE_KIND_BITS = 0xff
const SQLITE_FULL = 13

function problemOf(cause: unknown): unknown {
  if (!(cause instanceof Error && 'errcode' in cause)) return cause
  const isFull = (Number(cause.errcode) & SQLITE_KIND_BITS) === SQLITE_FULL
  const detail = 'the log of small files of the receiver cannot be used'
  return new Problem(isFull ? 'disk-full' : 'write-failed', { detail }, { cause })
}
