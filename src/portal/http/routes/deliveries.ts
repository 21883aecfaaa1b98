/** `GET /v1/deliveries`: the deliveries to the account. */
import { DeliveryPage } from '../../../protocol/index.ts'
import { receivedDelivery } from '../../views.ts'
import { type App, accountOf, type Services } from '../app.ts'
import { listPage, listQuery } from '../transfer-list.ts'

const LIMIT_DEFAULT = 20

export function deliveryRoutes(app: App, { context }: Services): void {
  app.get(
    '/v1/deliveries',
    {
      schema: {
        operationId: 'listDeliveries',
        summary: 'What waits for the account or was ever offered to it, newest first, page by page',
        tags: ['receiver'],
        querystring: listQuery(LIMIT_DEFAULT),
        response: { 200: DeliveryPage },
      },
      config: { guests: ['receiving'] },
    },
    async (request) => {
      const { accountId } = accountOf(request)
      const read = (page: { before: string | null; limit: number }) => context.ledger.transfersTo(accountId, page)
      const { items, before } = await listPage(request.query, LIMIT_DEFAULT, read, receivedDelivery)
      return { deliveries: items, before }
    },
  )
}
