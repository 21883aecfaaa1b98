/**
 * A sender's journal and receipts in a process that kills itself right before one of its steps: for the test of what a crash
 * leaves. It records entries, replaces some of them, keeps receipts and removes entries, many at the same time each. It prints what
 * is done as soon as that has resolved.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import type { JournalEntry } from '../../src/sender/index.ts'
import type { ReceiptFile } from '../../src/trust/index.ts'

export interface JournalTask {
  readonly folder: string
  readonly entries: readonly JournalEntry[]
  /** They replace the first entries. */
  readonly newer: readonly JournalEntry[]
  readonly receipts: readonly ReceiptFile[]
  /** The process is killed before this step, counted from 1. */
  readonly killBeforeStep: number
}

const task: JournalTask = JSON.parse(process.argv[2] ?? '{}')
let steps = 0

type Call = (...args: never[]) => unknown

function count(owner: object, name: string, isStep: (args: readonly unknown[]) => boolean = () => true): void {
  const call: Call = Reflect.get(owner, name)
  Reflect.set(owner, name, function counted(this: unknown, ...args: never[]) {
    if (isStep(args) && ++steps === task.killBeforeStep) process.kill(process.pid, 'SIGKILL')
    return Reflect.apply(call, this, args)
  })
}

const isWriting = ([, flag = 'r']: readonly unknown[]): boolean => flag !== 'r'

await using anyFile = await fs.promises.open('/dev/null')
for (const name of ['rename', 'unlink', 'mkdir']) count(fs.promises, name)
for (const name of ['sync', 'datasync']) count(Object.getPrototypeOf(anyFile), name)
for (const name of ['writevSync', 'appendFileSync', 'fsync', 'fdatasync']) count(fs, name)
count(fs, 'openSync', isWriting)
syncBuiltinESMExports()

const { FileJournal } = await import('../../src/sender/node-journal.ts')
const { FileReceipts } = await import('../../src/profile/receipts.ts')

const say = (what: string, transferId: string): void => void fs.writeSync(1, `${what} ${transferId}\n`)
const journal = new FileJournal(task.folder)
const receipts = new FileReceipts(task.folder)
const { entries, newer } = task
await Promise.all(
  entries.map(async (entry) => {
    if (await journal.replace(null, entry)) say('recorded', entry.transferId)
  }),
)
await Promise.all(
  newer.map(async (entry, index) => {
    if (await journal.replace(entries[index] ?? null, entry)) say('replaced', entry.transferId)
  }),
)
await Promise.all(task.receipts.map((one) => receipts.keep(one).then(() => say('kept', one.transferId))))
const left = [...newer, ...entries.slice(newer.length)]
const [half, rest] = [left.slice(0, left.length / 2), left.slice(left.length / 2)]
for (const some of [half, rest]) {
  await Promise.all(some.map((entry) => journal.remove(entry).then(() => say('removed', entry.transferId))))
}
say('ended', `${steps}`)
