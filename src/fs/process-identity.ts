/** Tells processes of this machine apart, also from later ones with the same number. */
import { readFileSync, readlinkSync } from 'node:fs'
import { hasCode } from './error-code.ts'

/** Identifies a process on its machine. A later process with the same number has another start time. */
export interface ProcessIdentity {
  /** Identifies the boot of the machine and the process id namespace. */
  readonly space: string
  readonly pid: number
  readonly startTicks: string
}

/** The identity of a running process. @returns null where there is no such process, and where the system does not tell */
export function processIdentity(pid: number = process.pid): ProcessIdentity | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const space = `${boot}/${readlinkSync('/proc/self/ns/pid').replace(/[^0-9]/g, '')}`
    const startTicks = startTicksOf(pid)
    return startTicks === null ? null : { space, pid, startTicks }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM')) return null
    throw error
  }
}

/** Whether a process of this machine runs; null for a process of another machine, or when that cannot be known. */
export function isRunningHere(identity: ProcessIdentity | null): boolean | null {
  const own = processIdentity()
  if (identity === null || own === null || identity.space !== own.space) return null
  return startTicksOf(identity.pid) === identity.startTicks
}

/** @returns null when there is no such process */
function startTicksOf(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Field 2 is the name of the program in brackets and may contain anything. Fields from 3 on follow the last bracket.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return null
    throw error
  }
}
