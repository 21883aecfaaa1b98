/**
 * What was sealed under a content key: the digest of every sealed part, durable before the part leaves.
 *
 * The promise: one key never seals two different contents of the same part. AES-GCM gives away both if it does. The size
 * and times of a file are no proof that it is unchanged; this record is. Sealing the same content again gives the same
 * digest, and whatever gives another one is not sent: it needs another key, which means another transfer.
 *
 * Several runs may seal with the same key at the same time, each what it has read of the file: so an entry is made only
 * while there is none in what is durable, and nobody else makes one meanwhile.
 */

/** Another content than before was about to be sealed under the same key. */
export class SealedOtherwise extends Error {
  override readonly name = 'SealedOtherwise'
}

/** How many entries there may be, and how long each is. */
export interface RecordLayout {
  readonly partCount: number
  readonly digestBytes: number
}

/** The record of one transfer. To be disposed of. */
export interface SealRecord extends AsyncDisposable {
  /**
   * Writes down what is about to leave. When it resolves, the entry survives the loss of power.
   *
   * @param digest of the sealed part, in hex
   * @throws SealedOtherwise when that part was sealed with another content, or when that cannot be ruled out
   */
  note(partNumber: number, digest: string): Promise<void>
}

/** The records of all transfers of several parts. That of a transfer goes with its entry in the journal. */
export interface SealRecords {
  /** Begins the record of a transfer that nobody knows of yet. When it resolves, it survives the loss of power. */
  begin(transferId: string, layout: RecordLayout): Promise<void>

  /**
   * Opens the record of a transfer that is in the journal. What another run has noted by now counts, and lasts.
   *
   * @param held what the portal holds, part number -> digest in hex
   * @returns null where it has gone, or lost anything; where it lacks any of `held` it is an older copy
   */
  open(transferId: string, layout: RecordLayout, held: ReadonlyMap<number, string>): Promise<SealRecord | null>

  /** Removes the record of a transfer under whose key nothing more will be sealed. */
  remove(transferId: string): Promise<void>
}

/** What a transfer has a record by. */
export interface SealedTransfer {
  readonly transferId: string
  /** Of the sealed part, where there is only one. */
  readonly onlyPartDigest: string | null
}

/**
 * Begins a record where one is needed: the digest of an only part stands in the journal from the beginning, which costs
 * nothing more.
 */
export async function beginRecord(records: SealRecords, transferId: string, layout: RecordLayout): Promise<void> {
  if (layout.partCount > 1) await records.begin(transferId, layout)
}

/** Opens the record of a transfer that is in the journal. Where it is lost, nothing may be sealed any more. */
export async function openRecord(
  records: SealRecords,
  { transferId, onlyPartDigest }: SealedTransfer,
  layout: RecordLayout,
  held: ReadonlyMap<number, string>,
): Promise<SealRecord> {
  if (layout.partCount <= 1) return onlyPartRecord(onlyPartDigest)
  return (await records.open(transferId, layout, held)) ?? onlyPartRecord(null)
}

/** What may be sealed of a transfer is one part with this digest; with null, nothing. */
function onlyPartRecord(onlyPartDigest: string | null): SealRecord {
  return {
    async note(partNumber, digest) {
      if (onlyPartDigest === null) throw new SealedOtherwise('it is not on record what was sealed with this key')
      if (digest !== onlyPartDigest) throw new SealedOtherwise(`part ${partNumber} was sealed with other content`)
    },
    async [Symbol.asyncDispose]() {},
  }
}
