/** A portal and a receiver as real processes in a folder of their own, for what is measured. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Ended, end, run, type Usage, usageOf } from './processes.ts'

const program = fileURLToPath(new URL('../bin/golooader.js', import.meta.url))
export class BenchWorld implements AsyncDisposable {
  readonly folder: string
  readonly #env: NodeJS.ProcessEnv
  readonly #children = new Map<string, ChildProcess>()

  private constructor(folder: string) {
    this.folder = folder
    this.#env = { PATH: process.env.PATH, HOME: folder }
  }

  /** A portal with these flags, the accounts alice and bob, and bob waiting for files. */
  static async start(...flags: readonly string[]): Promise<BenchWorld> {
    const world = new BenchWorld(await mkdtemp(join(tmpdir(), 'golooader-bench-')))
    const data = join(world.folder, 'portal')
    const own = ['--listen', '127.0.0.1:0', '--data', data, '--log-level', 'silent']
    await world.#background('listening', 'portal', ...own, ...flags)
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

  /** What portal and receiver have used so far. */
  async usage(): Promise<{ portal: Usage; receiver: Usage }> {
    const [portal, receiver] = await Promise.all(
      ['portal', 'receive'].map((name) => usageOf(this.#children.get(name)?.pid)),
    )
    if (portal === undefined || receiver === undefined) throw new Error('they are not running')
    return { portal, receiver }
  }

  /** What portal and receiver have used of the processors so far. */
  async cpuMs(): Promise<number> {
    const { portal, receiver } = await this.usage()
    return portal.cpuMs + receiver.cpuMs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.values()) await end(child)
    await rm(this.folder, { recursive: true, force: true })
  }

  #run(...args: string[]): Promise<Ended> {
    return run(process.execPath, [program, ...args], { env: this.#env, cwd: this.folder })
  }

  async #background(readyWord: string, command: string, ...args: string[]): Promise<void> {
    const child = spawn(process.execPath, [program, command, ...args], {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: this.folder,
    })
    this.#children.set(command, child)
    if (child.stdout === null) throw new Error('the child has no output')
    for await (const line of createInterface({ input: child.stdout })) if (line.includes(readyWord)) break
    child.stdout.resume()
  }
}
