/**
 * What was sealed under a content key: the digest of every sealed part, on disk before the part leaves this machine.
 *
 * The promise: one key never seals two different contents of the same part. AES-GCM gives away both if it does. The size
 * and times of a file are no proof that it is unchanged; this record is. Sealing the same content again gives the same
 * digest, and whatever gives another one is not sent: it needs another key, which means another transfer.
 *
 * The file has one slot of fixed length per part, filled in place, so that making an entry durable costs no change of the
 * file system's own records. Several runs of the same command may seal with the same key at the same time, each what it
 * has read of the file: so a slot is filled under a lock, and only while it is empty on disk.
 */
import { Buffer } from 'node:buffer'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hasCode, makeFolder, syncFolder, withFolderLock } from '../hop/node.ts'
import { fromHex } from '../protocol/index.ts'

/** Not zero: what a file system has lost reads as zeros, and must not look like a part that was never sealed. */
const EMPTY_BYTE = 0xff

/** Another content than before was about to be sealed under the same key. */
export class SealedOtherwise extends Error {
  override readonly name = 'SealedOtherwise'
}

/** How many slots there are, and how long each is. */
export interface RecordLayout {
  readonly partCount: number
  readonly digestBytes: number
}

/** To be disposed of. */
export class SealRecord implements AsyncDisposable {
  readonly #path: string
  readonly #handle: FileHandle | null
  readonly #slots: Buffer
  readonly #slotBytes: number
  readonly #isComplete: boolean

  /** Within a run entries take turns: it takes longer to wait for the lock. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(path: string, handle: FileHandle | null, slots: Buffer, slotBytes: number, isComplete: boolean) {
    this.#path = path
    this.#handle = handle
    this.#slots = slots
    this.#slotBytes = slotBytes
    this.#isComplete = isComplete
  }

  /**
   * Begins the record of a transfer that nobody knows of yet. A transfer of a single part needs none: its digest stands in
   * the journal from the beginning, which costs nothing more.
   */
  static async begin(path: string, { partCount, digestBytes }: RecordLayout): Promise<void> {
    if (partCount <= 1) return
    await makeFolder(dirname(path))
    await create(path, Buffer.alloc(partCount * digestBytes, EMPTY_BYTE))
  }

  /**
   * Opens the record of a transfer that is in the journal. Where it has gone, nothing may be sealed any more.
   *
   * @param onlyPartDigest of a transfer of a single part
   * @param held what the portal holds, part number -> digest in hex: a record that lacks any of it is an older copy
   */
  static async open(
    path: string,
    { partCount, digestBytes }: RecordLayout,
    onlyPartDigest: string | null,
    held: ReadonlyMap<number, string>,
  ): Promise<SealRecord> {
    const slots = Buffer.alloc(partCount * digestBytes, EMPTY_BYTE)
    if (partCount <= 1) {
      if (onlyPartDigest !== null) slots.set(fromHex(onlyPartDigest))
      return new SealRecord(path, null, slots, digestBytes, partCount === 0 || onlyPartDigest !== null)
    }
    const handle = await openExisting(path)
    if (handle === null) return new SealRecord(path, null, slots, digestBytes, false)
    const { bytesRead } = await handle.read(slots, 0, slots.length, 0)
    // What another run has just written counts here, so it has to last.
    await handle.datasync()
    const isOnRecord = ([partNumber, digest]: [number, string]): boolean =>
      slots.subarray((partNumber - 1) * digestBytes, partNumber * digestBytes).equals(fromHex(digest))
    const isComplete = bytesRead === slots.length && [...held].every(isOnRecord)
    return new SealRecord(path, handle, slots, digestBytes, isComplete)
  }

  /**
   * Writes down what is about to leave. When it resolves, the entry survives the loss of power.
   *
   * @param digest of the sealed part, in hex
   * @throws SealedOtherwise when that part was sealed with another content, or when that cannot be ruled out
   */
  async note(partNumber: number, digest: string): Promise<void> {
    if (!this.#isComplete) throw new SealedOtherwise('it is not on record what was sealed with this key')
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
    if (handle !== null) {
      const onDisk = Buffer.alloc(slot.length, EMPTY_BYTE)
      const startByte = slot.byteOffset - this.#slots.byteOffset
      await withFolderLock(dirname(this.#path), sealLockPath(this.#path), async () => {
        await handle.read(onDisk, 0, onDisk.length, startByte)
        if (!isFilledWith(onDisk, sealed, partNumber)) await handle.write(sealed, 0, sealed.length, startByte)
      })
      await handle.datasync()
    }
    // Only now: after a write that failed, the next try must write again.
    slot.set(sealed)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close()
  }
}

/** The lock of a record; it goes with it. */
export function sealLockPath(recordPath: string): string {
  return `${recordPath}.lock`
}

/** @returns false for an empty slot. @throws SealedOtherwise when it holds another digest */
function isFilledWith(slot: Buffer, sealed: Uint8Array, partNumber: number): boolean {
  if (slot.equals(sealed)) return true
  if (slot.every((byte) => byte === EMPTY_BYTE)) return false
  throw new SealedOtherwise(`part ${partNumber} was sealed with other content`)
}

async function create(path: string, slots: Buffer): Promise<void> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
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
    return await open(path, constants.O_RDWR)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}
