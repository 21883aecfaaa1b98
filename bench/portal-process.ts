/** A portal as a real process. */
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { openLedger } from '../src/portal/index.ts'
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
    const ledger = await openLedger({ dataFolder })
    const url = await ledger.address()
    await ledger.close()
    if (url === null) throw new Error('the portal has not told its address')
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
