/** `/v1/transfers`: announce, look, complete, cancel. */
import { Type } from 'typebox'
import {
  Announcement,
  Completion,
  Notification,
  TransferId,
  TransferPage,
  TransferStatus,
  transfersPerPageMax,
} from '../../../protocol/index.ts'
import { transferSummary } from '../../views.ts'
import { type App, accountOf, type Services } from '../app.ts'

const Params = Type.Object({ transferId: TransferId })
const tags = ['sender']

export function transferRoutes(app: App, { context, transfers }: Services): void {
  app.put(
    '/v1/transfers/:transferId',
    {
      schema: {
        summary: 'Announce a transfer; 201 when it is new, 200 when this very announcement was made before',
        tags,
        params: Params,
        body: Announcement,
        response: { 200: TransferStatus, 201: TransferStatus },
      },
    },
    async (request, reply) => {
      const { status, isNew } = await transfers.announce(accountOf(request), request.params.transferId, request.body)
      reply.code(isNew ? 201 : 200)
      return status
    },
  )

  app.get(
    '/v1/transfers',
    {
      schema: {
        summary: 'The newest transfers of the account, page by page',
        tags,
        querystring: Type.Object(
          {
            limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$' })),
            before: Type.Optional(TransferId),
          },
          { additionalProperties: false },
        ),
        response: { 200: TransferPage },
      },
    },
    async (request) => {
      const limit = Math.min(Number(request.query.limit ?? transfersPerPageMax), transfersPerPageMax)
      const page = { before: request.query.before ?? null, limit }
      const found = await context.ledger.transfersOf(accountOf(request).accountId, page)
      return {
        transfers: found.map(transferSummary),
        before: found.length < limit ? null : (found.at(-1)?.transferId ?? null),
      }
    },
  )

  app.get(
    '/v1/transfers/:transferId',
    {
      schema: {
        summary: 'How a transfer stands, and which parts the portal holds',
        tags,
        params: Params,
        response: { 200: TransferStatus },
      },
    },
    (request) => transfers.status(accountOf(request), request.params.transferId),
  )

  app.post(
    '/v1/transfers/:transferId/complete',
    {
      schema: {
        summary: 'End an attempt; the answer is the first notification',
        tags,
        params: Params,
        body: Completion,
        response: { 200: Notification },
      },
    },
    (request) => transfers.complete(accountOf(request), request.params.transferId, request.body),
  )

  app.delete(
    '/v1/transfers/:transferId',
    {
      schema: {
        summary: 'Cancel what has not ended of a transfer; with ?state=receiving only while it is being received',
        tags,
        params: Params,
        querystring: Type.Object({ state: Type.Optional(Type.Literal('receiving')) }, { additionalProperties: false }),
        response: { 200: TransferStatus },
      },
    },
    (request) => transfers.cancel(accountOf(request), request.params.transferId, request.query.state === 'receiving'),
  )
}
