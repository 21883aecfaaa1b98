/** `POST /v1/join`: an invite becomes an account. */
import { AccountStatus, JoinRequest } from '../../../protocol/index.ts'
import { join } from '../../accounts.ts'
import type { App, Services } from '../app.ts'

export function joinRoute(app: App, { context }: Services): void {
  app.post(
    '/v1/join',
    {
      schema: {
        summary: 'Open the account of an invite; again with the same token, get the same answer',
        tags: ['accounts'],
        body: JoinRequest,
        response: { 200: AccountStatus },
      },
    },
    async (request) => {
      const { name } = await join(context.ledger, request.body)
      request.log.info({ account: name }, 'account opened')
      return { account: name }
    },
  )
}
