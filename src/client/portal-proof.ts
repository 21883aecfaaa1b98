import { PortalProof, type ProofQuestion } from '../protocol/index.ts'
import type { CallOptions } from './calls.ts'
import type { PortalClient } from './portal-client.ts'

/**
 * Asks the portal to prove that it knows a token. The token itself is not sent.
 *
 * @param client of a transport without a token
 * @throws RemoteProblem `credentials-invalid` when it does not, `not-found` when it is a portal of an older version; like `PortalClient`
 */
export function askProof(
  client: Pick<PortalClient, 'sendBytes'>,
  question: ProofQuestion,
  options?: CallOptions,
): Promise<PortalProof> {
  const body = new TextEncoder().encode(JSON.stringify(question))
  return client.sendBytes('POST', '/v1/proof', PortalProof, body, options, 'application/json')
}
