/**
 * The part of the ledger's contract about upload resources: uploads of one request that later requests continue. The content is that of
 * an ordinary transfer. An upload resource adds who may continue it, and how much of it is durable.
 *
 * One request at a time writes to an upload resource: its writer. Each change compares the writer, so that a request that was replaced
 * changes nothing any more, even if it was paused meanwhile and does not know it.
 */

import type { RoomBounds } from './records-contract.ts'

/** The protocol by which a client continues an upload. */
export type UploadProtocol = 'ietf' | 'tus'

/** Bytes behind the last full part that are durable in the store, under a generation of their own. */
export interface TailSegment {
  readonly generation: string
  readonly partNumber: number
  /** hex */
  readonly digest: string
  readonly lengthBytes: number
}

export interface NewUploadResource {
  /** The transfer that it uploads. A new resource for the same transfer replaces the earlier one. */
  readonly transferId: string
  readonly accountId: number
  readonly protocol: UploadProtocol
  /** SHA-256 of the secret in its address, in hex. */
  readonly secretHash: string
  /** The attempt at the transfer, and the generation of its parts. A later attempt has nothing to do with this resource. */
  readonly attempt: number
  readonly generation: string
  /** Whether the client chose the transferId, so that it can send the file again under the same one. */
  readonly isKeyed: boolean
  /** The announced length; null while it is not known. */
  readonly lengthBytes: number | null
  /** The `Repr-Digest` with which the upload was created. */
  readonly reprDigest: string | null
  /** Metadata that is given back as it came; null without any. */
  readonly metadata: string | null
}

export interface UploadResource extends NewUploadResource {
  /** The request that writes; null when none does. */
  readonly writerId: string | null
  /** How many bytes are durable: full parts, and the tail. It never decreases. */
  readonly offsetBytes: number
  /** What is durable of the part that is not complete yet, in order. */
  readonly tail: readonly TailSegment[]
}

/** What a writer has made durable. */
export interface Uploaded {
  /** The offset before. */
  readonly fromBytes: number
  readonly offsetBytes: number
  /** New parts, from the first one that was not recorded. */
  readonly parts: readonly { readonly partNumber: number; readonly digest: string }[]
  /** The whole tail from now on. */
  readonly tail: readonly TailSegment[]
  /** The length of the file; null while it is not known. */
  readonly lengthBytes: number | null
}

export interface UploadLedger {
  /** Records an upload resource, with nothing uploaded yet and its creator as the writer. */
  createUploadResource(upload: NewUploadResource, writerId: string): Promise<void>

  /** An upload resource, by its transfer or by its secret. */
  uploadResource(by: { readonly transferId: string } | { readonly secretHash: string }): Promise<UploadResource | null>

  /**
   * Replaces the writer.
   *
   * @returns the resource afterwards; null when `from` was not the writer
   */
  claimUploadResource(transferId: string, from: string | null, to: string | null): Promise<UploadResource | null>

  /** Records the length, once it is known. @returns false when that was not the writer */
  recordUploadLength(transferId: string, writerId: string, lengthBytes: number): Promise<boolean>

  /**
   * Records what a writer has made durable. Of a stream, the tail counts in the bytes of its account and of the storage from then on.
   *
   * @param bounds null for a transfer whose size is known: its announcement made the room
   * @returns false when that was not the writer, or the attempt is over: nothing of it counts
   * @throws Problem `storage-full` when there is no room for the tail; then nothing is recorded
   */
  recordUploaded(transferId: string, writerId: string, uploaded: Uploaded, bounds: RoomBounds | null): Promise<boolean>

  /** The digests of the recorded parts, in order, in hex. */
  uploadedDigests(transferId: string): Promise<string[]>

  /** Removes an upload resource. The transfer stays as it is. */
  removeUploadResource(transferId: string): Promise<void>
}
