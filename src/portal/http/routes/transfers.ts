/** `/v1/transfers`: announce, ask for the state, complete, cancel. */
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
import { listPage, listQuery } from '../transfer-list.ts'

const Params = Type.Object({ transferId: TransferId })
const tags = ['sender']

/** The refusals of an announcement, with or without content. */
export const announcementProblems = [
  'receiver-unknown',
  'transfer-too-large',
  'part-size-unsuitable',
  'transfer-conflict',
  'too-many-transfers',
  'storage-full',
  'store-failed',
  'digest-unsupported-algorithm',
  'sealing-required',
  'request-closed',
  'request-full',
] as const

export function transferRoutes(app: App, { context, transfers }: Services): void {
  app.put(
    '/v1/transfers/:transferId',
    {
      schema: {
        operationId: 'announceTransfer',
        summary: 'Announce a transfer; 201 when it is new, 200 when this very announcement was made before',
        tags,
        params: Params,
        body: Announcement,
        response: { 200: TransferStatus, 201: TransferStatus },
        problems: announcementProblems,
      },
      config: { guests: ['sending'] },
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
        operationId: 'listTransfers',
        summary: 'The newest transfers of the account, page by page',
        tags,
        querystring: listQuery(transfersPerPageMax),
        response: { 200: TransferPage },
      },
      config: { guests: ['sending'] },
    },
    async (request) => {
      const { accountId } = accountOf(request)
      const read = (page: { before: string | null; limit: number }) => context.ledger.transfersOf(accountId, page)
      const { items, before } = await listPage(request.query, transfersPerPageMax, read, transferSummary)
      return { transfers: items, before }
    },
  )

  app.get(
    '/v1/transfers/:transferId',
    {
      schema: {
        operationId: 'getTransfer',
        summary: 'How a transfer stands, and which parts the portal holds',
        tags,
        params: Params,
        response: { 200: TransferStatus },
        problems: ['store-failed'],
      },
      config: { guests: ['sending'] },
    },
    (request) => transfers.status(accountOf(request), request.params.transferId),
  )

  app.post(
    '/v1/transfers/:transferId/complete',
    {
      schema: {
        operationId: 'completeTransfer',
        summary: 'End an attempt; the answer is the first notification',
        tags,
        params: Params,
        body: Completion,
        response: { 200: Notification },
        problems: ['transfer-conflict', 'transfer-closed'],
      },
      config: { guests: ['sending'] },
    },
    (request) => transfers.complete(accountOf(request), request.params.transferId, request.body),
  )

  app.delete(
    '/v1/transfers/:transferId',
    {
      schema: {
        operationId: 'cancelTransfer',
        summary: 'Cancel what has not ended of a transfer; with ?state=receiving only while it is being received',
        tags,
        params: Params,
        querystring: Type.Object({ state: Type.Optional(Type.Literal('receiving')) }, { additionalProperties: false }),
        response: { 200: TransferStatus },
      },
      config: { guests: ['sending'] },
    },
    (request) => transfers.cancel(accountOf(request), request.params.transferId, request.query.state === 'receiving'),
  )
}
