/**
 * Durable records of what is to be done with files (`handling.ts`): one small file for each transfer, in the receiver's own folder.
 *
 * A record is written before the file gets its name. It says whether something has to decide first that the file stays (`isUndecided`), and
 * whether something is to be done with it afterwards (`isToHandle`). It is removed when neither is left and the portal has confirmed the
 * answer: until then it keeps the same from being done again when the file is offered again.
 *
 * A file whose record is undecided has not been answered, because the record changes durably before the answer. Only such a file may be
 * taken out of the folder again.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Static } from 'typebox'
import * as Type from 'typebox'
import { hasCode, lstatOrNull, makeOwnFolder, placeFile, readTextOrNull, removeFile, syncFolder } from '../fs/index.ts'
import { conforms, isTransferId, Problem } from '../protocol/index.ts'
import type { HandledAbout } from './handling.ts'

const FOLDER_NAME = 'handling'

/** Tells a file from another one of the same name. */
export interface ContentIdentity {
  readonly inode: string
  /** Nanoseconds since 1970; null where the file system does not keep it. */
  readonly bornNs: string | null
  readonly mtimeNs: string
  readonly sizeBytes: string
}

export interface HandlingState {
  readonly isUndecided: boolean
  readonly isToHandle: boolean
}

export interface HandlingRecord extends HandlingState {
  /** Records of a lower number are older. */
  readonly sequence: number
  /** Null where the content was not there. */
  readonly identity: ContentIdentity | null
  readonly about: HandledAbout
}

/** What decides. The rest of a record is only passed on. */
const RecordForm = Type.Object({
  sequence: Type.Integer({ minimum: 1 }),
  isUndecided: Type.Boolean(),
  isToHandle: Type.Boolean(),
  about: Type.Object({ transferId: Type.String(), from: Type.String(), name: Type.String() }),
})

/** What is held in memory of a record. */
interface KnownRecord extends HandlingState {
  readonly sequence: number
  readonly isAnswered: boolean
}

export class HandlingRecords {
  readonly #folder: string
  /** In the order of their numbers. */
  readonly #known: Map<string, KnownRecord>
  #sequenceLast: number

  private constructor(own: string, known: Map<string, KnownRecord>) {
    this.#folder = join(own, FOLDER_NAME)
    this.#known = known
    this.#sequenceLast = Math.max(0, ...[...known.values()].slice(-1).map(({ sequence }) => sequence))
  }

  /** Reads what earlier runs have left. @param own the receiver's own folder. @throws errors of the file system */
  static async load(own: string): Promise<HandlingRecords> {
    const folder = join(own, FOLDER_NAME)
    const found: [string, KnownRecord][] = []
    for (const name of await readdir(folder).catch(noneIfNoFolder)) {
      // What a killed run left of `placeFile`.
      if (name.startsWith('.')) await removeFile(join(folder, name))
      const record = isTransferId(name) ? await readRecord(join(folder, name)) : null
      if (record === null) continue
      const { isUndecided, isToHandle, sequence } = record
      found.push([name, { isUndecided, isToHandle, sequence, isAnswered: false }])
    }
    found.sort(([, a], [, b]) => a.sequence - b.sequence)
    return new HandlingRecords(own, new Map(found))
  }

