/**
 * What can be read only once, and in order: standard input, FIFOs, process substitution, files of which the system does not say how
 * long they are, and the streams of a program.
 */
import { closeSync, constants, open as openCallback, openSync, statSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { isatty } from 'node:tty'
import { promisify } from 'node:util'
import { fileErrorText } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { fileContent, isPipe, PipeContent } from './node-descriptor.ts'

/** The content of a stream. Text counts as UTF-8. What came is used before more is asked for. */
export type StreamContent = AsyncIterable<Uint8Array | string>

/** A stream that may be sent. */
export interface StreamInput {
  /** How the caller and people know the stream. */
  readonly path: string
  /** The name for the receiver. */
  readonly name: string
  /** Opens it, once. @throws Problem `source-unreadable`; the reason of the signal */
  open(signal: AbortSignal): Promise<StreamContent>
}

/**
 * The stream of a program. Call it as soon as there is the stream: when a child process ends, Node discards what its output still holds,
 * also if the output is paused, unless a listener for 'readable' waits.
 */
export function programStream(content: StreamContent, name: string, path = name): StreamInput {
  if (content instanceof Readable) content.on('readable', () => {})
  return { path, name, open: async () => content }
}

/** Standard input, from where it stands. It is opened when it is read: an open pipe would keep the process alive. */
export function standardInput(): StreamContent {
  if (isatty(STDIN)) return process.stdin
  const open = () => (isPipe(STDIN) ? new PipeContent(STDIN) : fileContent(STDIN))
  return { [Symbol.asyncIterator]: open }
}

/** Whether a path leads to a FIFO, for instance to a process substitution of a shell. */
export function isFifo(path: string): boolean {
  try {
    return statSync(path).isFIFO()
  } catch {
    // `open` reports the error.
    return false
  }
}

/** A FIFO. Opening it waits for a program that writes into it. */
export function fifoStream(path: string, name = basename(resolve(path))): StreamInput {
  const open = async (signal: AbortSignal): Promise<StreamContent> => {
    const release = (): void => releaseReader(path)
    signal.addEventListener('abort', release, { once: true })
    try {
      signal.throwIfAborted()
      // Not by a handle, which closes the descriptor that is read from.
      const content = new PipeContent(await openDescriptor(path, constants.O_RDONLY))
      if (signal.aborted) void content.return()
      return content
    } catch (error) {
      throw unreadable(path, error)
    } finally {
      signal.removeEventListener('abort', release)
      signal.throwIfAborted()
    }
  }
  return { path, name, open }
}

/** A file of unknown length, for instance a long one in /proc. */
export function unsizedFileStream(path: string, location: string | Buffer, name: string): StreamInput {
  const content = async function* (): AsyncGenerator<Uint8Array> {
    await using handle = await openFile(location)
    yield* fileContent(handle.fd)
  }
  return { path, name, open: async () => content() }
}

const STDIN = 0
const openDescriptor = promisify(openCallback)

/** Ends a wait for a program that writes: opening the other end wakes the thread that waits. */
function releaseReader(path: string): void {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK))
  } catch {
    // Nothing waits at the FIFO any more.
  }
}

/** Reads a stream into buffers of the caller's. */
export class StreamReader {
  readonly #path: string
  readonly #content: StreamContent
  readonly #iterator: AsyncIterator<Uint8Array | string>
  #unread: Uint8Array = new Uint8Array()
  #isOver = false

  constructor(path: string, content: StreamContent) {
    this.#path = path
    this.#content = content
    this.#iterator = content[Symbol.asyncIterator]()
  }

  /** Fills `target` as far as the stream goes. @returns the bytes read. @throws Problem `source-unreadable` */
  async fill(target: Uint8Array): Promise<number> {
    let filledBytes = 0
    while (filledBytes < target.length && !(await this.isAtEnd())) {
      const bytes = this.#unread.subarray(0, target.length - filledBytes)
      target.set(bytes, filledBytes)
      filledBytes += bytes.length
      this.#unread = this.#unread.subarray(bytes.length)
    }
    return filledBytes
  }

  /** Waits for the next byte, or for the end. @throws Problem `source-unreadable` */
  async isAtEnd(): Promise<boolean> {
    while (!this.#isOver && this.#unread.length === 0) {
      const next = await this.#iterator.next().catch((error: unknown) => {
        throw unreadable(this.#path, error)
      })
      if (next.done === true) this.#isOver = true
      else this.#unread = bytesOf(this.#path, next.value)
    }
    return this.#isOver
  }

  /** Ends the reading, so that the program that writes notices. */
  stop(): void {
    if (this.#content instanceof Readable) {
      this.#content.once('error', () => {})
      this.#content.destroy()
      return
    }
    this.#iterator.return?.().catch(() => {})
  }
}

function bytesOf(path: string, given: unknown): Uint8Array {
  if (given instanceof Uint8Array) return given
  if (typeof given === 'string') return Buffer.from(given)
  throw new Problem('source-unreadable', { path, detail: `${path} gives something that is neither bytes nor text` })
}

function unreadable(path: string, cause: unknown): unknown {
  if (cause instanceof Problem || !(cause instanceof Error)) return cause
  return new Problem('source-unreadable', { path, detail: fileErrorText(path, cause) }, { cause })
}
