/** The part of the ledger's contract about accounts, invites and the changes of accounts. */
import type { GuestKind, PublicKeys } from '../../protocol/index.ts'

export interface Account {
  readonly accountId: number
  readonly name: string
}

/** What makes an account a guest. */
export interface GuestOf {
  readonly kind: GuestKind
  readonly ownerId: number
  /** From then on the token is not valid. */
  readonly expiresAtMs: number
}

/** An account as its operator sees it. */
export interface AccountRecord extends Account {
  readonly createdAtMs: number
  /** Null for an active account. */
  readonly revokedAtMs: number | null
  readonly isOperator: boolean
  /** Transfers that it sends and that have not ended. */
  readonly openTransfers: number
  readonly openBytes: number
}

/** The changes of an account, as the audit log names them. */
export type AccountChangeKind =
  | 'invite-made'
  | 'account-opened'
  | 'rotation-made'
  | 'token-rotated'
  | 'account-revoked'
  | 'operator-made'
  | 'operator-unmade'
  | 'guest-made'
  | 'guest-expired'
  | 'guest-revoked'

/** One change of an account. Any process may have made it. */
export interface AccountChange {
  /** A later change has a larger id. */
  readonly changeId: number
  readonly atMs: number
  readonly change: AccountChangeKind
  readonly name: string
  /** The token that this change has made invalid. Its open requests have to be cut. */
  readonly deadTokenId: string | null
}

export interface AccountLedger {
  /**
   * Makes an invite that opens a new account.
   *
   * @param openMax how many invites may be open at a time; no bound if omitted
   * @param isOperator whether the account will be an operator's
   * @throws Problem `account-exists`; `too-many-invites`; `account-revoked` when the account of that name is revoked
   */
  createInvite(invite: {
    name: string
    secretHash: string
    lifetimeMs: number
    openMax?: number
    isOperator?: boolean
  }): Promise<void>

  /**
   * Makes an invite that replaces the token of an account, and brings a revoked account back. It voids all earlier unused invites
   * of the account.
   *
   * @throws Problem `account-unknown`
   */
  createRenewal(invite: { name: string; secretHash: string; lifetimeMs: number }): Promise<void>

  /** What an invite is for; null when it is unknown or cannot be used any more. */
  inviteByHash(secretHash: string): Promise<{ readonly name: string; readonly isRenewal: boolean } | null>

  /**
   * Uses up an invite: opens its account or replaces that account's token, and voids all other invites for that name. Repeated with
   * the same token it returns the same account for as long as the token is valid, so that a lost answer can be repeated.
   *
   * @returns null when the invite is unknown, has expired or was used with another token, or when the token is already known as
   *   that of another account or as the one to be replaced
   */
  redeemInvite(secretHash: string, token: { tokenId: string; tokenHash: string }): Promise<Account | null>

  /** The account with the token of that id. A revoked account keeps its last token id. */
  accountByTokenId(tokenId: string): Promise<
    | (Account & {
        readonly tokenHash: string
        readonly isRevoked: boolean
        readonly isOperator: boolean
        /** Null for an account of a person. */
        readonly guest: GuestOf | null
      })
    | null
  >

  /**
   * Revokes an account: its token becomes invalid, and invites that would renew it are voided. Its name stays taken, and it is no
   * longer an operator's. Its guests are revoked, its requests closed, and its webhooks removed, with it. Revoking it again changes
   * nothing.
   *
   * @throws Problem `account-unknown`
   */
  revokeAccount(name: string): Promise<void>

  /**
   * Makes an account an operator's, which may see the state of the whole portal, or takes that right away, and with it its webhooks
   * for the whole portal.
   *
   * @throws Problem `account-unknown`; `account-revoked` when a revoked account is to become an operator's
   */
  setOperator(name: string, isOperator: boolean): Promise<void>

  /** The accounts of people after the name `after`, in the order of their names. */
  accounts(page: { after: string; limit: number }): Promise<AccountRecord[]>

  /** For each name with open invites, in the order of names, the invite that expires last. */
  openInvites(page: { after: string; limit: number }): Promise<{ name: string; expiresAtMs: number }[]>

  /** The changes of accounts after a change, oldest first. Cheap enough to be called several times a second. */
  accountChanges(page: { after: number; limit: number }): Promise<AccountChange[]>

  /** The last change that is in the audit log; 0 when there is none. */
  auditedChangeId(): Promise<number>
  /** Records that all changes up to this one are in the audit log. */
  audited(changeId: number): Promise<void>

  /** An account with its public keys, which are null until it has set some; null when there is no such account. */
  accountByName(
    name: string,
  ): Promise<
    | (Account & { readonly keys: PublicKeys | null; readonly isOperator: boolean; readonly guest: GuestOf | null })
    | null
  >

  /** Sets the public keys of an account. They replace earlier ones. @returns `set` for its first keys */
  setKeys(accountId: number, keys: PublicKeys): Promise<'same' | 'set' | 'changed'>
}
