/**
 * A receiver that kills itself right before one of its steps, for tests of crashes. Its argument is JSON, a {@link Task}. It first
 * completes the files of earlier killed processes, then receives the last files, all at the same time. From there each call that
 * changes or syncs the file system counts as a step.
 *
 * It prints the last step on standard output, and exits with 0 unless it kills itself.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { StatementSync } from 'node:sqlite'
import type { TestFile } from './test-file.ts'

export interface Task {
  readonly folder: string
  /** The files of earlier processes that were killed. */
  readonly earlier: readonly TestFile[]
  readonly files: readonly TestFile[]
  /** The process kills itself before this step, counted from 1. null means never. */
  readonly killBeforeStep: number | null
  /** Whether steps count from the start, including those that open the folder and complete earlier files. */
  readonly isFromStart?: boolean
}

const task: Task = JSON.parse(process.argv[2] ?? '{}')
/** The uncounted call. */
const { writeSync } = fs
const say = (text: string): void => void writeSync(1, text)
let steps: number | null = task.isFromStart === true ? 0 : null

function beforeStep(name: string): void {
  if (steps === null) return
  steps++
  if (steps !== task.killBeforeStep) return
  say(`before ${name}`)
  process.kill(process.pid, 'SIGKILL')
}

type Call = (...args: never[]) => unknown

function count(owner: object, name: string, isStep: (args: readonly unknown[]) => boolean = () => true): void {
  const call: Call = Reflect.get(owner, name)
  Reflect.set(owner, name, function counted(this: unknown, ...args: never[]) {
    if (isStep(args)) beforeStep(name)
    return Reflect.apply(call, this, args)
  })
}

const isWriting = ([, flag = 'r']: readonly unknown[]): boolean => flag !== 'r'

await using anyFile = await fs.promises.open('/dev/null')
for (const name of ['link', 'rename', 'unlink', 'rm', 'rmdir', 'mkdir', 'appendFile']) count(fs.promises, name)
for (const name of ['writev', 'write', 'writeFile', 'sync', 'datasync', 'truncate']) {
  count(Object.getPrototypeOf(anyFile), name)
}
for (const name of ['writevSync', 'writeSync', 'mkdirSync', 'symlinkSync', 'futimesSync', 'lutimesSync', 'fsync']) {
  count(fs, name)
}
count(fs.promises, 'open', isWriting)
count(fs, 'openSync', isWriting)
// Each statement of the log of small files: before `commit` nothing of a batch is there, after it all of it is.
count(StatementSync.prototype, 'run')
syncBuiltinESMExports()

// This import comes after the replacement of the file system calls, so that the receiver uses the counted ones.
const { openReceiver } = await import('./receive-file.ts')

await using receiver = await openReceiver(task.folder)
for (const file of task.earlier) await receiver.receive(file)
steps ??= 0
await Promise.all(task.files.map(receiver.receive))
say(`after ${steps} steps`)
