/** The end of a file's transfer: as it is recorded, and as it is told. */
import { RemoteProblem } from '../client/index.ts'
import { Problem, type ProblemJson } from '../protocol/index.ts'
import { isAboutAccount } from '../sender/answers.ts'
import type { JournalEntry, SendOutcome } from '../sender/index.ts'
import type { RecordedEnd } from './batch-record.ts'
import type { Drop } from './batches.ts'
import type { WatchedFile } from './events.ts'

/** @returns null for what is no end */
export function recordedEndOf(
  drop: Drop,
  outcome: SendOutcome,
  entry: JournalEntry | null,
): Omit<RecordedEnd, 'receipts'> | null {
  const { transferId } = outcome
  const about = {
    transferId,
    at: new Date().toISOString(),
    isFolder: drop.isFolder,
    source: entry?.source ?? null,
    key: entry === null ? null : keyOf(entry),
  }
  if (outcome.outcome === 'delivered') return { ...about, outcome: 'delivered' }
  if (outcome.outcome === 'failed') return { ...about, outcome: 'failed', failures: outcome.failures }
  return outcome.outcome === 'refused' ? { ...about, outcome: 'refused', problem: outcome.problem } : null
}

function keyOf({ portalUrl, account, place, name, to, isSealed }: JournalEntry): RecordedEnd['key'] {
  return { portalUrl, account, place, name, to, isSealed }
}

export function watchedFile({ name }: Drop, end: RecordedEnd, path: string | null): WatchedFile {
  const { outcome, transferId, failures = [], problem, receipts } = end
  const about = { name, path, receipts }
  if (problem !== undefined) return { ...about, outcome: 'refused', transferId, problem }
  if (transferId === null) throw new Error('the record of the end has no transfer')
  return outcome === 'delivered'
    ? { ...about, outcome, transferId }
    : { ...about, outcome: 'failed', transferId, failures }
}

/** The refusal of one file, or of its receivers; null for an error that is not about this file alone. */
export function refusalIn(error: unknown): ProblemJson | null {
  if (error instanceof RemoteProblem) return error.next === 'retry' || isAboutAccount(error) ? null : error.problem
  return error instanceof Problem && error.code !== 'folder-unavailable' ? error.toJSON() : null
}
