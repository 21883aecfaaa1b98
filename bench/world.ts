/** A portal, senders and receivers as real processes, each in a folder of its own, for what is measured. */
import type { ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { giveProfile, openAccounts } from './accounts.ts'
import { PortalProcess, program } from './portal-process.ts'
import { cacheFolder, type Ended, end, run, startBackground, together, type Usage, usageOf } from './processes.ts'

export interface WorldOptions {
  /** Accounts that only send. */
  readonly senders?: readonly string[]
  /** Accounts that wait for files, each with a process of its own. */
  readonly receivers?: readonly string[]
  /** Of the portal, beside those that make it run here. */
  readonly flags?: readonly string[]
  /** For senders and receivers, beside what each of them has. */
  readonly env?: NodeJS.ProcessEnv
  /** What is to be the portal instead of one process with a folder. */
  readonly several?: { readonly databaseUrl: string; readonly start: (folder: string) => Promise<WorldPortal> }
}

/** What senders and receivers take for their portal. */
export interface WorldPortal extends AsyncDisposable {
  readonly url: string
  usage(): Promise<Usage>
}

/** Who sends to whom. */
export interface Parties {
  readonly from: string
  readonly to: readonly string[]
}

const PARTIES_DEFAULT: Parties = { from: 'alice', to: ['bob'] }

export class BenchWorld implements AsyncDisposable {
  readonly folder: string
  readonly portal: WorldPortal
  readonly #receivers = new Map<string, ChildProcess>()
  readonly #env: NodeJS.ProcessEnv

  private constructor(folder: string, portal: WorldPortal, env: NodeJS.ProcessEnv) {
    this.folder = folder
    this.portal = portal
    this.#env = env
  }

  /** A portal; alice, who sends, and bob, who waits for files, if nobody else is named. */
  static async start(options: WorldOptions = {}): Promise<BenchWorld> {
    const { senders = ['alice'], receivers = ['bob'], flags = [], env = {}, several } = options
    const folder = await mkdtemp(join(tmpdir(), 'golooader-bench-'))
    const data = join(folder, 'portal')
    const accounts = await openAccounts(data, [...senders, ...receivers], several?.databaseUrl)
    const portal = await (several?.start(folder) ?? PortalProcess.start(data, flags))
    const world = new BenchWorld(folder, portal, env)
    for (const account of accounts) await giveProfile(world.home(account.name), world.portal.url, account)
    await Promise.all(receivers.map((name) => world.#receive(name)))
    return world
  }

  /** What an account has on its machine. */
  home(name: string): string {
    return join(this.folder, 'homes', name)
  }

  /** Where a receiver puts what it gets. */
  inbox(name: string): string {
    return join(this.home(name), 'in')
  }

  /** For a process that acts as an account. */
  env(name: string): NodeJS.ProcessEnv {
    // Compiled code is kept as it is for anybody who has run a command before.
    return { PATH: process.env.PATH, HOME: this.home(name), XDG_CACHE_HOME: cacheFolder, ...this.#env }
  }

  send(path: string, args: readonly string[], parties?: Parties): Promise<Ended> {
    return this.sendAll([path], args, parties)
  }

  /** One `golooader send` of many files. */
  sendAll(paths: readonly string[], args: readonly string[], { from, to }: Parties = PARTIES_DEFAULT): Promise<Ended> {
    const command = [program, 'send', ...paths, '--to', to.join(','), ...args]
    return run(process.execPath, command, { env: this.env(from), cwd: this.home(from) })
  }

  /** The one file that a receiver has. */
  async takeDelivered(receiver = 'bob'): Promise<string> {
    const inbox = this.inbox(receiver)
    const [name, other] = (await readdir(inbox)).filter((one) => !one.startsWith('.'))
    if (name === undefined || other !== undefined) throw new Error('there is not exactly one file')
    return join(inbox, name)
  }

  /** What the portal, and all receivers together, have used so far. */
  async usage(): Promise<{ portal: Usage; receiver: Usage }> {
    const portal = await this.portal.usage()
    const receivers = await Promise.all([...this.#receivers.values()].map(({ pid }) => usageOf(pid)))
    return { portal, receiver: together(receivers) }
  }

  /** What portal and receivers have used of the processors so far. */
  async cpuMs(): Promise<number> {
    const { portal, receiver } = await this.usage()
    return portal.cpuMs + receiver.cpuMs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#receivers.values()) await end(child)
    await this.portal[Symbol.asyncDispose]()
    await rm(this.folder, { recursive: true, force: true })
  }

  async #receive(name: string): Promise<void> {
    const inbox = this.inbox(name)
    await mkdir(inbox, { recursive: true })
    const options = { env: this.env(name), cwd: this.home(name) }
    const child = await startBackground(
      'connected',
      process.execPath,
      [program, 'receive', '--into', inbox, '--create'],
      options,
    )
    this.#receivers.set(name, child)
  }
}
