/** A portal as a real process. */
import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { end, residentBytesOf, startBackground, type Usage, usageOf } from './processes.ts'

/** The command line of GoLooader. */
export const program = fileURLToPath(new URL('../bin/golooader.js', import.meta.url))

export class PortalProcess implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(url: string, child: ChildProcess) {
    this.url = url
    this.#child = child
  }

  /** Starts the portal of a data folder on a free port of the loopback. When it resolves, it serves. */
  static async start(dataFolder: string, args: readonly string[] = []): Promise<PortalProcess> {
    const command = ['portal', '--listen', '127.0.0.1:0', '--data', dataFolder, '--log-level', 'silent', ...args]
    const child = await startBackground('listening', process.execPath, [program, ...command])
    const url = (await readFile(join(dataFolder, 'address'), 'utf8')).trim()
    return new PortalProcess(url, child)
  }

  /** What it has used so far. */
  usage(): Promise<Usage> {
    return usageOf(this.#child.pid)
  }

  /** What it holds in memory now. */
  residentBytes(): Promise<number> {
    return residentBytesOf(this.#child.pid)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return end(this.#child)
  }
}
