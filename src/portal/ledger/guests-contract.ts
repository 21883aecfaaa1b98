/**
 * The part of the ledger's contract about guests, which are accounts with an owner, and about requests for files.
 *
 * A guest's row is used again for a later guest once the guest has ended and none of its transfers is remembered: deleting it would make
 * the database search all deliveries for references to it.
 */
import type { NewFileRequest, NewGuest, PublicKeys, RequestOfTransfer } from '../../protocol/index.ts'
import type { Account, GuestOf } from './accounts-contract.ts'

/** An account with keys that others send to, or are guests of. */
export interface Owner {
  readonly name: string
  readonly keys: PublicKeys
}

/** How many guests and requests an account may have. */
export interface GuestBounds {
  readonly openMax: number
  readonly perDayMax: number
}

/** A request for files as the ledger has it. */
export interface FileRequestRecord {
  readonly requestId: string
  readonly ownerId: number
  readonly label: string | null
  readonly createdAtMs: number
  /** When it expires, or was closed. */
  readonly endsAtMs: number
  readonly state: 'open' | 'closed' | 'expired'
  readonly filesMax: number
  readonly bytesMax: number
  readonly guests: number
  readonly files: number
  readonly bytes: number
}

/** The counts of guests that may still be used, and of open requests. */
export interface GuestCensus {
  readonly receiving: number
  readonly sending: number
  readonly requests: number
}

export interface GuestLedger {
  /**
   * Makes receiving guests, all or none. Those that exist already, with the same owner, token and keys, stay as they are.
   *
   * @returns when the first of them expires
   * @throws Problem `credentials-invalid` (the owner was revoked meanwhile), `keys-missing` (of the owner), `guest-conflict`,
   *   `too-many-guests`
   */
  createGuests(
    ownerId: number,
    guests: { readonly guests: readonly NewGuest[]; readonly expiresAtMs: number },
    bounds: GuestBounds,
  ): Promise<{ expiresAtMs: number }>

  /** The owner of a guest and, of a sending guest, its request; null when the account is no guest. */
  guest(
    accountId: number,
  ): Promise<(GuestOf & { readonly owner: Owner; readonly request: FileRequestRecord | null }) | null>

  /** The requests of sending guests, by their account ids. Other accounts are not in it. */
  requestsOfGuests(accountIds: readonly number[]): Promise<ReadonlyMap<number, RequestOfTransfer>>

  /**
   * Makes a request for files, or finds the one that the same call made.
   *
   * @throws Problem like `createGuests`
   */
  createFileRequest(
    ownerId: number,
    request: Omit<NewFileRequest, 'expiresAt'> & { readonly expiresAtMs: number },
    bounds: GuestBounds,
  ): Promise<FileRequestRecord>

  /** The newest requests of an owner, or those before the request `before`. */
  fileRequestsOf(ownerId: number, page: { before: string | null; limit: number }): Promise<FileRequestRecord[]>

  /** Ends a request. One that has ended stays as it is. @returns null when the owner has no such request */
  closeFileRequest(ownerId: number, requestId: string): Promise<FileRequestRecord | null>

  /** The open request with that secret, and its owner; null when there is none. */
  fileRequestByHash(secretHash: string): Promise<{ readonly request: FileRequestRecord; readonly owner: Owner } | null>

  /**
   * Makes a sending guest of an open request. Repeated with the same guest it returns the same account.
   *
   * @param lingerMs how long the guest's token is valid after the end of the request
   * @returns null when there is no open request with that secret
   * @throws Problem `guest-conflict`; `request-full` when the request has as many guests as files
   */
  joinFileRequest(secretHash: string, guest: NewGuest, { lingerMs }: { lingerMs: number }): Promise<Account | null>

  /** Revokes guests that have expired. @returns how many */
  expireGuests(limit: number): Promise<number>

  /** Ended requests whose guests may still be uploading. */
  dueFileRequests(limit: number): Promise<string[]>
  /** The uploads of a request's guests that are under way. */
  uploadsFor(requestId: string, limit: number): Promise<string[]>
  /** Records that no upload of an ended request is under way any more. Does nothing while one is. */
  fileRequestSettled(requestId: string): Promise<void>

  /** Counts the guests that may still be used, and the open requests. */
  guestCensus(): Promise<GuestCensus>
}
