/**
 * Seal records in the journal's folder. The file has one slot of fixed length per part. Slots are filled in place, so that
 * syncing an entry changes no metadata of the file system. A slot is filled under a lock, and only while it is empty on disk.
 */
import { Buffer } from 'node:buffer'
import { constants, readdirSync } from 'node:fs'
import { type FileHandle, open, readFile, truncate } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  hasCode,
  isOlder,
  isThere,
  makeOwnFolder,
  readTextOrNull,
  removeFile,
  replaceFile,
  syncFolder,
  whenDescriptorsAllow,
  withFolderLock,
} from '../fs/index.ts'
import { fromHex } from '../protocol/index.ts'
import {
  type RecordLayout,
  SealConflictError,
  type SealRecord,
  type SealRecords,
  TransferMovedError,
} from './seal-record.ts'

/** Not zero: data that a file system lost reads as zeros, and must not look like a part that was never sealed. */
const EMPTY_BYTE = 0xff
/** A record, its lock, or a record that was taken out. */
const RECORD_NAME = /^([0-9a-f-]{36})\.sealed(?:\.lock|\.taken)?$/

export class FileSealRecords implements SealRecords {
  readonly #folder: string

  /** @param stateFolder the records lie in its folder `journal`, beside the entries */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'journal')
  }

  async begin(transferId: string, layout: RecordLayout): Promise<void> {
    await makeOwnFolder(this.#folder, { withParents: true })
    await create(this.#pathOf(transferId), emptySlots(layout))
  }

  async open(
    transferId: string,
    layout: RecordLayout,
    held: ReadonlyMap<number, string>,
  ): Promise<FileSealRecord | null> {
    const path = this.#pathOf(transferId)
    const handle = await openExisting(path)
    if (handle === null) {
      if (isThere(takenPath(path))) throw new TransferMovedError()
      return null
    }
    try {
      const slots = emptySlots(layout)
      const { bytesRead } = await handle.read(slots, 0, slots.length, 0)
      // This run relies on entries that another run has just written, so it makes them durable.
      await handle.datasync()
      const { digestBytes } = layout
      const isOnRecord = ([partNumber, digest]: [number, string]): boolean =>
        slots.subarray((partNumber - 1) * digestBytes, partNumber * digestBytes).equals(fromHex(digest))
      if (bytesRead === slots.length && [...held].every(isOnRecord)) {
        return new FileSealRecord(path, handle, slots, digestBytes)
      }
      if (bytesRead === 0 && isThere(takenPath(path))) throw new TransferMovedError()
    } catch (error) {
      await handle.close()
      throw error
    }
    await handle.close()
    return null
  }

  /** The transfers with a record, or what is left of one, that nobody has written to for this time. */
  idle(ageMs: number): string[] {
    const idOf = (name: string): string[] => {
      const [, transferId] = RECORD_NAME.exec(name) ?? []
      return transferId !== undefined && isOlder(join(this.#folder, name), ageMs) ? [transferId] : []
    }
    return [...new Set(readdirSync(this.#folder).flatMap(idOf))]
  }

  async remove(transferId: string): Promise<void> {
    const path = this.#pathOf(transferId)
    await removeFile(path)
    await removeFile(takenPath(path))
    await removeFile(lockPath(path))
  }

  /**
   * Takes the record of a transfer out of use, to be carried to another machine: runs that seal for it fail with `TransferMovedError`
   * from now on. It is kept aside until `remove`, and a repeated call returns the same.
   *
   * @returns the record, base64; null when there is none
   */
  async takeOut(transferId: string): Promise<string | null> {
    const path = this.#pathOf(transferId)
    const taken = takenPath(path)
    if (!isThere(path)) return readTextOrNull(taken)
    await withFolderLock(this.#folder, lockPath(path), async () => {
      const slots = await readFile(path)
      // Empty when a call before was killed at the next step.
      if (slots.length > 0) await replaceFile(taken, slots.toString('base64'))
      // A run that has the file open sees by its length that it was taken.
      await truncate(path, 0)
      await removeFile(path)
    })
    await syncFolder(this.#folder)
    return readTextOrNull(taken)
  }

  /** Puts the record of another machine in its place. Durable when it resolves. @param record of `takeOut` */
  async adopt(transferId: string, record: string): Promise<void> {
    await makeOwnFolder(this.#folder, { withParents: true })
    const path = this.#pathOf(transferId)
    // A call before may have been killed.
    await removeFile(path)
    await create(path, Buffer.from(record, 'base64'))
  }

  #pathOf(transferId: string): string {
    return join(this.#folder, `${transferId}.sealed`)
  }
}

class FileSealRecord implements SealRecord {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #slots: Buffer
  readonly #slotBytes: number

  /** Entries of one run queue here, which is faster than waiting for the lock. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(path: string, handle: FileHandle, slots: Buffer, slotBytes: number) {
    this.#path = path
    this.#handle = handle
    this.#slots = slots
    this.#slotBytes = slotBytes
  }

  async note(partNumber: number, digest: string): Promise<void> {
    const startByte = (partNumber - 1) * this.#slotBytes
    const slot = this.#slots.subarray(startByte, startByte + this.#slotBytes)
    const sealed = fromHex(digest)
    if (isFilledWith(slot, sealed, partNumber)) return
    const entry = this.#last.then(() => this.#fill(slot, sealed, partNumber))
    this.#last = entry.catch(() => {})
    await entry
  }

  async #fill(slot: Buffer, sealed: Uint8Array, partNumber: number): Promise<void> {
    const handle = this.#handle
    const onDisk = Buffer.alloc(slot.length, EMPTY_BYTE)
    const startByte = slot.byteOffset - this.#slots.byteOffset
    await withFolderLock(dirname(this.#path), lockPath(this.#path), async () => {
      const { bytesRead } = await handle.read(onDisk, 0, onDisk.length, startByte)
      if (bytesRead === 0) throw new TransferMovedError()
      if (!isFilledWith(onDisk, sealed, partNumber)) await handle.write(sealed, 0, sealed.length, startByte)
    })
    await handle.datasync()
    // Remembered only after the write: after a failed write the next try must write again.
    slot.set(sealed)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }
}

/** The lock file of a record. It is removed with the record. */
function lockPath(recordPath: string): string {
  return `${recordPath}.lock`
}

/** Where a record is kept that was taken out. */
function takenPath(recordPath: string): string {
  return `${recordPath}.taken`
}

function emptySlots({ partCount, digestBytes }: RecordLayout): Buffer {
  return Buffer.alloc(partCount * digestBytes, EMPTY_BYTE)
}

/** @returns false for an empty slot. @throws SealConflictError when it holds another digest */
function isFilledWith(slot: Buffer, sealed: Uint8Array, partNumber: number): boolean {
  if (slot.equals(sealed)) return true
  if (slot.every((byte) => byte === EMPTY_BYTE)) return false
  throw new SealConflictError(`part ${partNumber} was sealed with other content`)
}

async function create(path: string, slots: Buffer): Promise<void> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
  const handle = await whenDescriptorsAllow(() => open(path, flags, 0o600))
  try {
    await handle.write(slots, 0, slots.length, 0)
    await handle.sync()
    await syncFolder(dirname(path))
  } finally {
    await handle.close()
  }
}

async function openExisting(path: string): Promise<FileHandle | null> {
  try {
    return await whenDescriptorsAllow(() => open(path, constants.O_RDWR))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}
