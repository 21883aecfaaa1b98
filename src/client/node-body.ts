/**
 * The body of an answer, read from its socket into reused memory. Each slice has the bytes that the socket had at the time.
 * The reader releases the slices (`src/buffers/`).
 */
import { Readable } from 'node:stream'
import { Slabs } from '../buffers/index.ts'

/** How many slices may wait for the reader. With more, the socket is paused. */
const WAITING_SLICES_MAX = 4

/** The socket that a body comes from. */
export interface BodySource {
  /** The reader has room again. */
  resume(): void
  /** All of the body has arrived. */
  arrived(): void
  /** The reader has given the body up before its end. */
  abandoned(): void
}

export class BulkBody extends Readable {
  readonly #source: BodySource
  readonly #slabs: Slabs
  #isWanted = true

  constructor(lengthBytes: number, source: BodySource) {
    // In object mode slices stay as they are. Otherwise the stream would join them by copying, and the slices would not be released.
    super({ objectMode: true, highWaterMark: WAITING_SLICES_MAX })
    this.#slabs = new Slabs(lengthBytes)
    this.#source = source
    if (lengthBytes === 0) this.#end()
  }

  /** How many bytes are still to come. */
  get leftBytes(): number {
    return this.#slabs.leftBytes
  }

  /** Memory for the next bytes of the socket, at most as many as are still to come. */
  get target(): Uint8Array {
    return this.#slabs.target
  }

  /** Called when bytes have been read into `target`. @returns false to pause until `resume` */
  filled(byteCount: number): boolean {
    this.#isWanted = this.push(this.#slabs.lend(byteCount))
    if (this.leftBytes > 0) return this.#isWanted
    this.#end()
    // The body is complete, so the connection continues for its next reader.
    return true
  }

  /** The connection ended. Does nothing once the whole body has arrived. */
  broke(error: Error): void {
    if (this.leftBytes > 0) this.destroy(error)
  }

  override _read(): void {
    if (this.#isWanted) return
    this.#isWanted = true
    if (this.leftBytes > 0) this.#source.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#slabs.close()
    if (this.leftBytes > 0) this.#source.abandoned()
    done(error)
  }

  #end(): void {
    this.#slabs.close()
    this.push(null)
    this.#source.arrived()
  }
}
