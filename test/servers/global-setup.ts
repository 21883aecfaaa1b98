/** Vitest calls this before the first test and after the last one. A run that needs no server pays for an empty folder. */
import { beginRun, endRun } from './run.ts'

export default function setUp(): () => void {
  const folder = beginRun()
  const end = (): void => endRun(folder)
  // A run that is cut short exits without its teardown.
  process.once('exit', end)
  return end
}
