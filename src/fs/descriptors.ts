/**
 * File descriptors: each open file and each connection takes one, and the system limits how many a process has (`ulimit -n`). A command
 * plans for that limit. Where it still runs out, it waits for a moment, because other descriptors are closed meanwhile.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { retry } from '../async/index.ts'
import { hasCode } from './error-code.ts'

const SHORT_CODES = ['EMFILE', 'ENFILE']
const SHORT_PAUSE_MS = 20
/** After this many pauses the wait fails: whatever holds the descriptors will not close them soon. */
const SHORT_TRIES_MAX = 250
/** Descriptors kept free for files that are open for a moment, and for connections that belong to no transfer. */
const DESCRIPTORS_KEPT = 8
const SOFT_LIMIT = /^Max open files +(\d+)/m

/** Whether an error says that no descriptor is left, to this process or to all. */
export function isOutOfDescriptors(error: unknown): error is Error {
  return hasCode(error, ...SHORT_CODES)
}

/** Runs `act`, which opens a file. Tries again after a pause while no descriptor is free. @throws the error after a few seconds */
export async function whenDescriptorsAllow<Result>(act: () => Result | Promise<Result>): Promise<Result> {
  return retry(act, {
    delayMs: (error, tries) => {
      if (!isOutOfDescriptors(error) || tries === SHORT_TRIES_MAX) throw error
      return SHORT_PAUSE_MS
    },
  })
}

/**
 * How many tasks of a kind can run at a time within the limit of descriptors.
 *
 * @param wanted the most to allow
 * @param descriptorsEach how many descriptors one task takes
 * @returns 1 at least; `wanted` where the system does not tell its limit
 */
export function atOnceWithinDescriptors(wanted: number, descriptorsEach: number): number {
  const left = descriptorsLeft()
  if (left === null) return wanted
  return Math.max(1, Math.min(wanted, Math.floor((left - DESCRIPTORS_KEPT) / descriptorsEach)))
}

/** How many more descriptors this process may open; null where the system does not say. Linux does. */
function descriptorsLeft(): number | null {
  try {
    const [, limit] = SOFT_LIMIT.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return limit === undefined ? null : Number(limit) - readdirSync('/proc/self/fd').length
  } catch (error) {
    if (isOutOfDescriptors(error)) return 0
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM')) return null
    throw error
  }
}
