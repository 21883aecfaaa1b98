/**
 * Reads an open descriptor in order, into one buffer that is used again: what came is valid until more is asked for. Streams of Node
 * make new memory for each read, and a fast pipe fills it faster than it is collected.
 */
import { fstatSync, read } from 'node:fs'
import { Socket } from 'node:net'
import { promisify } from 'node:util'

/** Linux pipes hold 64 KiB, and up to 1 MiB where their writer asks for that. */
const READ_BYTES = 256 * 1024

const readFrom = promisify(read)

/** Whether a descriptor is a pipe or a socket: then the system tells when it can be read, and no thread waits for it. */
export function isPipe(descriptor: number): boolean {
  const stats = fstatSync(descriptor)
  return stats.isFIFO() || stats.isSocket()
}

/** The content of a file, or of a device. Its end leaves the descriptor open. */
export async function* fileContent(descriptor: number): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  for (;;) {
    const { bytesRead } = await readFrom(descriptor, buffer, 0, buffer.length, null)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}

/** The content of a pipe or of a socket. `return` closes the descriptor, so that the program that writes notices. */
export class PipeContent implements AsyncIterableIterator<Uint8Array> {
  readonly #socket: Socket
  /** What came before it was asked for. */
  #arrived: Uint8Array | null = null
  #waiting: PromiseWithResolvers<IteratorResult<Uint8Array>> | null = null
  #error: Error | null = null
  #isOver = false

  constructor(descriptor: number) {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    this.#socket = new Socket({
      ...{ fd: descriptor, readable: true, writable: false },
      onread: { buffer, callback: (byteCount) => this.#came(buffer.subarray(0, byteCount)) },
    })
    this.#socket.once('error', (error) => this.#ended(error))
    this.#socket.once('end', () => this.#ended(null))
    this.#socket.once('close', () => this.#ended(null))
  }

  /** One call at a time. The error of the descriptor is thrown once. */
  next(): Promise<IteratorResult<Uint8Array>> {
    const waiting = Promise.withResolvers<IteratorResult<Uint8Array>>()
    this.#waiting = waiting
    this.#settle()
    if (this.#waiting !== null) this.#socket.resume()
    return waiting.promise
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#socket.destroy()
    this.#ended(null)
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** @returns false: nothing more may come before these bytes were used */
  #came(bytes: Uint8Array): boolean {
    this.#arrived = bytes
    this.#settle()
    return false
  }

  #ended(error: Error | null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#error = error
    this.#settle()
  }

  #settle(): void {
    const waiting = this.#waiting
    if (waiting === null) return
    const [arrived, error] = [this.#arrived, this.#error]
    if (arrived === null && error === null && !this.#isOver) return
    this.#waiting = null
    this.#arrived = null
    if (arrived !== null) waiting.resolve({ done: false, value: arrived })
    else if (error === null) waiting.resolve({ done: true, value: undefined })
    else {
      this.#error = null
      waiting.reject(error)
    }
  }
}
