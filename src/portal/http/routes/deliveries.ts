/** `GET /v1/deliveries`: what came for the account. */
import { Type } from 'typebox'
import { DeliveryPage, TransferId, transfersPerPageMax } from '../../../protocol/index.ts'
import { receivedDelivery } from '../../views.ts'
import { type App, accountOf, type Services } from '../app.ts'

const LIMIT_DEFAULT = 20

export function deliveryRoutes(app: App, { context }: Services): void {
  app.get(
    '/v1/deliveries',
    {
      schema: {
        summary: 'What waits for the account or was ever offered to it, newest first, page by page',
        tags: ['receiver'],
        querystring: Type.Object(
          {
            limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$' })),
            before: Type.Optional(TransferId),
          },
          { additionalProperties: false },
        ),
        response: { 200: DeliveryPage },
      },
    },
    async (request) => {
      const limit = Math.min(Number(request.query.limit ?? LIMIT_DEFAULT), transfersPerPageMax)
      const page = { before: request.query.before ?? null, limit }
      const found = await context.ledger.transfersTo(accountOf(request).accountId, page)
      return {
        deliveries: found.map(receivedDelivery),
        before: found.length < limit ? null : (found.at(-1)?.transferId ?? null),
      }
    },
  )
}
