/** A portal and a receiver as real processes in a folder of their own, for what is measured. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../bin/golooader.js', import.meta.url))
/** In which Linux counts the time of processes (man 5 proc). */
const TICK_MS = 10

/** How a command ended. */
export interface Ended {
  readonly code: number | null
  /** What it used of the processors. */
  readonly cpuMs: number
  readonly output: string
}

export class BenchWorld implements AsyncDisposable {
  readonly folder: string
  readonly #env: NodeJS.ProcessEnv
  readonly #children: ChildProcess[] = []

  private constructor(folder: string) {
    this.folder = folder
    this.#env = { PATH: process.env.PATH, HOME: folder }
  }

  /** A portal, the accounts alice and bob, and bob waiting for files. */
  static async start(): Promise<BenchWorld> {
    const world = new BenchWorld(await mkdtemp(join(tmpdir(), 'golooader-bench-')))
    const data = join(world.folder, 'portal')
    await world.#background('listening', 'portal', '--listen', '127.0.0.1:0', '--data', data, '--log-level', 'silent')
    for (const name of ['alice', 'bob']) {
      const { output } = await world.#run('invite', name, '--data', data)
      await world.#run('join', output.trim().split('\n')[0] ?? '')
    }
    await world.#background('connected', 'receive', '--into', join(world.folder, 'in'), '--profile', 'bob')
    return world
  }

  send(path: string, args: readonly string[]): Promise<Ended> {
    return this.#run('send', path, '--to', 'bob', '--profile', 'alice', ...args)
  }

  /** The one file in bob's folder. */
  async takeDelivered(): Promise<string> {
    const inbox = join(this.folder, 'in')
    const [name, other] = (await readdir(inbox)).filter((one) => !one.startsWith('.'))
    if (name === undefined || other !== undefined) throw new Error('there is not exactly one file')
    return join(inbox, name)
  }

  /** What portal and receiver have used of the processors so far. */
  async cpuMs(): Promise<number> {
    const times = await Promise.all(this.#children.map(({ pid }) => cpuMsOf(pid)))
    return times.reduce((sum, ms) => sum + ms, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
    await rm(this.folder, { recursive: true, force: true })
  }

  async #run(...args: string[]): Promise<Ended> {
    // Each command in a shell of its own, which tells the time of its child when that has ended.
    const timed = ['-c', '"$0" "$@"; code=$?; times >&3; exit $code', process.execPath, program, ...args]
    const child = spawn('bash', timed, { env: this.#env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], cwd: this.folder })
    const texts = ['', '', '', '']
    for (const fd of [1, 2, 3]) child.stdio[fd]?.on('data', (data) => (texts[fd] += String(data)))
    const [code]: (number | null)[] = await once(child, 'close')
    return { code: code ?? null, cpuMs: childTimesMs(texts[3] ?? ''), output: `${texts[1]}${texts[2]}` }
  }

  async #background(readyWord: string, ...args: string[]): Promise<void> {
    const child = spawn(process.execPath, [program, ...args], {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: this.folder,
    })
    this.#children.push(child)
    if (child.stdout === null) throw new Error('the child has no output')
    for await (const line of createInterface({ input: child.stdout })) if (line.includes(readyWord)) break
    child.stdout.resume()
  }
}

/** The second line of `times`: user and system time of the shell's children. */
function childTimesMs(text: string): number {
  const line = text.trim().split('\n')[1] ?? ''
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1000,
    0,
  )
}

async function cpuMsOf(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
