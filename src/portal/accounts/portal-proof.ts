import { createHmac } from 'node:crypto'
import { type PortalProof, type ProofQuestion, portalProofText } from '../../protocol/index.ts'
import type { Ledger } from '../ledger/contract.ts'
import { refusal } from '../monitoring/audit.ts'

/**
 * Proves to the owner of a token that this portal knows it. The key is the hash of the token, so the ledger needs no other secret. The
 * address is part of the proof: a third party that passes the question on cannot put its own there.
 *
 * @throws Problem `credentials-invalid` when this portal does not know the token, or accepts it no longer
 */
export async function provePortal(ledger: Ledger, question: ProofQuestion): Promise<PortalProof> {
  const { tokenId } = question
  const account = await ledger.accountByTokenId(tokenId)
  if (account === null || account.isRevoked) {
    const reason = account === null ? 'no such token' : 'the account is revoked'
    throw refusal('credentials-invalid', 'authentication-failed', { reason, account: account?.name, tokenId })
  }
  const portalUrl = (await ledger.address()) ?? ''
  const mac = createHmac('sha256', Buffer.from(account.tokenHash, 'hex')).update(portalProofText(question, portalUrl))
  return { portalUrl, proof: mac.digest('base64url') }
}
