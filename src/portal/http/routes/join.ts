/** `POST /v1/join`: an invite becomes an account. */
import { AccountStatus, JoinRequest } from '../../../protocol/index.ts'
import { join } from '../../accounts.ts'
import { topics } from '../../signals/index.ts'
import { type App, audit, type Services } from '../app.ts'

export function joinRoute(app: App, services: Services): void {
  const { ledger, signals } = services.context
  app.post(
    '/v1/join',
    {
      schema: {
        summary: 'Open or renew the account of an invite; again with the same token, get the same answer',
        tags: ['accounts'],
        body: JoinRequest,
        response: { 200: AccountStatus },
      },
    },
    async (request) => {
      const { name } = await join(ledger, request.body)
      audit(services, request, 'invite-redeemed', { account: name })
      // The token that this one replaces is dead.
      signals.publish(topics.accounts)
      return { account: name }
    },
  )
}
