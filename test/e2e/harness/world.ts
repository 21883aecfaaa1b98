/**
 * A world for one test: a temporary folder with a portal, senders and receivers as real processes over real sockets.
 * When the world is disposed, all processes end and the folder is deleted.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { PortalClient } from '../../../src/client/index.ts'
import { nodeTransport } from '../../../src/client/node-transport.ts'
import { hasCode } from '../../../src/fs/index.ts'
import { invite, openLedger } from '../../../src/portal/index.ts'
import { newToken } from '../../../src/protocol/index.ts'
import { AccountKeys } from '../../../src/trust/index.ts'

const program = fileURLToPath(new URL('../../../bin/golooader.js', import.meta.url))
const UNTIL_MS = 240_000

/** The result of a command. */
export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One object of `--json`. */
export type JsonLine = Readonly<Record<string, unknown>> & { readonly type: string }

/** A running command. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  readonly lines: string[] = []
  #stderr = ''
  /** Resolves at the next line, and at the end. */
  #changed = Promise.withResolvers<void>()
  /** Whether the process has ended, and all of its output is here. */
  #isClosed = false
  readonly #objects: JsonLine[] = []
  /** How many lines have been parsed. */
  #parsedCount = 0

  constructor(child: ChildProcess) {
    this.child = child
    if (child.stdout === null || child.stderr === null) throw new Error('the child has no pipes')
    const reading = createInterface({ input: child.stdout })
    reading.on('line', (line) => {
      this.lines.push(line)
      this.#change()
    })
    child.stderr.on('data', (data) => {
      this.#stderr += data
    })
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#isClosed = true
        this.#change()
        const stdout = `${this.lines.join('\n')}\n`
        resolve({ code: code ?? (signal === 'SIGKILL' ? 137 : 143), stdout, stderr: this.#stderr })
      })
    })
  }

  get stderr(): string {
    return this.#stderr
  }

  /** The objects that `--json` has printed. */
  get json(): JsonLine[] {
    // Each line is parsed once, because tests look often and some commands print thousands of lines.
    for (; this.#parsedCount < this.lines.length; this.#parsedCount++) {
      const line = this.lines[this.#parsedCount] ?? ''
      if (line.startsWith('{')) this.#objects.push(JSON.parse(line))
    }
    return [...this.#objects]
  }

  /** Resolves with the first line of output, past or future, that matches. Fails when the process ends without one. */
  async line(isIt: (line: string) => boolean): Promise<string> {
    const deadline = AbortSignal.timeout(UNTIL_MS)
    const late = new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve(), { once: true }))
    let seenCount = 0
    while (true) {
      const { promise: changed } = this.#changed
      const found = this.lines.slice(seenCount).find(isIt)
      if (found !== undefined) return found
      seenCount = this.lines.length
      if (this.#isClosed || deadline.aborted) {
        throw new Error(`no such line\nstdout:\n${this.lines.join('\n')}\nstderr:\n${this.#stderr}`)
      }
      await Promise.race([changed, late])
    }
  }

  #change(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /** Resolves with the first object of `--json` that matches. */
  async object(isIt: (value: JsonLine) => boolean): Promise<JsonLine> {
    return JSON.parse(await this.line((line) => line.startsWith('{') && isIt(JSON.parse(line))))
  }

  /** Resolves with the first notification of that kind. */
  notification(kind: string): Promise<JsonLine> {
    return this.object((value) => value.type === 'notification' && value.notification === kind)
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Sends a signal and waits until the process has ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      // A stopped process reacts only to SIGKILL until it is continued.
      if (signal !== 'SIGKILL') this.child.kill('SIGCONT')
      this.child.kill(signal)
    }
    return this.ended
  }
}

interface StartOptions {
  /** Added to the environment of this command. */
  readonly env?: Readonly<Record<string, string>>
  /** Another program that runs it, for example `unshare`. */
  readonly wrapper?: readonly string[]
  /** Gives the command a pipe as its standard input. */
  readonly hasInput?: boolean
}

export interface PortalProcess extends Running {
  readonly url: string
}

export class World implements AsyncDisposable {
  readonly folder: string
  readonly dataFolder: string
  portalUrl = ''
  /** The database of the ledger, where it is not in the data folder. */
  databaseUrl: string | null = null
  /** Added to the environment of every command. */
  readonly env: Record<string, string> = {}
  #portalPort = 0
  readonly #running: Running[] = []
  readonly #clients: PortalClient[] = []

  private constructor(folder: string) {
    this.folder = folder
    this.dataFolder = join(folder, 'portal')
  }

