/**
 * A part on its way out of S3. An answer that breaks off is gone on with from where it broke, so that whoever reads does not
 * notice; only when nothing more came for as long as requests are tried again, the stream breaks, too.
 */
import { finished, Readable } from 'node:stream'
import { Problem } from '../../../protocol/index.ts'
import type { ObjectContent } from './requests.ts'

/** Bytes that are read before anybody wants them. */
const AHEAD_BYTES = 256 * 1024

export interface PartStreamOptions {
  readonly startByte: number
  readonly retryMs: number
  /** Asks for the bytes from one on to the end of the range; null when the object is gone. */
  readonly goOn: (startByte: number, retryMs: number) => Promise<ObjectContent | null>
}

export class PartStream extends Readable {
  readonly #options: PartStreamOptions
  readonly #endByte: number
  #nextByte: number
  /** null when it has ended or broken. */
  #body: Readable | null = null
  /** Whether the reader has room for more. */
  #isWanted = false
  #movedAtMs = performance.now()

  constructor(content: ObjectContent, options: PartStreamOptions) {
    super({ highWaterMark: AHEAD_BYTES })
    this.#options = options
    this.#nextByte = options.startByte
    this.#endByte = options.startByte + content.lengthBytes
    this.#follow(content.body)
  }

  override _read(): void {
    if (this.#isWanted) return
    this.#isWanted = true
    this.#movedAtMs = performance.now()
    if (this.#body === null) this.#goOn(null)
    else this.#body.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#body?.destroy()
    done(error)
  }

  #follow(body: Readable): void {
    this.#body = body
    body.on('data', (bytes: Buffer) => {
      this.#nextByte += bytes.length
      this.#movedAtMs = performance.now()
      this.#isWanted = this.push(bytes)
      if (!this.#isWanted) body.pause()
    })
    if (!this.#isWanted) body.pause()
    finished(body, { writable: false }, (cause) => {
      if (this.destroyed) return
      this.#body = null
      if (this.#nextByte >= this.#endByte) this.push(null)
      // A connection may break because its reader is slow: then there is no hurry to make another.
      else if (this.#isWanted) this.#goOn(cause)
    })
  }

  #goOn(cause: unknown): void {
    this.#askAgain(cause).catch((error: unknown) => this.destroy(error as Error))
  }

  /** @throws Problem `unavailable` when it is of no use any more, `store-failed` when the object has gone */
  async #askAgain(cause: unknown): Promise<void> {
    const leftMs = this.#movedAtMs + this.#options.retryMs - performance.now()
    if (leftMs <= 0) throw new Problem('unavailable', { detail: 'the S3 storage broke off again and again' }, { cause })
    const content = await this.#options.goOn(this.#nextByte, leftMs)
    if (content === null) throw new Problem('store-failed', { detail: 'the part was removed meanwhile' }, { cause })
    if (this.destroyed) content.body.destroy()
    else this.#follow(content.body)
  }
}
