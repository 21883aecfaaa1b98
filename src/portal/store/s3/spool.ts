/**
 * Keeps a part until S3 has it, because it may have to be sent more than once. It is kept in memory, within a bound for all parts of
 * the process. The rest is written to an unlinked file, which the system removes when the process ends.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { releaseBuffer } from '../../../buffers/index.ts'
import { writeAll } from '../../../fs/index.ts'
import { Problem } from '../../../protocol/index.ts'

/** Memory is allocated in slabs of this size: few writes for a large part, little waste for a small one. */
const SLAB_BYTES = 256 * 1024
/** How many free slabs are kept, because allocating memory costs more than filling it. */
const IDLE_SLABS_MAX = 64
const READ_BYTES = 1024 * 1024

export interface SpoolOptions {
  /** Memory for all parts, rounded down to slabs. */
  readonly bytesMax: number
  /** The folder for the rest. It must exist. */
  readonly folder: string
}

export class Spool {
  readonly #options: SpoolOptions
  readonly #idle: Buffer[] = []
  #slabsLeft: number

  constructor(options: SpoolOptions) {
    this.#options = options
    this.#slabsLeft = Math.floor(options.bytesMax / SLAB_BYTES)
  }

  open(): SpooledPart {
    return new SpooledPart(this)
  }

  /** A slab; null when all memory is in use. */
  take(): Buffer | null {
    if (this.#slabsLeft === 0) return null
    this.#slabsLeft--
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES)
  }

  give(slab: Buffer): void {
    this.#slabsLeft++
    if (this.#idle.length < IDLE_SLABS_MAX) this.#idle.push(slab)
    else releaseBuffer(slab)
  }

  /** @throws Problem `unavailable` when no file can be made */
  async openFile(): Promise<FileHandle> {
    const path = join(this.#options.folder, `golooader-${randomBytes(8).toString('hex')}.spool`)
    try {
      const handle = await open(path, 'wx+', 0o600)
      await rm(path)
      return handle
    } catch (cause) {
      throw cannotSpool(cause)
    }
  }

  /** Gives idle memory back to the system. */
  close(): void {
    for (const slab of this.#idle.splice(0)) releaseBuffer(slab)
  }
}

/** One part. `discard` ends it, in whatever state it is. */
export class SpooledPart {
  readonly #spool: Spool
  readonly #slabs: Buffer[] = []
  #slabsBytes = 0
  #file: FileHandle | null = null
  #lengthBytes = 0

  constructor(spool: Spool) {
    this.#spool = spool
  }

  get lengthBytes(): number {
    return this.#lengthBytes
  }

  /** Appends copies of the buffers. @throws Problem `unavailable` when this machine has no room */
  async write(buffers: readonly Uint8Array[]): Promise<void> {
    const beyond: Uint8Array[] = []
    for (const bytes of buffers) {
      this.#lengthBytes += bytes.length
      const kept = this.#file === null && beyond.length === 0 ? this.#keep(bytes) : 0
      if (kept < bytes.length) beyond.push(bytes.subarray(kept))
    }
    if (beyond.length === 0) return
    this.#file ??= await this.#spool.openFile()
    try {
      await writeAll(this.#file, beyond, null)
    } catch (cause) {
      throw cannotSpool(cause)
    }
  }

  /** The written content from its beginning. May be called again. */
  content(): Readable {
    const held = this.#slabs.map((slab, index) => slab.subarray(0, this.#slabsBytes - index * SLAB_BYTES))
    return Readable.from(this.#file === null ? held : both(held, this.#file))
  }

  async discard(): Promise<void> {
    for (const slab of this.#slabs.splice(0)) this.#spool.give(slab)
    const file = this.#file
    this.#file = null
    await file?.close()
  }

  /** Copies bytes to memory. @returns how many of them fitted */
  #keep(bytes: Uint8Array): number {
    let kept = 0
    while (kept < bytes.length) {
      const offset = this.#slabsBytes % SLAB_BYTES
      if (this.#slabsBytes === this.#slabs.length * SLAB_BYTES) {
        const slab = this.#spool.take()
        if (slab === null) break
        this.#slabs.push(slab)
      }
      const fitting = bytes.subarray(kept, kept + SLAB_BYTES - offset)
      this.#slabs.at(-1)?.set(fitting, offset)
      kept += fitting.length
      this.#slabsBytes += fitting.length
    }
    return kept
  }
}

/**
 * The content in memory, followed by that in the file. The file is read by position instead of a stream: a stream that is destroyed
 * in the middle closes the file despite `autoClose`, and the content has to be readable again.
 */
async function* both(held: readonly Buffer[], file: FileHandle): AsyncGenerator<Buffer> {
  yield* held
  for (let atByte = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, atByte)
    if (bytesRead === 0) return
    atByte += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** The problem when this machine has no room. It is `unavailable`, because another portal, or this one later, can take the part. */
function cannotSpool(cause: unknown): Problem {
  return new Problem('unavailable', { detail: 'the portal has no room to hold a part until it is stored' }, { cause })
}
