/** A server as a separate process. It ends with the run, or when a test ends it. */
import { execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { isRunning, type ProcessIdentity, record, send } from './run.ts'

/** A server on two cores has to wait when four test files run at a time. */
const READY_MS_MAX = 60_000
const LOOK_MS = 20
const TOOL_MS_MAX = 60_000
const LOG_CHARACTERS_MAX = 3_000

export interface ServerCommand {
  readonly command: string
  readonly args: readonly string[]
  /** The log file for its output; the output is appended. */
  readonly logPath: string
  /** The user to run as, where it is another one. */
  readonly user?: UserIds
  /** The signal that ends it completely. */
  readonly endSignal: NodeJS.Signals
}

export interface UserIds {
  readonly uid: number
  readonly gid: number
}

/** An environment without variables that could change how a server behaves. */
const serverEnv: NodeJS.ProcessEnv = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' }

export class ServerProcess {
  readonly #command: ServerCommand
  readonly #identity: ProcessIdentity | null

  private constructor(command: ServerCommand, identity: ProcessIdentity | null) {
    this.#command = command
    this.#identity = identity
  }

  /**
   * Starts it and waits until it is ready.
   *
   * @throws Error with the end of its log, when it ends before it is ready, or is not ready in time
   */
  static async start(command: ServerCommand, isReady: () => Promise<boolean>): Promise<ServerProcess> {
    const log = openSync(command.logPath, 'a')
    // Detached: Ctrl-C is for the tests, which end their servers themselves.
    const child = spawn(command.command, command.args, {
      ...command.user,
      detached: true,
      env: serverEnv,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    const pid = await new Promise<number>((resolve, reject) => {
      child.once('spawn', () => resolve(child.pid ?? 0)).once('error', reject)
    })
    child.unref()
    const server = new ServerProcess(command, record(pid, command.endSignal))
    const deadline = performance.now() + READY_MS_MAX
    while (!(await isReady())) {
      if (server.hasEnded || performance.now() > deadline) {
        await server.end()
        throw new Error(`${command.command} did not start:\n${server.#logEnd()}`)
      }
      await setTimeout(LOOK_MS)
    }
    return server
  }

  get hasEnded(): boolean {
    return this.#identity === null || !isRunning(this.#identity)
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#identity !== null) send(this.#identity, signal)
  }

  /** Ends it by a signal, also when it is paused, and waits until it is gone. */
  async end(signal: NodeJS.Signals = this.#command.endSignal): Promise<void> {
    this.signal(signal)
    this.signal('SIGCONT')
    const deadline = performance.now() + READY_MS_MAX
    while (!this.hasEnded) {
      if (performance.now() > deadline) throw new Error(`${this.#command.command} does not end:\n${this.#logEnd()}`)
      await setTimeout(LOOK_MS)
    }
  }

  #logEnd(): string {
    return readFileSync(this.#command.logPath, 'utf8').slice(-LOG_CHARACTERS_MAX)
  }
}

/**
 * Runs a program to its end, and returns its output. It ends with the run, too: one that waits for a server that has
 * ended would wait without end.
 *
 * @throws Error with its output when it fails
 */
export async function runToEnd(command: string, args: readonly string[], user: UserIds | null = null): Promise<string> {
  const running = promisify(execFile)(command, args, { ...user, env: serverEnv, timeout: TOOL_MS_MAX })
  const { pid } = running.child
  if (pid !== undefined) record(pid, 'SIGKILL')
  return (await running).stdout
}

/** Below the ports that systems give to outgoing connections, which could take one again before its server starts. */
const PORT_MIN = 20_000
const PORT_MAX = 32_000

/** A free port, for two servers that need each other's port before they start. */
export async function freePort(): Promise<number> {
  while (true) {
    const port = randomInt(PORT_MIN, PORT_MAX)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** Starts something on a port that was free just now. When another process has taken it since, tries another port. */
export async function onFreePort<Result>(start: (port: number) => Promise<Result>): Promise<Result> {
  const triesMax = 3
  for (let tries = 1; ; tries++) {
    try {
      return await start(await freePort())
    } catch (error) {
      if (tries === triesMax) throw error
    }
  }
}

/** Whether a process accepts connections at a port of loopback. */
export async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    return await new Promise((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    )
  } finally {
    socket.destroy()
  }
}
