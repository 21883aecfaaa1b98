import { readFileSync } from 'node:fs'
import { hasCode } from './error-code.ts'

/** Names the time for which the machine has been running. Where the system has no such name, each process has its own. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM')) throw error
    return `process ${process.pid} ${performance.timeOrigin}`
  }
}
