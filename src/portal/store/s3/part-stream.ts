/**
 * The content of a part from S3. When an answer breaks off, the stream continues with a new request from that byte, so that the reader
 * does not notice. The stream breaks only when no byte came for as long as requests are retried.
 */
import { finished, Readable } from 'node:stream'
import { Problem } from '../../../protocol/index.ts'
import type { ObjectContent } from './requests.ts'

/** How many bytes are read ahead of the reader. */
const AHEAD_BYTES = 256 * 1024

export interface PartStreamOptions {
  readonly startByte: number
  readonly retryMs: number
  /** Requests the bytes from `startByte` to the end of the range; null when the object is gone. */
  readonly reopen: (startByte: number, retryMs: number) => Promise<ObjectContent | null>
}

export class PartStream extends Readable {
  readonly #options: PartStreamOptions
  readonly #endByte: number
  #nextByte: number
  /** The current answer; null when it has ended or broken. */
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
    if (this.#body === null) this.#reopen(null)
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
      // A connection may break because its reader is slow. Then the next request waits until the reader wants more.
      else if (this.#isWanted) this.#reopen(cause)
    })
  }

  #reopen(cause: unknown): void {
    this.#askAgain(cause).catch((error: unknown) => this.destroy(error as Error))
  }

  /** @throws Problem `unavailable` when retries have failed, `store-failed` when the object is gone */
  async #askAgain(cause: unknown): Promise<void> {
    const leftMs = this.#movedAtMs + this.#options.retryMs - performance.now()
    if (leftMs <= 0) throw new Problem('unavailable', { detail: 'the S3 storage broke off again and again' }, { cause })
    const content = await this.#options.reopen(this.#nextByte, leftMs)
    if (content === null) throw new Problem('store-failed', { detail: 'the part was removed meanwhile' }, { cause })
    if (this.destroyed) content.body.destroy()
    else this.#follow(content.body)
  }
}
