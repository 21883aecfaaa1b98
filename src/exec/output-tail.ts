/** The last lines of a command's output. The rest is read and forgotten, so that a command may write any amount. */
import { printable } from '../protocol/index.ts'

const TAIL_BYTES_MAX = 4096
const TAIL_LINES_MAX = 20

export class OutputTail {
  #tail: Buffer = Buffer.alloc(0)
  #isCut = false

  add(bytes: Buffer): void {
    const all = Buffer.concat([this.#tail, bytes.subarray(Math.max(0, bytes.length - TAIL_BYTES_MAX))])
    this.#isCut ||= bytes.length > TAIL_BYTES_MAX || all.length > TAIL_BYTES_MAX
    this.#tail = all.subarray(Math.max(0, all.length - TAIL_BYTES_MAX))
  }

  /** Lines without blank ones, safe for a terminal. Of a longer output the first may be the end of a line. */
  get lines(): string[] {
    let start = 0
    // Not from within a character of UTF-8.
    if (this.#isCut) while (start < 3 && ((this.#tail[start] ?? 0) & 0xc0) === 0x80) start++
    const lines = this.#tail
      .subarray(start)
      .toString('utf8')
      .split(/\r?\n|\r/)
    return lines
      .map((line) => printable(line.replaceAll('\t', ' ').trimEnd()))
      .filter((line) => line !== '')
      .slice(-TAIL_LINES_MAX)
  }
}
