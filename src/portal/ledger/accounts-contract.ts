/** The part of the ledger's contract that is about accounts: who they are, how they join, what happened to them. */
import type { PublicKeys } from '../../protocol/index.ts'

export interface Account {
  readonly accountId: number
  readonly name: string
}

/** An account as its operator sees it. */
export interface AccountRecord extends Account {
  readonly createdAtMs: number
  /** Null for one that is active. */
  readonly revokedAtMs: number | null
  readonly isOperator: boolean
  /** What it sends, and has no outcome yet. */
  readonly openTransfers: number
  readonly openBytes: number
}

/** What can happen to an account, in the words of the audit log. */
export type AccountChangeKind =
  | 'invite-made'
  | 'account-opened'
  | 'rotation-made'
  | 'token-rotated'
  | 'account-revoked'
  | 'operator-made'
  | 'operator-unmade'

/** Something that happened to an account, by whatever process. */
export interface AccountChange {
  /** Larger means later. */
  readonly changeId: number
  readonly atMs: number
  readonly change: AccountChangeKind
  readonly name: string
  /** The token that is not valid from this change on: what is under way with it is to be cut. */
  readonly deadTokenId: string | null
}

export interface AccountLedger {
  /**
   * An invite that opens a new account.
   *
   * @param openMax so many may be open at a time; no bound if not given
   * @param isOperator whether that account is to be an operator's
   * @throws Problem `account-exists`; `too-many-invites`; `account-revoked` where the account of that name is a revoked one
   */
  createInvite(invite: {
    name: string
    secretHash: string
    lifetimeMs: number
    openMax?: number
    isOperator?: boolean
  }): Promise<void>

  /**
   * An invite that replaces the token of an account, and brings a revoked one back. It voids every earlier one of the
   * account that was not used.
   *
   * @throws Problem `account-unknown`
   */
  createRenewal(invite: { name: string; secretHash: string; lifetimeMs: number }): Promise<void>

  /**
   * Uses up an invite, and opens its account or replaces that account's token. All other invites for that name are
   * void from then on. Again with the same token it returns the same account, so that a lost answer can be repeated,
   * for as long as that token is valid.
   *
   * @returns null when there is no such invite, it has run out, it was used with another token, or the token is known
   *   already: that of another account, or the one that is to be replaced
   */
  redeemInvite(secretHash: string, token: { tokenId: string; tokenHash: string }): Promise<Account | null>

  /** The account that has, or had when it was revoked, the token of that id. */
  accountByTokenId(
    tokenId: string,
  ): Promise<
    (Account & { readonly tokenHash: string; readonly isRevoked: boolean; readonly isOperator: boolean }) | null
  >

  /**
   * Revokes an account: its token is not valid from then on, and invites that would renew it are void. Its name stays
   * taken, and it is no operator's any more. Revoking it again changes nothing.
   *
   * @throws Problem `account-unknown`
   */
  revokeAccount(name: string): Promise<void>

  /**
   * Makes an account an operator's, who may see how the whole portal does, or one like any other.
   *
   * @throws Problem `account-unknown`; `account-revoked` where a revoked one is to become an operator's
   */
  setOperator(name: string, isOperator: boolean): Promise<void>

  /** Accounts in the order of their names, those after `after`. */
  accounts(page: { after: string; limit: number }): Promise<AccountRecord[]>

  /** For each name, in their order, the invite for it that is good for longest, if there is one. */
  openInvites(page: { after: string; limit: number }): Promise<{ name: string; expiresAtMs: number }[]>

  /** What happened to accounts after a change, oldest first. Cheap enough to be asked several times a second. */
  accountChanges(page: { after: number; limit: number }): Promise<AccountChange[]>

  /** The last change that the audit log has told; 0 when it has told none. */
  auditedChangeId(): Promise<number>
  /** The audit log has told all changes up to this one. */
  audited(changeId: number): Promise<void>

  /** An account with its public keys, null as long as it has none; null where there is no such account. */
  accountByName(
    name: string,
  ): Promise<(Account & { readonly keys: PublicKeys | null; readonly isOperator: boolean }) | null>

  /** Sets the public keys of an account, in place of any that it had. @returns `set` for its first ones */
  setKeys(accountId: number, keys: PublicKeys): Promise<'same' | 'set' | 'changed'>
}
