/**
 * `POST /v1/invite`, `POST /v1/join`: looks an invite up, and uses it to open or renew an account. `POST /v1/proof`: proves to the owner of
 * a token that this portal knows it.
 */
import {
  AccountStatus,
  InviteQuestion,
  InviteStatus,
  JoinRequest,
  PortalProof,
  ProofQuestion,
  secretsBodyBytesMax,
} from '../../../protocol/index.ts'
import { join, lookAtInvite } from '../../accounts/accounts.ts'
import { provePortal } from '../../accounts/portal-proof.ts'
import { topics } from '../../signals/index.ts'
import { type App, audit, type Services } from '../app.ts'

const problems = ['invite-invalid', 'rate-limited'] as const

export function joinRoute(app: App, services: Services): void {
  const { ledger, signals } = services.context
  app.post(
    '/v1/invite',
    {
      bodyLimit: secretsBodyBytesMax,
      schema: {
        operationId: 'lookAtInvite',
        summary: 'What an invite is for; it stays as it is',
        tags: ['accounts'],
        body: InviteQuestion,
        response: { 200: InviteStatus },
        problems,
      },
    },
    (request) => lookAtInvite(ledger, request.body.invite),
  )
  app.post(
    '/v1/join',
    {
      bodyLimit: secretsBodyBytesMax,
      schema: {
        operationId: 'join',
        summary: 'Open or renew the account of an invite; again with the same token, get the same answer',
        tags: ['accounts'],
        body: JoinRequest,
        response: { 200: AccountStatus },
        problems,
      },
    },
    async (request) => {
      const { name } = await join(ledger, request.body)
      audit(services, request, 'invite-redeemed', name)
      // The replaced token is not valid any more, so its open requests are cut.
      signals.publish(topics.accounts)
      return { account: name }
    },
  )
  app.post(
    '/v1/proof',
    {
      bodyLimit: secretsBodyBytesMax,
      schema: {
        operationId: 'provePortal',
        summary: 'Prove that this portal knows a token, which is not sent',
        tags: ['accounts'],
        body: ProofQuestion,
        response: { 200: PortalProof },
        problems: ['credentials-invalid', 'rate-limited'],
      },
    },
    (request) => provePortal(ledger, request.body),
  )
}
