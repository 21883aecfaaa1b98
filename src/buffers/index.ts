/**
 * Memory for streaming content, which is reused or freed at once. The memory of buffers lies outside of the heap, where only a full
 * garbage collection frees it, and streaming content would cause one full collection after another.
 *
 * Each buffer of content has one owner, and the last owner calls `releaseBuffer`. The garbage collector frees a buffer that is not
 * released; nothing else depends on the call.
 */

/** Large enough for few system calls, and small enough to stay in the processor's cache until the content is hashed and written. */
const SLAB_BYTES = 512 * 1024
/** How many free slabs are kept for reuse. */
const IDLE_SLABS_MAX = 32

/** Bytes of a slab that are never lent, so that no slice covers the whole memory and looks like a buffer with memory of its own. */
const MARGIN_BYTES = 8

const idle: Uint8Array<ArrayBuffer>[] = []
const lenders = new WeakMap<Uint8Array, Slab>()

/**
 * A block of memory into which content is read slice by slice. It is reused once it is closed and all slices have been released.
 */
export class Slab {
  readonly #bytes = idle.pop() ?? new Uint8Array(new ArrayBuffer(SLAB_BYTES + MARGIN_BYTES), 0, SLAB_BYTES)
  #usedBytes = 0
  #lentCount = 0
  #isClosed = false

  /** The free part, for the next bytes. */
  get free(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#usedBytes)
  }

  /** Lends the bytes that have just been read into `free`. They belong to the caller until `releaseBuffer`. */
  lend(byteCount: number): Uint8Array<ArrayBuffer> {
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

/**
 * Releases the memory of a buffer to its slab, or frees it at once. Nothing may use the buffer afterwards. The memory of a buffer that
 * is shared in another way is not freed.
 */
export function releaseBuffer(bytes: Uint8Array): void {
  const slab = lenders.get(bytes)
  if (slab !== undefined) slab.released(bytes)
  else if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength === bytes.byteLength) bytes.buffer.transfer(0)
}
