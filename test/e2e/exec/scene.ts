/** Commands of `--exec` that note what they do, and wait for the test. */
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import type { JsonLine, Running } from '../harness/world.ts'
import { until, type World } from '../harness/world.ts'

/** One line for each run: `begin NAME`, and `end NAME` if it came to that. */
export class Notes {
  readonly path: string
  readonly #gate: string

  constructor(world: World) {
    this.path = world.path('notes')
    this.#gate = world.path('gate')
  }

  /** A command that notes its begin, does something, and notes its end. @param act for the shell; its failure is that of the command */
  command(act = ':'): string {
    const name = '"$(basename "$GOLOOADER_EXEC_PATH")"'
    return `echo begin ${name} >> '${this.path}'; ${act}; code=$?; [ $code = 0 ] && echo end ${name} >> '${this.path}'; exit $code`
  }

  /** For the shell: waits until {@link open} is called. */
  get waits(): string {
    return `while [ ! -e '${this.#gate}' ]; do sleep 0.05; done`
  }

  async open(): Promise<void> {
    await writeFile(this.#gate, '')
  }

  get lines(): string[] {
    return existsSync(this.path) ? readFileSync(this.path, 'utf8').trimEnd().split('\n') : []
  }

  async has(line: string, count = 1): Promise<void> {
    await until(() => this.lines.filter((one) => one === line).length === count, `${line}: ${this.lines.join(', ')}`)
  }
}

/** What a receiver reported about its commands. */
export function commandsOf(receiver: Running): JsonLine[] {
  return receiver.json.filter(({ type }) => type === 'command')
}

export function commandEnded(receiver: Running): Promise<JsonLine> {
  return receiver.object(({ type }) => type === 'command')
}

/** Whether a process runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A zombie has ended, too.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
