/**
 * What was sealed under a content key: the digest of every sealed part, on disk before the part leaves this machine.
 *
 * The promise: one key never seals two different contents of the same part. AES-GCM gives away both if it does. The size
 * and times of a file are no proof that it is unchanged; this record is. Sealing the same content again gives the same
 * digest, and whatever gives another one is not sent: it needs another key, which means another transfer.
 *
 * The file has one slot of fixed length per part, filled in place, so that making an entry durable costs no change of the
 * file system's own records.
 */
import { Buffer } from 'node:buffer'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hasCode, makeFolder, syncFolder } from '../hop/index.ts'
import { fromHex } from '../protocol/index.ts'

const EMPTY_BYTE = 0

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
  readonly #handle: FileHandle | null
  readonly #slots: Buffer
  readonly #slotBytes: number
  readonly #isComplete: boolean

  private constructor(handle: FileHandle | null, slots: Buffer, slotBytes: number, isComplete: boolean) {
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
   */
  static async open(
    path: string,
    { partCount, digestBytes }: RecordLayout,
    onlyPartDigest: string | null,
  ): Promise<SealRecord> {
    const slots = Buffer.alloc(partCount * digestBytes, EMPTY_BYTE)
    if (partCount <= 1) {
      if (onlyPartDigest !== null) slots.set(fromHex(onlyPartDigest))
      return new SealRecord(null, slots, digestBytes, partCount === 0 || onlyPartDigest !== null)
    }
    const handle = await openExisting(path)
    if (handle === null) return new SealRecord(null, slots, digestBytes, false)
    const { bytesRead } = await handle.read(slots, 0, slots.length, 0)
    return new SealRecord(handle, slots, digestBytes, bytesRead === slots.length)
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
    if (slot.equals(sealed)) return
    if (slot.some((byte) => byte !== EMPTY_BYTE)) {
      throw new SealedOtherwise(`part ${partNumber} was sealed with other content`)
    }
    await this.#handle?.write(sealed, 0, sealed.length, startByte)
    await this.#handle?.datasync()
    // Only now: after a write that failed, the next try must write again.
    slot.set(sealed)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close()
  }
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
