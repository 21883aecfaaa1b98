/**
 * Accounts: invites that open them, tokens that prove them. Secrets are kept as hashes only. They are 256 random
 * bits, so a fast hash is enough; they are compared in constant time, and every way to fail looks the same.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { type JoinRequest, newInvite, Problem } from '../protocol/index.ts'
import type { Account, Ledger } from './ledger/contract.ts'

const TOKEN = /^glt_([A-Za-z0-9_-]{16})_[A-Za-z0-9_-]{43}$/
const NO_HASH = '0'.repeat(64)

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/**
 * Makes a one-time invite.
 *
 * @returns the secret, which is nowhere kept
 * @throws Problem `account-exists`
 */
export async function invite(ledger: Ledger, name: string, lifetimeMs: number): Promise<string> {
  const secret = newInvite()
  await ledger.createInvite({ name, secretHash: hashOf(secret), lifetimeMs })
  return secret
}

/** Opens the account of an invite for a token that the newcomer made. @throws Problem `invite-invalid` */
export async function join(ledger: Ledger, request: JoinRequest): Promise<Account> {
  const tokenId = TOKEN.exec(request.token)?.[1]
  if (tokenId === undefined) throw new Problem('request-invalid', { detail: 'the token is not of the form given' })
  const token = { tokenId, tokenHash: hashOf(request.token) }
  const account = await ledger.redeemInvite(hashOf(request.invite), token)
  if (account === null) throw new Problem('invite-invalid')
  return account
}

/** The account of an `Authorization` field (RFC 6750 section 2.1). @throws Problem `credentials-invalid` */
export async function authenticate(ledger: Ledger, authorization: string | undefined): Promise<Account> {
  const token = /^Bearer ([!-~]{1,200})$/i.exec(authorization ?? '')?.[1] ?? ''
  const tokenId = TOKEN.exec(token)?.[1] ?? ''
  const account = await ledger.accountByTokenId(tokenId)
  const isEqual = timingSafeEqual(Buffer.from(hashOf(token)), Buffer.from(account?.tokenHash ?? NO_HASH))
  if (account === null || !isEqual) throw new Problem('credentials-invalid')
  return { accountId: account.accountId, name: account.name }
}
