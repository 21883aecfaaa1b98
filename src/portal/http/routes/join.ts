/** `POST /v1/join`: an invite becomes an account. `GET /v1/account`: whose token is this? */
import { AccountStatus, JoinRequest } from '../../../protocol/index.ts'
import { join } from '../../accounts.ts'
import { type App, accountOf, type Services } from '../app.ts'

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
      request.log.info({ account: name, address: request.ip }, 'account opened')
      return { account: name }
    },
  )
}

export function accountRoute(app: App): void {
  app.get(
    '/v1/account',
    { schema: { summary: 'The account of the token', tags: ['accounts'], response: { 200: AccountStatus } } },
    async (request) => ({ account: accountOf(request).name }),
  )
}
