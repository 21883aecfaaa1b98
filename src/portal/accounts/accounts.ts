/**
 * Accounts: invites open and renew them, and tokens authenticate them. Secrets are stored only as hashes. They are 256
 * random bits, so a fast hash suffices.
 *
 * All failures look the same and take the same time: one look-up in the ledger, one hash, and one comparison in constant
 * time. Only the audit log gets the reason.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { type InviteStatus, type JoinRequest, newInvite, Problem } from '../../protocol/index.ts'
import type { GuestOf } from '../ledger/accounts-contract.ts'
import type { Account, Ledger } from '../ledger/contract.ts'
import { refusal } from '../monitoring/audit.ts'
import { portalDefaults } from '../options.ts'

const TOKEN = /^glt_([A-Za-z0-9_-]{16})_[A-Za-z0-9_-]{43}$/
const NO_HASH = '0'.repeat(64)
/** An id that no token has. */
const NO_TOKEN_ID = ''

/** The hash by which the ledger knows a secret. */
export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/**
 * Makes a one-time invite that opens an account.
 *
 * @returns the secret, which is stored nowhere
 * @param openMax how many invites may be open at a time
 * @param isOperator whether the account is to be an operator's
 * @throws Problem `account-exists`, `account-revoked`, `too-many-invites`
 */
export async function invite(
  ledger: Ledger,
  name: string,
  lifetimeMs: number,
  { openMax = portalDefaults.invitesMax, isOperator = false }: { openMax?: number; isOperator?: boolean } = {},
): Promise<string> {
  const secret = newInvite()
  await ledger.createInvite({ name, secretHash: hashOf(secret), lifetimeMs, openMax, isOperator })
  return secret
}

/**
 * Makes a one-time invite that replaces the token of an account.
 *
 * @returns the secret, which is stored nowhere
 * @throws Problem `account-unknown`
 */
export async function renew(ledger: Ledger, name: string, lifetimeMs: number): Promise<string> {
  const secret = newInvite()
  await ledger.createRenewal({ name, secretHash: hashOf(secret), lifetimeMs })
  return secret
}

/** What an invite is for. The invite is not used up. @throws Problem `invite-invalid` */
export async function lookAtInvite(ledger: Ledger, secret: string): Promise<InviteStatus> {
  const found = await ledger.inviteByHash(hashOf(secret))
  if (found === null) throw refusal('invite-invalid', 'invite-failed')
  return { account: found.name, isRenewal: found.isRenewal }
}

/** Opens or renews the account of an invite, with a token that its owner made. @throws Problem `invite-invalid` */
export async function join(ledger: Ledger, request: JoinRequest): Promise<Account> {
  const token = { tokenId: tokenIdIn(request.token), tokenHash: hashOf(request.token) }
  const account = await ledger.redeemInvite(hashOf(request.invite), token)
  if (account === null) throw refusal('invite-invalid', 'invite-failed')
  return account
}

/** The id in a token that a client made. @throws Problem `request-invalid` */
export function tokenIdIn(token: string): string {
  const tokenId = TOKEN.exec(token)?.[1]
  if (tokenId !== undefined) return tokenId
  throw new Problem('request-invalid', { detail: 'the token does not have the documented form' })
}

/** An authenticated account. */
export interface Caller extends Account {
  /** Null for an account of a person. */
  readonly guest: GuestOf | null
}

/** Matches when the client sent any token, valid or not. */
const BEARER = /^Bearer +[!-~]/i

/** The token of an `Authorization` field (RFC 6750 section 2.1) and its id; both empty when the field has none. */
function tokenIn(authorization: string | undefined): { token: string; tokenId: string } {
  const token = /^Bearer ([!-~]{1,200})$/i.exec(authorization ?? '')?.[1] ?? ''
  return { token, tokenId: TOKEN.exec(token)?.[1] ?? NO_TOKEN_ID }
}

/** The public id of the token in a request. The token may be invalid. */
export function tokenIdOf(authorization: string | undefined): string {
  return tokenIn(authorization).tokenId
}

/** The account of an `Authorization` field. @throws Problem `credentials-invalid`; `credentials-missing` when no token came */
export async function authenticate(ledger: Ledger, authorization: string | undefined): Promise<Caller> {
  const { token, tokenId } = tokenIn(authorization)
  const account = await ledger.accountByTokenId(tokenId)
  const isEqual = timingSafeEqual(Buffer.from(hashOf(token)), Buffer.from(account?.tokenHash ?? NO_HASH))
  if (!BEARER.test(authorization ?? ''))
    throw refusal('credentials-missing', 'authentication-failed', { reason: 'no token' })
  // The sweeper revokes guests that have expired, a little later.
  const isOver =
    account?.isRevoked === true || (account?.guest?.expiresAtMs ?? Number.POSITIVE_INFINITY) <= ledger.nowMs()
  if (account === null || !isEqual || isOver) {
    const reason = account === null ? 'no such token' : isEqual ? 'the account is revoked' : 'the secret is wrong'
    throw refusal('credentials-invalid', 'authentication-failed', {
      reason,
      account: account?.name,
      tokenId: tokenId === NO_TOKEN_ID ? undefined : tokenId,
    })
  }
  return { accountId: account.accountId, name: account.name, guest: account.guest }
}
