/**
 * The sender's own record of the transfer of each file. It is durable before the portal hears of the transfer, so that sending the
 * file again always continues the same transfer and never makes a second copy.
 *
 * Several runs may send the same file, or two versions of it, at the same time. So entries are changed by compare-and-set, and
 * each run removes only its own transfer.
 */
import * as Type from 'typebox'
import {
  conforms,
  type DigestAlgorithm,
  DigestHex,
  isDigestAlgorithm,
  Metadata,
  Timestamp,
  TransferId,
} from '../protocol/index.ts'
import type { SourceIdentity } from './source.ts'

/** Two sends with the same key are the same transfer. */
export interface JournalKey {
  readonly portalUrl: string
  readonly account: string
  /** `Source.place`. */
  readonly place: string
  /** The name for the receiver. A link to the file may give it another name, which makes another transfer. */
  readonly name: string
  /** The receivers in ascending order. */
  readonly to: readonly string[]
  /** The same file without a seal is another transfer. */
  readonly isSealed: boolean
}

/** A transfer that this sender has begun and whose end it has not reported to its user yet. */
export interface JournalEntry extends JournalKey {
  readonly transferId: string
  readonly source: SourceIdentity
  /** The metadata as announced, the same at every announcement. For a sealed transfer it contains the wrapped content key. */
  readonly metadata: Metadata
  /** The keys that the transfer is sealed for, from `sealedForText`; null where it is not sealed. */
  readonly sealedFor: string | null
  /** The digest of the sealed part of a transfer with only one. No other content may be sealed with its key. */
  readonly onlyPartDigest: string | null
  /** The part size of the file itself. Sealed parts are longer. */
  readonly partSizeBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  readonly createdAt: string
}

export interface Journal {
  /** The entry of a key. @returns null when there is none, or when it is damaged */
  read(key: JournalKey): Promise<JournalEntry | null>

  /**
   * Records a transfer if the entry of its key is still `known`, and removes the seal record of `known`. When it resolves, the entry
   * survives the loss of power.
   *
   * @param known what `read` returned
   * @returns false when another run has changed the entry meanwhile: then nothing was changed
   */
  replace(known: JournalEntry | null, entry: JournalEntry): Promise<boolean>

  /**
   * Removes the entry and the seal record of a transfer whose end the user knows. Durable, so that no later send reports the old
   * end. An entry that another run has replaced since stays.
   */
  remove(entry: JournalEntry): Promise<void>
}

const StoredEntry = Type.Object({
  transferId: TransferId,
  portalUrl: Type.String(),
  account: Type.String(),
  place: Type.String(),
  name: Type.String(),
  to: Type.Array(Type.String()),
  isSealed: Type.Boolean(),
  metadata: Metadata,
  sealedFor: Type.Union([Type.String(), Type.Null()]),
  onlyPartDigest: Type.Union([DigestHex, Type.Null()]),
  source: Type.Object({ sizeBytes: Type.Integer({ minimum: 0 }) }),
  partSizeBytes: Type.Integer({ minimum: 1 }),
  digestAlgorithm: Type.String(),
  createdAt: Timestamp,
})

/** Validates a journal entry. @returns null when the value is not one */
export function asEntry(value: unknown): JournalEntry | null {
  if (!conforms(StoredEntry, value)) return null
  const { digestAlgorithm, ...entry } = value
  return isDigestAlgorithm(digestAlgorithm) ? { ...entry, digestAlgorithm } : null
}

/** A text that is the same exactly for equal keys. */
export function keyText({ portalUrl, account, place, name, to, isSealed }: JournalKey): string {
  return JSON.stringify([portalUrl, account, place, name, to, isSealed])
}
