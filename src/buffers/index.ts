/**
 * Memory for streaming content, which is reused or freed at once. The memory of buffers lies outside of the heap, where only a full
 * garbage collection frees it, and streaming content would cause one full collection after another.
 *
 * Each buffer of content has one owner, and the last owner calls `releaseBuffer`. The garbage collector frees a buffer that is not
 * released; nothing else depends on the call.
 */

export { stopYoungGenerationGrowth } from './young-generation.ts'

/** Large enough for few system calls, and small enough to stay in the processor's cache until the content is hashed and written. */
const SLAB_BYTES = 1024 * 1024
/** How many free slabs are kept for reuse: two parts of the default size. */
const IDLE_SLABS_MAX = 16

/** Bytes of a slab that are never lent, so that no slice covers the whole memory and looks like a buffer with memory of its own. */
const MARGIN_BYTES = 8

const idle: Buffer<ArrayBuffer>[] = []
const lenders = new WeakMap<Uint8Array, Slab>()

/**
 * A block of memory into which content is read slice by slice. It is reused once it is closed and all slices have been released.
 */
export class Slab {
  readonly #bytes = idle.pop() ?? Buffer.from(new ArrayBuffer(SLAB_BYTES + MARGIN_BYTES), 0, SLAB_BYTES)
  #usedBytes = 0
  #lentCount = 0
  #isClosed = false

  /** The free part, for the next bytes. */
  get free(): Buffer<ArrayBuffer> {
    return this.#bytes.subarray(this.#usedBytes)
  }

  /** Lends the bytes that have just been read into `free`. They belong to the caller until `releaseBuffer`. */
  lend(byteCount: number): Buffer<ArrayBuffer> {
    if (this.#isClosed) throw new Error('the slab is closed')
    const slice = this.#bytes.subarray(this.#usedBytes, this.#usedBytes + byteCount)
    if (slice.length !== byteCount) throw new Error('the slab is shorter than that')
    this.#usedBytes += byteCount
    this.#lentCount++
    lenders.set(slice, this)
    return slice
  }

  /** Called when no more bytes will be read into the slab. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#reuse()
  }

  /** @param slice the same object that `lend` returned */
  released(slice: Uint8Array): void {
    // A second call for the same slice does nothing, because the memory may be in use again.
    if (!lenders.delete(slice)) return
    this.#lentCount--
    this.#reuse()
  }

  #reuse(): void {
    if (!this.#isClosed || this.#lentCount > 0) return
    if (idle.length < IDLE_SLABS_MAX) idle.push(this.#bytes)
    else this.#bytes.buffer.transfer(0)
  }
}

/** With less free memory than this a new slab is used, because small reads would be many. */
const FREE_BYTES_MIN = 64 * 1024

/** Memory for content of a known length that is read in several reads: one slab after another. */
export class Slabs {
  #leftBytes: number
  #slab: Slab | null = null

  constructor(lengthBytes: number) {
    this.#leftBytes = lengthBytes
  }

  /** How many bytes are still to come. */
  get leftBytes(): number {
    return this.#leftBytes
  }

  /** Memory for the next bytes, at most as many as are still to come. */
  get target(): Buffer<ArrayBuffer> {
    const isTooSmall = this.#slab !== null && this.#slab.free.length < Math.min(FREE_BYTES_MIN, this.#leftBytes)
    if (isTooSmall) this.#slab?.close()
    if (isTooSmall || this.#slab === null) this.#slab = new Slab()
    return this.#slab.free.subarray(0, this.#leftBytes)
  }

  /** Lends the bytes that have just been read into `target`. They belong to the caller until `releaseBuffer`. */
  lend(byteCount: number): Buffer<ArrayBuffer> {
    if (this.#slab === null) throw new Error('nothing was asked for')
    this.skip(byteCount)
    return this.#slab.lend(byteCount)
  }

  /** Notes bytes that were read into other memory. */
  skip(byteCount: number): void {
    this.#leftBytes -= byteCount
  }

  /** Called when no more bytes will be read. */
  close(): void {
    this.#slab?.close()
    this.#slab = null
  }
}

/**
 * Releases the memory of a buffer to its slab, or frees it at once. Nothing may use the buffer afterwards. The memory of a buffer that
 * is shared in another way is not freed.
 */
export function releaseBuffer(bytes: Uint8Array): void {
  const slab = lenders.get(bytes)
  if (slab !== undefined) slab.released(bytes)
  else if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength === bytes.byteLength) bytes.buffer.transfer(0)
}
