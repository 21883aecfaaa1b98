/** `GET /v1/operations`: the state of the whole portal, for its operators. Other accounts get 404. */
import { Operations } from '../../../protocol/index.ts'
import { refusal } from '../../monitoring/audit.ts'
import { OperationsSummary } from '../../monitoring/operations-summary.ts'
import { type App, accountOf, type Services } from '../app.ts'

export function operationsRoute(app: App, { context }: Services): void {
  const summary = new OperationsSummary(context)
  app.get(
    '/v1/operations',
    {
      schema: {
        operationId: 'getOperations',
        summary: 'How the whole portal does, for accounts of operators; 404 for all others',
        tags: ['operations'],
        response: { 200: Operations },
        problems: ['not-found'],
      },
    },
    async (request) => {
      const account = await context.ledger.accountByName(accountOf(request).name)
      if (account?.isOperator !== true) throw refusal('not-found', 'access-denied', { resource: 'operations' })
      return summary.look()
    },
  )
}
