/**
 * What the servers of one test run share: a folder, locks in it, and a record of every started process. With the record
 * all of them end with the run, however it ends.
 *
 * The run makes the folder (`global-setup.ts`). The first test that needs a server starts it, in its own process. The
 * server outlives that process, because other test files use it next. The next run finds the folder of a killed run by
 * its missing owner, and ends the servers recorded there.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { hasCode, lockFolder } from '../../src/fs/index.ts'
import { Problem } from '../../src/protocol/index.ts'

/** The environment variable that names the folder of the run to all of its processes. */
const FOLDER_VARIABLE = 'GOLOOADER_TEST_RUN'
const FOLDER_PREFIX = 'golooader-run-'
/** Initialising a server on a busy machine takes seconds, installing one a minute or two. */
const LOCK_WAIT_MS_MAX = 300_000
const LOCK_PAUSE_MS = 25
/** How long a process may take to end before it is killed. */
const END_MS_MAX = 5_000

/** Identifies a process, also when another one gets its number later. */
export interface ProcessIdentity {
  readonly pid: number
  /** The system's clock ticks at its start. */
  readonly startTicks: string
}

interface Recorded extends ProcessIdentity {
  /** The signal that ends it completely. */
  readonly endSignal: NodeJS.Signals
}

/** Creates the folder of this run, and ends the leftovers of earlier runs. */
export function beginRun(): string {
  for (const name of readdirSync(tmpdir())) {
    if (name.startsWith(FOLDER_PREFIX)) endIfAbandoned(join(tmpdir(), name))
  }
  const folder = mkdtempSync(join(tmpdir(), FOLDER_PREFIX))
  // Where this process is root, PostgreSQL runs as another user, and needs access to its own folder below.
  chmodSync(folder, 0o711)
  mkdirSync(join(folder, 'processes'))
  const self = identify(process.pid)
  if (self === null) throw new Error('this process is not listed in /proc')
  writeWhole(join(folder, 'owner'), self)
  process.env[FOLDER_VARIABLE] = folder
  return folder
}

/**
 * Ends every process of a run, waits until they are gone, and removes the folder. It is synchronous, because a process
 * that exits can do nothing else.
 */
export function endRun(folder: string): void {
  if (!existsSync(folder)) return
  const running = recorded(folder).filter(isRunning)
  for (const one of running) send(one, one.endSignal)
  const deadline = performance.now() + END_MS_MAX
  while (running.some(isRunning) && performance.now() < deadline) sleepSync(10)
  for (const one of running) send(one, 'SIGKILL')
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
}

/** The folder of the run that this process belongs to. */
export function runFolder(): string {
  const folder = process.env[FOLDER_VARIABLE]
  if (folder === undefined) throw new Error(`no test run: ${FOLDER_VARIABLE} is not set, beginRun() was not called`)
  return folder
}

/** Creates a folder for one server of the run. */
export function serverFolder(name: string): string {
  return mkdtempSync(join(runFolder(), `${name}-`))
}

/** Records a process that has just been started, so that it ends with the run. */
export function record(pid: number, endSignal: NodeJS.Signals): ProcessIdentity | null {
  const identity = identify(pid)
  if (identity !== null) writeWhole(join(runFolder(), 'processes', String(pid)), { ...identity, endSignal })
  return identity
}

/** The recorded processes of this run that still run. */
export function runningProcesses(): readonly ProcessIdentity[] {
  return recorded(runFolder()).filter(isRunning)
}

const made = new Map<string, Promise<unknown>>()

/**
 * Does something once for the whole run, and returns its result, as JSON, to every process that asks. After a failure
 * the next caller tries again.
 */
export function oncePerRun<Result>(name: string, make: () => Promise<Result>): Promise<Result> {
  const before = made.get(name)
  // Only this function creates entries under the name, always with the result of its caller.
  if (before !== undefined) return before as Promise<Result>
  const result = underLock(name, async () => {
    const path = join(runFolder(), `${name}.json`)
    const known = read<{ value: Result }>(path)
    if (known !== null) return known.value
    const value = await make()
    writeWhole(path, { value })
    return value
  })
  made.set(name, result)
  result.catch(() => made.delete(name))
  return result
}

/** Does something while no other process of the run does anything under that name. */
export async function underLock<Result>(name: string, act: () => Promise<Result>): Promise<Result> {
  const deadline = performance.now() + LOCK_WAIT_MS_MAX
  while (true) {
    try {
      const lock = await lockFolder(runFolder(), join(runFolder(), `${name}.lock`))
      try {
        return await act()
      } finally {
        await lock.release()
      }
    } catch (error) {
      const isTaken = error instanceof Problem && error.code === 'folder-unavailable'
      if (!isTaken || performance.now() > deadline) throw error
      await setTimeout(LOCK_PAUSE_MS)
    }
  }
}

/** Whether it runs. A zombie process does not. */
export function isRunning({ pid, startTicks }: ProcessIdentity): boolean {
  return identify(pid)?.startTicks === startTicks
}

/** Sends a signal to that process, if it still exists. */
export function send(one: ProcessIdentity, signal: NodeJS.Signals): void {
  try {
    if (isRunning(one)) process.kill(one.pid, signal)
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}

/**
 * The process that has that number now; null when there is none, or only a zombie.
 * https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
export function identify(pid: number): ProcessIdentity | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is a name, and may contain anything. The fields after it begin after the last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state, startTicks] = [fields[0], fields[19]]
    return state === undefined || startTicks === undefined || 'ZX'.includes(state) ? null : { pid, startTicks }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return null
    throw error
  }
}

function recorded(folder: string): Recorded[] {
  const names = readdirSync(join(folder, 'processes')).filter((name) => /^\d+$/.test(name))
  return names.map((name) => read<Recorded>(join(folder, 'processes', name))).filter((one) => one !== null)
}

/** A folder without an owner was just created by a run that begins, or is being removed by one that ends. */
function endIfAbandoned(folder: string): void {
  const owner = read<ProcessIdentity>(join(folder, 'owner'))
  if (owner === null || isRunning(owner) || !existsSync(join(folder, 'processes'))) return
  console.error(`ending what an earlier test run has left: ${basename(folder)}`)
  endRun(folder)
}

function read<Value>(path: string): Value | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    // A run of another user is left alone.
    if (hasCode(error, 'ENOENT', 'EACCES')) return null
    throw error
  }
}

/** Other processes may read it at any time, and must not see a partial file. */
function writeWhole(path: string, value: unknown): void {
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(value))
  renameSync(`${path}.${process.pid}`, path)
}

function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
