/** The process group of a command: the command and what it has started, except what left the group by itself. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { sleep } from '../async/index.ts'
import { hasCode, isRunningHere, type ProcessIdentity, processIdentity } from '../fs/index.ts'

/** How long a command has after SIGTERM, before SIGKILL. */
const TERMINATION_MS_MAX = 5_000
const LOOK_EVERY_MS = 50

/**
 * Ends all processes of a group: by SIGTERM, and what is left then by SIGKILL.
 *
 * @param pid of its first process
 * @returns false when processes are left which this user may not end: what sudo runs, for one
 */
export async function endGroup(pid: number): Promise<boolean> {
  let found = signalGroup(pid, 'SIGTERM')
  const endMs = performance.now() + TERMINATION_MS_MAX
  while (found !== 'gone' && performance.now() < endMs) {
    await sleep(LOOK_EVERY_MS)
    found = signalGroup(pid, 0)
  }
  if (found === 'own') found = signalGroup(pid, 'SIGKILL')
  return found !== 'foreign'
}

/** Ends all processes of a group at once. */
export function killGroup(pid: number): void {
  signalGroup(pid, 'SIGKILL')
}

/** @returns what the group has: processes of this user, only those of another one, or none any more */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): 'own' | 'foreign' | 'gone' {
  try {
    process.kill(-pid, signal)
    return 'own'
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return 'gone'
    // macOS says the same of processes that have ended already.
    if (hasCode(error, 'EPERM')) return process.platform === 'darwin' ? 'gone' : 'foreign'
    throw error
  }
}

/** Writes down which command runs. It need not be durable: after a loss of power the command does not run any more. */
export function noteRunning(path: string, pid: number): void {
  const identity = processIdentity(pid)
  if (identity !== null) ignoringDisk(() => writeFileSync(path, JSON.stringify(identity), { mode: 0o600 }))
}

export function noteEnded(path: string): void {
  ignoringDisk(() => rmSync(path, { force: true }))
}

/** Without the note, a command of a killed run may run beside its repetition. That is no reason not to run it. */
function ignoringDisk(act: () => void): void {
  try {
    act()
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
  }
}

/**
 * Ends the command that a killed run of this program has left running: otherwise it would run beside its repetition. Where the system does
 * not tell whether it runs, nothing happens.
 */
export async function endLeftRunning(path: string): Promise<void> {
  const identity = identityIn(path)
  if (identity === null) return
  if (isRunningHere(identity) === true) await endGroup(identity.pid)
  noteEnded(path)
}

function identityIn(path: string): ProcessIdentity | null {
  try {
    const { space, pid, startTicks } = JSON.parse(readFileSync(path, 'utf8'))
    const isIdentity =
      typeof space === 'string' && Number.isSafeInteger(pid) && pid > 1 && typeof startTicks === 'string'
    return isIdentity ? { space, pid, startTicks } : null
  } catch (error) {
    // A kill can leave an empty file.
    if (hasCode(error, 'ENOENT') || error instanceof SyntaxError) return null
    throw error
  }
}
