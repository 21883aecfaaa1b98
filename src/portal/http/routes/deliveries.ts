/** `GET /v1/deliveries`: the deliveries to the account. */
import { DeliveryPage, type RequestOfTransfer } from '../../../protocol/index.ts'
import { requestsOf } from '../../accounts/guests.ts'
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
      const requests = new Map<number, RequestOfTransfer>()
      const read = async (page: { before: string | null; limit: number }) => {
        const transfers = await context.ledger.transfersTo(accountId, page)
        for (const [senderId, one] of await requestsOf(context, transfers)) requests.set(senderId, one)
        return transfers
      }
      const { items, before } = await listPage(request.query, LIMIT_DEFAULT, read, (transfer) =>
        receivedDelivery(transfer, requests),
      )
      return { deliveries: items, before }
    },
  )
}