  /** The transfers with a record, oldest first. */
  get transferIds(): string[] {
    return [...this.#known.keys()]
  }

  /** The transfers for whose files nothing has decided yet. */
  get undecided(): string[] {
    return this.transferIds.filter((id) => this.stateOf(id)?.isUndecided === true)
  }

  /** Null where there is no record. */
  stateOf(transferId: string): HandlingState | null {
    return this.#known.get(transferId) ?? null
  }

  /** Writes a record, or what changes of one that is undecided. It is durable when this resolves. */
  async begin(about: HandledAbout, identity: ContentIdentity | null, state: HandlingState): Promise<void> {
    const known = this.#known.get(about.transferId)
    if (known !== undefined && (!known.isUndecided || isSameState(known, state))) return
    const sequence = known?.sequence ?? ++this.#sequenceLast
    await makeOwnFolder(this.#folder, { withParents: false })
    await this.#write({ ...state, sequence, identity, about })
    await syncFolder(this.#folder)
    this.#known.set(about.transferId, { ...state, sequence, isAnswered: false })
  }

  /** @returns null where there is no record */
  read(transferId: string): Promise<HandlingRecord | null> {
    return readRecord(this.#pathOf(transferId))
  }

  /** The file stays in the folder. Durable when this resolves, so that the answer may follow. */
  async decided(transferId: string): Promise<void> {
    if (this.stateOf(transferId)?.isUndecided !== true) return
    await this.#change(transferId, { isUndecided: false })
    await syncFolder(this.#folder)
  }

  /** Everything is done with the file. A loss of power may forget that. */
  async handled(transferId: string): Promise<void> {
    if (this.stateOf(transferId) !== null) await this.#change(transferId, { isToHandle: false })
  }

  /** The portal has confirmed the answer. */
  async answered(transferId: string): Promise<void> {
    const known = this.#known.get(transferId)
    if (known === undefined) return
    this.#known.set(transferId, { ...known, isUndecided: false, isAnswered: true })
    if (!known.isToHandle) await this.remove(transferId)
  }

  async remove(transferId: string): Promise<void> {
    if (!this.#known.delete(transferId)) return
    await removeFile(this.#pathOf(transferId))
  }

  /** While this writes, the portal may confirm the answer, and the record may be removed. */
  async #change(transferId: string, change: Partial<HandlingState>): Promise<void> {
    const record = await this.read(transferId)
    if (record !== null) await this.#write({ ...record, ...change })
    const known = this.#known.get(transferId)
    if (known === undefined) return await removeFile(this.#pathOf(transferId))
    this.#known.set(transferId, { ...known, ...change })
    if (known.isAnswered && change.isToHandle === false) await this.remove(transferId)
  }

  async #write(record: HandlingRecord): Promise<void> {
    await placeFile(this.#pathOf(record.about.transferId), `${JSON.stringify(record)}\n`)
  }

  #pathOf(transferId: string): string {
    return join(this.#folder, transferId)
  }
}

/** @returns null where nothing of that name is there */
export function contentIdentity(path: string): ContentIdentity | null {
  const stats = lstatOrNull(path)
  if (stats === null) return null
  const { ino, birthtimeNs, mtimeNs, size } = stats
  const bornNs = birthtimeNs > 0n ? String(birthtimeNs) : null
  return { inode: String(ino), bornNs, mtimeNs: String(mtimeNs), sizeBytes: String(size) }
}

/**
 * Whether both are the same file. An inode alone does not say that: it is used again once its file is gone. Some file systems show a time
 * that changes for the time of birth.
 */
export function isSameContent(one: ContentIdentity | null, other: ContentIdentity | null): boolean {
  if (one === null || other === null || one.inode !== other.inode) return false
  if (one.bornNs !== null && one.bornNs === other.bornNs) return true
  return one.mtimeNs === other.mtimeNs && one.sizeBytes === other.sizeBytes
}

function isSameState(one: HandlingState, other: HandlingState): boolean {
  return one.isUndecided === other.isUndecided && one.isToHandle === other.isToHandle
}

/** @throws Problem `write-failed` for a record that another program wrote: they are replaced as a whole, so none is torn */
async function readRecord(path: string): Promise<HandlingRecord | null> {
  const text = await readTextOrNull(path)
  if (text === null) return null
  try {
    const value: unknown = JSON.parse(text)
    if (!conforms(RecordForm, value)) throw new Error('it is not of its form')
    return value as Static<typeof RecordForm> & HandlingRecord
  } catch (cause) {
    const detail = 'a record of what is to be done with a received file cannot be read'
    throw new Problem('write-failed', { detail }, { cause })
  }
}

function noneIfNoFolder(error: unknown): string[] {
  if (hasCode(error, 'ENOENT')) return []
  throw error
}
