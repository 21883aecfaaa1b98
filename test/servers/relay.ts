/** A relay that measures what a line carries: `relay.py`, because Node cannot make the buffers of a socket small. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { programPath, requireServer } from './install.ts'

export type Direction = 'up' | 'down'

interface Sample {
  readonly atMs: number
  readonly up: number
  readonly down: number
}

export class Relay implements AsyncDisposable {
  readonly port: number
  readonly #samples: Sample[]
  readonly #end: () => Promise<void>

  private constructor(port: number, samples: Sample[], end: () => Promise<void>) {
    this.port = port
    this.#samples = samples
    this.#end = end
  }

  /** @param url where it connects to */
  static async to(url: string): Promise<Relay> {
    await requireServer('python')
    const { hostname, port } = new URL(url)
    const script = fileURLToPath(new URL('relay.py', import.meta.url))
    const child = spawn(programPath('python3'), [script, hostname, port], { stdio: ['ignore', 'pipe', 'inherit'] })
    const samples: Sample[] = []
    const lines = createInterface({ input: child.stdout })
    const [first] = await once(lines, 'line')
    lines.on('line', (line) => {
      const [atMs = 0, up = 0, down = 0] = line.split(' ').map(Number)
      samples.push({ atMs, up, down })
    })
    return new Relay(Number(first), samples, async () => {
      const closed = once(child, 'close')
      child.kill('SIGKILL')
      await closed
    })
  }

  /** The bytes that have passed. */
  total(direction: Direction): number {
    return this.#samples.at(-1)?.[direction] ?? 0
  }

  /** Bytes a second in each period of this length, without the first and the last hundredth of the bytes. */
  rates(direction: Direction, periodMs: number): number[] {
    const total = this.total(direction)
    const between = this.#samples.filter((one) => one[direction] > total / 100 && one[direction] < (total * 99) / 100)
    return between.flatMap((from) => {
      const to = between.find(({ atMs }) => atMs >= from.atMs + periodMs)
      return to === undefined ? [] : [((to[direction] - from[direction]) * 1000) / (to.atMs - from.atMs)]
    })
  }

  /** What two relays have passed, as if they were one. */
  static together([one, other]: readonly [Relay, Relay]): Relay {
    const samples = one.#samples.map(({ atMs, up, down }) => {
      const beside = other.#samples.findLast((sample) => sample.atMs <= atMs)
      return { atMs, up: up + (beside?.up ?? 0), down: down + (beside?.down ?? 0) }
    })
    return new Relay(0, samples, async () => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
  }
}