  /** @param isShared whether the tests of a file share it: one hook creates it, another disposes of it */
  static async create({ isShared = false } = {}): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), 'golooader-test-')))
    // A test that times out never leaves its block, and its processes would stay.
    if (!isShared) onTestFinished(() => world[Symbol.asyncDispose]())
    return world
  }

  path(...names: string[]): string {
    return join(this.folder, ...names)
  }

  /** Starts a command of this project. */
  start(args: readonly string[], options: StartOptions = {}): Running {
    const [command = process.execPath, ...rest] = [...(options.wrapper ?? []), process.execPath, program, ...args]
    const env = {
      PATH: process.env.PATH,
      HOME: this.folder,
      XDG_CONFIG_HOME: this.path('config'),
      // Compiled code is the same in every world.
      XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'),
      XDG_STATE_HOME: this.path('state'),
      ...this.env,
      ...options.env,
    }
    const running = new Running(
      spawn(command, rest, {
        env,
        stdio: [options.hasInput === true ? 'pipe' : 'ignore', 'pipe', 'pipe'],
        cwd: this.folder,
      }),
    )
    this.#running.push(running)
    return running
  }

  /** Runs a command to its end. */
  run(...args: string[]): Promise<Ended> {
    return this.start(args).ended
  }

  /** Starts the portal, or restarts it on the same port and data. Resolves when it serves. */
  async portal(args: readonly string[] = [], options: StartOptions = {}): Promise<Running> {
    const listen = `127.0.0.1:${this.#portalPort}`
    const running = this.start(['portal', '--listen', listen, '--data', this.dataFolder, ...args], options)
    const line = await running.line((one) => one.startsWith('portal listening on '))
    this.portalUrl = /https?:\S+[0-9]/.exec(line)?.[0] ?? ''
    this.#portalPort = Number(new URL(this.portalUrl).port)
    return running
  }

  /**
   * Creates accounts, each with a profile of the same name, as `invite` and `join` do but without their processes.
   * `through` names the proxy by which an account reaches the portal.
   */
  async join(
    names: readonly string[],
    through: Readonly<Record<string, { readonly url: string }>> = {},
    { hasKeys = true } = {},
  ): Promise<void> {
    const ledger = await openLedger(this)
    const transport = nodeTransport(this.portalUrl)
    await mkdir(this.path('config', 'golooader', 'profiles'), { recursive: true })
    for (const name of names) {
      const token = newToken()
      await new PortalClient(transport, null).join({ invite: await invite(ledger, name, 60_000), token })
      const keys = hasKeys ? await AccountKeys.generate() : null
      if (keys !== null) await new PortalClient(transport, token).setKeys(keys.publicKeys)
      const portalUrl = through[name]?.url ?? this.portalUrl
      const profile = { portalUrl, account: name, token, ...(keys === null ? {} : { keys: keys.secret }) }
      await writeFile(this.#profile(name), JSON.stringify(profile))
    }
    await transport.close()
    await ledger.close()
  }

  #profile(name: string): string {
    return this.path('config', 'golooader', 'profiles', `${name}.json`)
  }

  send(file: string | readonly string[], to: string, ...args: string[]): Running {
    const files = typeof file === 'string' ? [file] : file
    return this.start(['send', ...files, '--to', to, '--profile', 'alice', '--json', ...args])
  }

  /** Starts a sender that reads its standard input. */
  sendInput(to: string, ...args: string[]): Running & { readonly input: Writable } {
    const all = ['send', '-', '--name', 'dump.sql', '--to', to, '--profile', 'alice', '--json', ...args]
    const running = this.start(all, { hasInput: true })
    const input = running.child.stdin
    if (input === null) throw new Error('the child has no input')
    // A sender that ends early breaks the pipe.
    input.on('error', () => {})
    return Object.assign(running, { input })
  }

  /** Starts a receiver that writes to a folder of its name. Resolves when it is connected. */
  async receiver(name: string, args: readonly string[] = [], options: StartOptions = {}) {
    const running = this.start(
      ['receive', '--into', this.inbox(name), '--create', '--profile', name, '--json', ...args],
      options,
    )
    await running.object((value) => value.type === 'connected')
    return running
  }

  inbox(name: string): string {
    return this.path('inbox', name)
  }

  /** The names of the files in an inbox, without unfinished ones. */
  async received(name: string): Promise<string[]> {
    const names = await readdir(this.inbox(name)).catch(() => [])
    return names.filter((one) => one !== '.golooader').sort()
  }

  /** A client of an account, to ask the portal directly. */
  async client(name: string): Promise<PortalClient> {
    const client = new PortalClient(nodeTransport(this.portalUrl), await this.token(name))
    this.#clients.push(client)
    return client
  }

  /** The token of an account, for requests of the test. */
  async token(name: string): Promise<string> {
    return JSON.parse(await readFile(this.#profile(name), 'utf8')).token
  }

  /** Creates a file of random content. */
  async file(name: string, sizeBytes: number): Promise<string> {
    const path = this.path('files', name)
    await mkdir(this.path('files'), { recursive: true })
    const handle = await open(path, 'w')
    const block = Buffer.alloc(Math.min(sizeBytes, 1024 * 1024))
    for (let left = sizeBytes; left > 0; left -= block.length) {
      await handle.write(randomFillSync(block).subarray(0, Math.min(left, block.length)))
    }
    await handle.close()
    return path
  }

  /** The names of all files in the portal's store. */
  async stored(): Promise<string[]> {
    return partsIn(join(this.dataFolder, 'store'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
    await Promise.all(this.#running.map((running) => running.stop('SIGKILL')))
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** The names of complete and partial parts in the folder of a store. */
export async function partsIn(storeFolder: string): Promise<string[]> {
  return (await filesIn(storeFolder)).filter((name) => name !== 'owner')
}

/** The names of the files in a folder and below it. Other processes may remove some meanwhile. */
export async function filesIn(folder: string): Promise<string[]> {
  while (true) {
    try {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true })
      return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      // A folder below it was removed during the listing, or the folder itself does not exist.
      if (!existsSync(folder)) return []
    }
  }
}

/** The SHA-256 of a file, in hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** Polls until the condition holds, for events in other processes that report them nowhere. */
export async function until(isIt: () => Promise<boolean> | boolean, what: string, withinMs = UNTIL_MS): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await isIt())) {
    if (performance.now() > deadline) throw new Error(`it did not come to this in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
