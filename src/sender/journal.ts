/**
 * The sender's own record: which transfer a file is being sent as. It is durable before the portal hears of the
 * transfer, so whatever happens, sending the file again goes on with the same transfer instead of sending a second copy.
 *
 * Several runs may be at work, over the same file or over two versions of it. So an entry is changed by compare-and-set,
 * and each run forgets nothing but its own transfer.
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

/** What makes two sends the same one. */
export interface JournalKey {
  readonly portalUrl: string
  readonly account: string
  /** That of the source. */
  readonly place: string
  /** The name the receiver is told; a link to the file may give it another one, which is another transfer. */
  readonly name: string
  /** In ascending order. */
  readonly to: readonly string[]
  /** A file that is sent once more without a seal is another transfer. */
  readonly isSealed: boolean
}

/** A transfer that this sender has begun, and has not yet told its user the end of. */
export interface JournalEntry extends JournalKey {
  readonly transferId: string
  readonly source: SourceIdentity
  /** As it is announced, and the same again whenever it is announced again. Where it is sealed, the content key is in it. */
  readonly metadata: Metadata
  /** For which keys it is sealed, `sealedForText`; null where it is not. */
  readonly sealedFor: string | null
  /** Of the sealed part, where there is only one: no other content may be sealed with the same key. */
  readonly onlyPartDigest: string | null
  /** Of the file itself: sealed parts are longer. */
  readonly partSizeBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  readonly createdAt: string
}

export interface Journal {
  /** The entry of a key. @returns null where there is none, or only something that cannot be one */
  read(key: JournalKey): Promise<JournalEntry | null>

  /**
   * Records a transfer, if what the journal says is still `known`; the seal record of that goes. When it resolves, the record
   * survives the loss of power.
   *
   * @param known what `read` returned
   * @returns false where another run has recorded, or forgotten, a transfer meanwhile: then nothing was changed
   */
  replace(known: JournalEntry | null, entry: JournalEntry): Promise<boolean>

  /**
   * Forgets a transfer whose end the user has been told, and its seal record; durable too, lest an old end is told of a new
   * send. Where another run has recorded a newer transfer since, that stays.
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

/** Reads what a journal holds. @returns null for anything that is no entry */
export function asEntry(value: unknown): JournalEntry | null {
  if (!conforms(StoredEntry, value)) return null
  const { digestAlgorithm, ...entry } = value
  return isDigestAlgorithm(digestAlgorithm) ? { ...entry, digestAlgorithm } : null
}

/** The same text for the same key, and only for it. */
export function keyText({ portalUrl, account, place, name, to, isSealed }: JournalKey): string {
  return JSON.stringify([portalUrl, account, place, name, to, isSealed])
}
