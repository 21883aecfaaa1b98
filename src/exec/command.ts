/**
 * Runs a command of the operator for an event.
 *
 * The command is the operator's own text, for `/bin/sh -c`. What comes from others, file names for one, reaches it by environment variables
 * and as JSON on its standard input, never as a part of that text. It runs in a process group of its own, so that a time limit ends what it
 * has started, too. Its output goes nowhere but into its last lines.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Writable } from 'node:stream'
import { backoffMs, onAbort, sleep } from '../async/index.ts'
import { hasCode } from '../fs/index.ts'
import { shortenedText, timerMs } from '../protocol/index.ts'
import { OutputTail } from './output-tail.ts'
import { endGroup, endLeftRunning, killGroup, noteEnded, noteRunning } from './process-group.ts'

const SHELL = '/bin/sh'
/** Waits on descriptor 3 for a line, and then becomes the shell of the command. Its process keeps its number. */
const STARTER = `IFS= read -r begin <&3 || exit; exec 3<&-; exec ${SHELL} -c "$1"`
/** Something in the background may hold the output open. It is not waited for longer than this. */
const OUTPUT_MS_MAX = 500
/** A process that was killed ends within this time, unless a disk or another user holds it. */
const EXIT_MS_MAX = 5_000
const SHORTAGES = ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM']
const startBackoff = { minMs: 200, maxMs: 30_000 }
/** Linux starts no program with a variable of 128 KiB. Many receivers may give long reasons; standard input has all of them. */
const VARIABLE_BYTES_MAX = 64 * 1024
const VARIABLE_START = 'GOLOOADER_'
/** The variables of this program that a command gets: with them it can use the same account. All others are options of this program. */
const VARIABLES_PASSED = ['PORTAL', 'TOKEN', 'KEYS', 'PROFILE', 'INSECURE']

export interface CommandOptions {
  /** For `/bin/sh -c`. */
  readonly command: string
  /** Become `GOLOOADER_EXEC_<NAME>`. */
  readonly variables: Readonly<Record<string, string>>
  /** Written to standard input as one line of JSON. */
  readonly event: object
  readonly timeoutMs: number
  /** Ends the command. */
  readonly signal: AbortSignal
  /** The file that says which command runs, so that a later run can end it; null for none. */
  readonly notePath: string | null
}

/** How a command ended. */
export interface CommandEnd {
  /** Null when a signal ended it. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly isTimedOut: boolean
  /** Whether it had to be ended, and a part of it could not be: it belongs to another user, or hangs in the system. */
  readonly isStillRunning: boolean
  /** The last lines of its standard output and standard error: 20 at most, and 4 KiB. */
  readonly lastLines: readonly string[]
  readonly durationMs: number
}

/**
 * Runs a command to its end. One that ends with 0 has succeeded, even if it was told to stop. When this process ends before, so does the
 * command.
 *
 * @throws the signal's reason when that aborts and the command did not succeed; Error when it cannot be started
 */
export async function runCommand(options: CommandOptions): Promise<CommandEnd> {
  const { timeoutMs, signal, notePath } = options
  if (notePath !== null) await endLeftRunning(notePath)
  const startedAtMs = performance.now()
  const child = await started(options)
  const pid = Number(child.pid)
  if (notePath !== null) noteRunning(notePath, pid)
  begin(child)
  const tail = new OutputTail()
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => tail.add(bytes))
  let ending: Promise<boolean> | null = null
  let isTimedOut = false
  const over = new AbortController()
  const givenUp = Promise.withResolvers<null>()
  const end = (): void => {
    if (ending !== null) return
    ending = endGroup(pid)
    // Its failure shows below. The command may have ended before.
    ending
      .then(() => sleep(EXIT_MS_MAX, over.signal))
      .then(
        () => givenUp.resolve(null),
        () => {},
      )
  }
  const timer = setTimeout(() => {
    isTimedOut = true
    end()
  }, timerMs(timeoutMs))
  const unsubscribe = signal.aborted ? end() : onAbort(signal, end)
  const kill = (): void => killGroup(pid)
  process.once('exit', kill)
  try {
    const exit = await Promise.race([exitOf(child), givenUp.promise])
    clearTimeout(timer)
    const areAllEnded = (await ending) !== false
    await outputEnd(child)
    // Otherwise this process would not end before it.
    if (exit === null) child.unref()
    const { exitCode, signal: endedBy } = exit ?? { exitCode: null, signal: null }
    if (signal.aborted && exitCode !== 0) throw signal.reason
    return {
      ...{ exitCode, signal: endedBy, isTimedOut, isStillRunning: exit === null || !areAllEnded },
      lastLines: tail.lines,
      durationMs: Math.round(performance.now() - startedAtMs),
    }
  } finally {
    clearTimeout(timer)
    over.abort()
    unsubscribe?.()
    process.removeListener('exit', kill)
    if (notePath !== null) noteEnded(notePath)
  }
}

/**
 * Starts a shell that waits for {@link begin}: a command that no note tells of would run beside its repetition, if this process is killed
 * between the two. Where the system is short of processes, memory or descriptors, it waits.
 */
async function started({ command, variables, event, signal }: CommandOptions): Promise<ChildProcessWithoutNullStreams> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted()
    try {
      const child = spawn(SHELL, ['-c', STARTER, SHELL, command], {
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
        env: environment(variables),
      })
      // Without descriptors the child has no streams.
      await once(child, 'spawn')
      // A command need not read its input.
      child.stdin.on('error', () => {})
      child.stdin.end(`${JSON.stringify(event)}\n`)
      return child
    } catch (error) {
      if (!hasCode(error, ...SHORTAGES)) throw error
      await sleep(backoffMs(tries, startBackoff), signal)
    }
  }
}

/** Lets the command begin. Without this, it never does, and its shell ends with this process. */
function begin({ stdio: [, , , gate] }: ChildProcessWithoutNullStreams): void {
  if (!(gate instanceof Writable)) throw new Error('the shell has no descriptor 3')
  // It may have been ended already.
  gate.on('error', () => {})
  gate.end('\n')
}

async function exitOf(child: ChildProcessWithoutNullStreams): Promise<Pick<CommandEnd, 'exitCode' | 'signal'>> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return { exitCode: child.exitCode, signal: child.signalCode }
}

/** Resolves when all output is read, or something in the background holds it open. */
async function outputEnd({ stdout, stderr }: ChildProcessWithoutNullStreams): Promise<void> {
  const streams = [stdout, stderr]
  const late = AbortSignal.timeout(OUTPUT_MS_MAX)
  await Promise.all(
    streams.filter(({ closed }) => !closed).map((stream) => once(stream, 'close', { signal: late }).catch(() => {})),
  )
  for (const stream of streams) stream.destroy()
}

function environment(variables: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const passed = new Set(VARIABLES_PASSED.map((name) => `${VARIABLE_START}${name}`))
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith(VARIABLE_START) || passed.has(name))
  // A variable cannot have a NUL.
  const own = Object.entries(variables).map(([name, value]) => [
    `${VARIABLE_START}EXEC_${name}`,
    shortenedText(value.replaceAll('\0', '\ufffd'), VARIABLE_BYTES_MAX),
  ])
  return Object.fromEntries([...inherited, ...own])
}
