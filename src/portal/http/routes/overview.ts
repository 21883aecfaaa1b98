/** `GET /v1/operations`: how the whole portal does, for its operators. To anybody else there is no such thing. */
import { Operations } from '../../../protocol/index.ts'
import { refusal } from '../../audit.ts'
import { Overview } from '../../overview.ts'
import { type App, accountOf, type Services } from '../app.ts'

export function overviewRoute(app: App, { context }: Services): void {
  const overview = new Overview(context)
  app.get(
    '/v1/operations',
    {
      schema: {
        summary: 'How the whole portal does, for accounts of operators; 404 for all others',
        tags: ['operations'],
        response: { 200: Operations },
      },
    },
    async (request) => {
      const account = await context.ledger.accountByName(accountOf(request).name)
      if (account?.isOperator !== true) throw refusal('not-found', 'access-denied', { resource: 'operations' })
      return overview.look()
    },
  )
}
