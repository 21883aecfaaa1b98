/**
 * What is known about the files of one batch: a file `.sending/<batchId>.jsonl` beside the folder `.sending/<batchId>` in which they lie.
 *
 * The first line says how they are sent. It is durable before the first file lies in the folder. The other lines are appended: the end of a
 * transfer, before the sender's journal forgets it; that the file may be deleted; that nothing is left to do for it. A line that a crash has
 * cut off counts as not written.
 */
import { open } from 'node:fs/promises'
import * as Type from 'typebox'
import { Gatherer } from '../async/index.ts'
import { createFile, readTextOrNull, whenDescriptorsAllow, writeAll } from '../fs/index.ts'
import { conforms, type ProblemJson } from '../protocol/index.ts'
import type { JournalKey, KeptReceipt, SourceIdentity } from '../sender/index.ts'

const RECORD_VERSION = 1
const RECORD_MODE = 0o600

const HowToSend = Type.Object({
  to: Type.Array(Type.String()),
  isSealed: Type.Boolean(),
  withTimes: Type.Boolean(),
  exclude: Type.Array(Type.String()),
  isStrict: Type.Boolean(),
})
/** How the files of a batch are sent, whatever a later run is told: another way would be another transfer. */
export type HowToSend = Readonly<Type.Static<typeof HowToSend>>

const Header = Type.Object({
  /** What was to be taken over: each is in the folder of the batch, or was not taken over, or was taken away. */
  files: Type.Array(Type.Object({ name: Type.String(), isFolder: Type.Boolean() })),
  version: Type.Literal(RECORD_VERSION),
  account: Type.String(),
  portalUrl: Type.String(),
  /** The journal that has the transfers which were begun. */
  journalId: Type.String(),
  how: HowToSend,
})
export type BatchHeader = Readonly<Type.Static<typeof Header>>

/** The end of a transfer. */
export interface RecordedEnd {
  readonly outcome: 'delivered' | 'failed' | 'refused'
  readonly transferId: string | null
  readonly at: string
  readonly isFolder: boolean
  readonly failures?: readonly { readonly receiver: string; readonly problem: ProblemJson }[]
  readonly problem?: ProblemJson
  readonly receipts: readonly KeptReceipt[]
  /** What was sent. Null where there was no transfer. */
  readonly source: SourceIdentity | null
  /** The transfer in the sender's journal, which may still have it after a crash. */
  readonly key: JournalKey | null
}

const Line = Type.Union([
  Type.Object({ name: Type.String(), end: Type.Unknown() }),
  Type.Object({ name: Type.String(), isDeleting: Type.Literal(true) }),
  Type.Object({ name: Type.String(), isDone: Type.Literal(true) }),
])

/** What a record says about the files of its batch. */
export interface KnownBatch {
  readonly header: BatchHeader
  readonly ends: ReadonlyMap<string, RecordedEnd>
  /** Files whose deletion has begun. */
  readonly deleting: ReadonlySet<string>
  readonly done: ReadonlySet<string>
}

interface AddedLine {
  readonly text: string
  /** Whether it has to survive the loss of power. */
  readonly isSynced: boolean
}

export class BatchRecord {
  readonly #path: string
  /** Whether the last line may be cut off. */
  #isOpen: boolean
  readonly #lines = new Gatherer((lines: readonly AddedLine[]) => this.#append(lines), setImmediate)

  constructor(path: string, { isOpen }: { isOpen: boolean }) {
    this.#path = path
    this.#isOpen = isOpen
  }

  /** Creates a record. The caller syncs its folder. */
  static async create(path: string, header: Omit<BatchHeader, 'version'>): Promise<BatchRecord> {
    await createFile(path, [lineOf({ version: RECORD_VERSION, ...header })], RECORD_MODE)
    return new BatchRecord(path, { isOpen: false })
  }

  /** @returns null when there is none; `damaged` when it does not begin like one */
  static async read(path: string): Promise<{ record: BatchRecord; known: KnownBatch } | 'damaged' | null> {
    const text = await readTextOrNull(path)
    if (text === null) return null
    const [first, ...values] = text.split('\n').map(parsed)
    if (!conforms(Header, first)) return 'damaged'
    const ends = new Map<string, RecordedEnd>()
    const deleting = new Set<string>()
    const done = new Set<string>()
    for (const line of values) {
      if (!conforms(Line, line)) continue
      if ('end' in line) ends.set(line.name, line.end as RecordedEnd)
      else if ('isDeleting' in line) deleting.add(line.name)
      else done.add(line.name)
    }
    const record = new BatchRecord(path, { isOpen: !text.endsWith('\n') })
    return { record, known: { header: first, ends, deleting, done } }
  }

  /** When it resolves, the end survives the loss of power. */
  noteEnd(name: string, end: RecordedEnd): Promise<void> {
    return this.#lines.add({ text: JSON.stringify({ name, end }), isSynced: true })
  }

  /** When it resolves, it is known for good that the file may be deleted. */
  noteDeleting(name: string): Promise<void> {
    return this.#lines.add({ text: JSON.stringify({ name, isDeleting: true }), isSynced: true })
  }

  /** If the power goes soon, it is not known, and what is left to do is done once more. */
  noteDone(name: string): Promise<void> {
    return this.#lines.add({ text: JSON.stringify({ name, isDone: true }), isSynced: false })
  }

  async #append(lines: readonly AddedLine[]): Promise<void> {
    const handle = await whenDescriptorsAllow(() => open(this.#path, 'a'))
    try {
      const text = `${this.#isOpen ? '\n' : ''}${lines.map(({ text: line }) => `${line}\n`).join('')}`
      this.#isOpen = true
      await writeAll(handle, [Buffer.from(text)], null)
      if (lines.some(({ isSynced }) => isSynced)) await handle.datasync()
      this.#isOpen = false
    } finally {
      await handle.close()
    }
  }
}

function lineOf(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`)
}

/** @returns undefined for a line that is cut off */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // JSON.parse throws on nothing but malformed input.
    return undefined
  }
}
