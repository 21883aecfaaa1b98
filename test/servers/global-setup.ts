/** Vitest calls this before the first test and after the last one. A run without servers creates only an empty folder. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { beginRun, endRun } from './run.ts'

const program = fileURLToPath(new URL('../../bin/golooader.js', import.meta.url))

export default function setUp(): () => void {
  // Builds the command line if a source has changed, so that the processes of the first tests need not all build it.
  execFileSync(process.execPath, [program, '--version'])
  const folder = beginRun()
  const end = (): void => endRun(folder)
  // An aborted run exits without the teardown.
  process.once('exit', end)
  return end
}
