/**
 * Where a part lies until S3 has it: it may have to be sent more than once. Memory first, as much as all parts of the
 * process may take together; what goes beyond that is written to a file without a name, which is gone with the process.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { release } from '../../../hop/index.ts'
import { writeAll } from '../../../hop/node.ts'
import { Problem } from '../../../protocol/index.ts'

/** Memory is given to parts by so much: few writes for a large part, little waste for a small one. */
const SLAB_BYTES = 256 * 1024
/** So much is kept between parts: memory that is new costs more than to fill it. */
const IDLE_SLABS_MAX = 64
const READ_BYTES = 1024 * 1024

export interface SpoolOptions {
  /** What all parts may take of memory, rounded down to slabs. */
  readonly bytesMax: number
  /** For what goes beyond. It has to exist. */
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

  /** Memory for as much as a slab; null when all of it is taken. */
  take(): Buffer | null {
    if (this.#slabsLeft === 0) return null
    this.#slabsLeft--
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES)
  }

  give(slab: Buffer): void {
    this.#slabsLeft++
    if (this.#idle.length < IDLE_SLABS_MAX) this.#idle.push(slab)
    else release(slab)
  }

  /** @throws Problem `unavailable` when there can be none */
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
    for (const slab of this.#idle.splice(0)) release(slab)
  }
}

/** One part. `discard` ends it, whatever became of it. */
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

  /** Appends copies: the buffers are the caller's again. @throws Problem `unavailable` when this machine has no room */
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

  /** All that was written, from its beginning. Can be asked for again. */
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

  /** @returns how many of the bytes there was memory for */
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

async function* both(held: readonly Buffer[], file: FileHandle): AsyncGenerator<Buffer> {
  yield* held
  yield* file.createReadStream({ start: 0, autoClose: false, highWaterMark: READ_BYTES })
}

/** Nothing is wrong with the storage: another portal, or this one later, can take the part. */
function cannotSpool(cause: unknown): Problem {
  return new Problem('unavailable', { detail: 'the portal has no room to hold a part until it is stored' }, { cause })
}
