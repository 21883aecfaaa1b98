/**
 * All output of commands passes through this file, so that lost output does not count as success:
 *
 * - The device is full or broken: the command does its work, reports on standard error that its output is lost, and ends with
 *   {@link exitCodes.outputLost} instead of 0.
 * - The reader has gone (EPIPE), as in `golooader status | head -1`: no error.
 * - Output that is stored nowhere (the link of an invite) must arrive: {@link StandardOutput.deliver} fails otherwise.
 */
import { createWriteStream, fdatasyncSync, fstatSync, statSync, writeSync } from 'node:fs'
import { devNull } from 'node:os'
import type { Writable } from 'node:stream'
import { hasCode } from '../fs/error-code.ts'
import { textFor } from './terminal.ts'

/** Output could not be written. */
export class OutputLostError extends Error {
  override readonly name = 'OutputLostError'
}

/** Errors when the reader has gone, because it needs no more output. */
const READER_GONE = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED']
/** Errors of devices that cannot be synced. They hold no output back. */
const NOTHING_TO_SYNC = ['EINVAL', 'ENOTSUP', 'ENOSYS', 'EROFS']

/** A stream over a file descriptor, as `process.stdout` is. */
export type OutputStream = NodeJS.WriteStream & { readonly fd: number }

/** Standard output of this process. */
export class StandardOutput {
  readonly stream: OutputStream
  readonly #onLost: (error: Error) => void
  /** Whether this class writes to the descriptor itself: after a partial write to a file, Node's stream would drop the rest. */
  readonly #isDirect: boolean
  readonly #isRegularFile: boolean
  /** Whether the output was closed: Node opens the null device in its place. */
  readonly #isNullDevice: boolean
  #failure: Error | null = null
  #isMidLine = false
  /** Whether text waits in the stream for the end of this turn of the event loop. */
  #isCorked = false

  /** @param onLost called at the first loss, but not when the reader has gone */
  constructor(stream: OutputStream, onLost: (error: Error) => void) {
    this.stream = stream
    this.#onLost = onLost
    const stats = fstatSync(stream.fd)
    this.#isRegularFile = stats.isFile()
    this.#isNullDevice = stats.isCharacterDevice() && stats.rdev === statSync(devNull, { throwIfNoEntry: false })?.rdev
    this.#isDirect = stream.isTTY !== true && (stats.isFile() || stats.isCharacterDevice() || stats.isBlockDevice())
    // Without a listener, Node would end the process at an error of the stream.
    stream.on('error', (error) => this.#fail(error))
  }

  /** Whether output was lost. False when only the reader has gone. */
  get isLost(): boolean {
    return this.#failure !== null && !hasCode(this.#failure, ...READER_GONE)
  }

  /** Prints text. It never throws. */
  write(text: string): void {
    const shown = textFor(this.stream, text)
    if (this.#isDirect) this.#writeDirectly(shown)
    else if (this.#failure === null) {
      this.#cork()
      this.stream.write(shown)
    }
  }

  /** Prints a line. It never throws. */
  line(text: string): void {
    this.write(`${text}\n`)
  }

  /**
   * Prints text that must not be lost.
   *
   * @throws OutputLostError when it cannot be written, also when the reader has gone
   */
  async deliver(text: string): Promise<void> {
    if (this.#isNullDevice) throw new OutputLostError(`it is closed, or ${devNull}`)
    this.write(text)
    await this.flush()
    if (this.#failure !== null) throw new OutputLostError(this.#failure.message, { cause: this.#failure })
  }

  /** Resolves when all output is written or known to be lost. */
  async flush(): Promise<void> {
    if (this.#isRegularFile) this.#sync()
    if (this.#isDirect || this.#failure !== null) return
    this.#uncork()
    await new Promise<void>((resolve) => {
      this.stream.once('error', () => resolve())
      this.stream.write('', (error) => {
        if (error) this.#fail(error)
        resolve()
      })
    })
  }

  /** Makes one system call of all lines of a turn: with many small files each line would cost as much as the rest of its event. */
  #cork(): void {
    if (this.#isCorked) return
    this.#isCorked = true
    this.stream.cork()
    process.nextTick(() => this.#uncork())
  }

  #uncork(): void {
    if (!this.#isCorked) return
    this.#isCorked = false
    this.stream.uncork()
  }

  #writeDirectly(text: string): void {
    // A full disk may have kept the beginning of a line. The next line must not be appended to it.
    const bytes = Buffer.from(this.#isMidLine ? `\n${text}` : text)
    let at = 0
    try {
      while (at < bytes.length) {
        const written = writeSync(this.stream.fd, bytes, at)
        if (written === 0) throw new Error('the device takes nothing')
        at += written
      }
      this.#isMidLine = false
    } catch (error) {
      this.#isMidLine ||= at > 0
      this.#fail(error)
    }
  }

  /** Syncs the file, because some file systems accept a write and find out later that the disk is full. */
  #sync(): void {
    try {
      fdatasyncSync(this.stream.fd)
    } catch (error) {
      if (!hasCode(error, ...NOTHING_TO_SYNC)) this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return
    this.#failure = error instanceof Error ? error : new Error(String(error))
    if (this.isLost) this.#onLost(this.#failure)
  }
}

let standardOutput: StandardOutput | null = null

/** Standard output of this process. A loss is reported on standard error. */
export function output(): StandardOutput {
  standardOutput ??= new StandardOutput(process.stdout, ({ message }) => {
    sayError(
      `golooader: standard output cannot be written (${message}): what this command prints is lost. Its work is not`,
    )
  })
  return standardOutput
}

/**
 * Standard output for the content of a file. Messages go to standard error meanwhile. A regular file gets a stream of its own, which
 * continues after a partial write.
 */
export function contentOutput(): Writable {
  const { fd } = process.stdout
  return fstatSync(fd).isFile() ? createWriteStream('', { fd, autoClose: false }) : process.stdout
}

/** Prints text to standard output. It never throws; a loss changes the exit code. */
export function print(text: string): void {
  output().write(text)
}

/** Warns once that state is temporary, so that the next run cannot resume this one. */
export function warnOfTemporaryState(): void {
  sayError(
    'golooader: warning: this user has no home folder that it may write to, so contacts, journal and receipts end with this command. ' +
      'To resume after an interruption and to keep receipts, set XDG_CONFIG_HOME and XDG_STATE_HOME',
  )
}

/** For a command whose standard output has nothing but a link, so that a script can read it. */
export function linesBesideLink() {
  return { stream: process.stderr as OutputStream, line: sayError, link: (text: string) => output().line(text) }
}

/** Prints a question to standard error, without an end of the line. */
export function sayPrompt(text: string): void {
  process.stderr.write(textFor(process.stderr, text))
}

/** Prints a line to standard error. A loss there cannot be reported anywhere. */
export function sayError(text: string): void {
  process.stderr.write(textFor(process.stderr, `${text}\n`))
}

/** `--verbose`: each request from now on is a line on standard error. */
export async function traceRequests(portalUrl: string): Promise<void> {
  const trace = await import('./request-trace.ts')
  trace.reportRequests(portalUrl, sayError)
}
