/**
 * The record of everything sealed under a content key: the digest of every sealed part, durable before the part leaves.
 *
 * The promise: one key never seals two different contents of the same part, because AES-GCM would then reveal both. Size and
 * times of a file do not prove that it is unchanged; this record does. Sealing the same content again gives the same digest.
 * A part with another digest is not sent: it needs another key, and so another transfer.
 *
 * Several runs may seal with the same key at the same time. So an entry is made under a lock, and only while the durable record
 * has none for that part.
 */

/** Another content was about to be sealed under a key that has sealed this part before. */
export class SealConflictError extends Error {
  override readonly name = 'SealConflictError'
}

/** The transfer was taken to another machine, and nothing more may be sealed for it here. */
export class TransferMovedError extends Error {
  override readonly name = 'TransferMovedError'
  constructor() {
    super(
      'its profile was exported together with this transfer, which continues where that is imported. ' +
        'If that export was interrupted, run it again',
    )
  }
}

/** The number of entries, and the length of each. */
export interface RecordLayout {
  readonly partCount: number
  readonly digestBytes: number
}

/** The record of one transfer. The caller disposes of it. */
export interface SealRecord extends AsyncDisposable {
  /**
   * Records a sealed part before it leaves. When it resolves, the entry survives the loss of power.
   *
   * @param digest of the sealed part, in hex
   * @throws SealConflictError when the part was sealed with another content, or when that cannot be ruled out; TransferMovedError
   */
  note(partNumber: number, digest: string): Promise<void>
}

/** The records of all transfers of several parts. Each is removed together with the journal entry. */
export interface SealRecords {
  /** Begins the record of a transfer that no other run knows yet. When it resolves, the record survives the loss of power. */
  begin(transferId: string, layout: RecordLayout): Promise<void>

  /**
   * Opens the record of a transfer that is in the journal. Entries that other runs have made by now count and are durable.
   *
   * @param held the parts that the portal holds: part number -> digest in hex
   * @returns null when the record is missing or damaged. A record that lacks one of `held` is an older copy, and counts as damaged
   * @throws TransferMovedError
   */
  open(transferId: string, layout: RecordLayout, held: ReadonlyMap<number, string>): Promise<SealRecord | null>

  /** Removes the record of a transfer under whose key nothing more will be sealed. */
  remove(transferId: string): Promise<void>
}

/** Identifies a transfer and its only part in the record. */
export interface SealedTransfer {
  readonly transferId: string
  /** The digest of the sealed part of a transfer with only one. */
  readonly onlyPartDigest: string | null
}

/**
 * Begins a record where one is needed. A transfer of only one part has its digest in the journal entry and needs no record.
 */
export async function beginRecord(records: SealRecords, transferId: string, layout: RecordLayout): Promise<void> {
  if (layout.partCount > 1) await records.begin(transferId, layout)
}

/** Opens the record of a transfer that is in the journal. If it is lost, nothing may be sealed any more. */
export async function openRecord(
  records: SealRecords,
  { transferId, onlyPartDigest }: SealedTransfer,
  layout: RecordLayout,
  held: ReadonlyMap<number, string>,
): Promise<SealRecord> {
  if (layout.partCount <= 1) return onlyPartRecord(onlyPartDigest)
  return (await records.open(transferId, layout, held)) ?? onlyPartRecord(null)
}

/** A record that allows only one part with this digest; with null, none. */
function onlyPartRecord(onlyPartDigest: string | null): SealRecord {
  return {
    async note(partNumber, digest) {
      if (onlyPartDigest === null) throw new SealConflictError('it is not on record what was sealed with this key')
      if (digest !== onlyPartDigest) throw new SealConflictError(`part ${partNumber} was sealed with other content`)
    },
    async [Symbol.asyncDispose]() {},
  }
}
