/** What a receiver remembers of a transfer that is about to be published, or is. */
import { transferTimeMs } from '../protocol/index.ts'
import type { ReceiptClaims } from '../trust/index.ts'

const DAY_MS = 86_400_000
/** So long after it was made, a transfer can still be delivered; for so long its record is kept. */
export const transferAgeMsMax = 90 * DAY_MS

export interface CommitRecord {
  readonly transferId: string
  readonly finalName: string
  /** hex */
  readonly manifestDigest: string
  /** What is signed as the receipt, the same each time; null where this account has no keys to sign with. */
  readonly receipt: ReceiptClaims | null
}

/** @throws Error for a value of another form */
export function commitRecordOf(value: unknown): CommitRecord {
  if (typeof value !== 'object' || value === null) throw new Error('not an object')
  const { transferId, finalName, manifestDigest, receipt = null }: Partial<Record<keyof CommitRecord, unknown>> = value
  if (typeof transferId !== 'string' || typeof finalName !== 'string' || typeof manifestDigest !== 'string') {
    throw new Error('a member is missing')
  }
  if (typeof receipt !== 'object') throw new Error('the receipt is not an object')
  return { transferId, finalName, manifestDigest, receipt: receipt as ReceiptClaims | null }
}

/** Whether a transfer is too old to be told from one that was received and has been forgotten. */
export function isForgotten(transferId: string): boolean {
  return transferTimeMs(transferId) < Date.now() - transferAgeMsMax
}
