/** `/v1/guests`, `/v1/requests`: links for people without an account. */
import { Type } from 'typebox'
import {
  AccountStatus,
  FileRequest,
  FileRequestJoin,
  FileRequestPage,
  FileRequestQuestion,
  FileRequestView,
  MadeGuests,
  NewFileRequest,
  NewGuests,
  Problem,
  secretsBodyBytesMax,
  TransferId,
  transfersPerPageMax,
} from '../../../protocol/index.ts'
import { fileRequestOf, joinRequest, lookAtRequest, makeFileRequest, makeGuests } from '../../accounts/guests.ts'
import type { FileRequestRecord } from '../../ledger/guests-contract.ts'
import { type App, accountOf, audit, type Services } from '../app.ts'
import { countOf } from '../openapi/parameters.ts'
import { pageOf } from '../pages.ts'
import { listQuery } from '../transfer-list.ts'

const tags = ['guests']
const makingProblems = ['guests-off', 'keys-missing', 'guest-conflict', 'too-many-guests'] as const

/** The requests of an account that makes links. */
export function guestRoutes(app: App, services: Services): void {
  const { context } = services

  app.post(
    '/v1/guests',
    {
      schema: {
        operationId: 'makeGuests',
        summary: 'Make receiving guests, all or none; again with the same, get the same answer',
        tags,
        body: NewGuests,
        response: { 200: MadeGuests },
        problems: makingProblems,
      },
    },
    async (request) => {
      const account = accountOf(request)
      const made = await makeGuests(context, account, request.body)
      audit(services, request, 'guests-made', account.name, { guests: made.guests })
      return made
    },
  )

  app.post(
    '/v1/requests',
    {
      schema: {
        operationId: 'makeRequest',
        summary: 'Make a request for files from people without an account; again with the same, get the same answer',
        tags,
        body: NewFileRequest,
        response: { 200: FileRequest },
        problems: makingProblems,
      },
    },
    async (request) => {
      const account = accountOf(request)
      const made = await makeFileRequest(context, account, request.body)
      audit(services, request, 'request-made', account.name, { fileRequest: made.requestId })
      return made
    },
  )

  app.get(
    '/v1/requests',
    {
      schema: {
        operationId: 'listRequests',
        summary: 'The newest requests for files of the account, page by page',
        tags,
        querystring: listQuery(transfersPerPageMax),
        response: { 200: FileRequestPage },
      },
    },
    async (request) => {
      const { accountId } = accountOf(request)
      const { limit, before: first = null } = request.query
      const { items, last, isMore } = await pageOf<FileRequestRecord, FileRequest>(
        countOf(limit, transfersPerPageMax, transfersPerPageMax),
        (row, count) => context.ledger.fileRequestsOf(accountId, { before: row?.requestId ?? first, limit: count }),
        fileRequestOf,
      )
      return { requests: [...items], before: isMore ? (last?.requestId ?? null) : null }
    },
  )

  app.delete(
    '/v1/requests/:requestId',
    {
      schema: {
        operationId: 'closeRequest',
        summary: 'Close a request for files: nothing new is accepted, and what is stored is still delivered',
        tags,
        params: Type.Object({ requestId: TransferId }),
        response: { 200: FileRequest },
        problems: ['not-found'],
      },
    },
    async (request) => {
      const account = accountOf(request)
      const closed = await context.ledger.closeFileRequest(account.accountId, request.params.requestId)
      if (closed === null) throw new Problem('not-found')
      audit(services, request, 'request-closed', account.name, { fileRequest: closed.requestId })
      return fileRequestOf(closed)
    },
  )
}

/** The requests of a visitor with the link of a request, who has no token yet. */
export function visitorRoutes(app: App, services: Services): void {
  const { context } = services

  app.post(
    '/v1/requests/look',
    {
      bodyLimit: secretsBodyBytesMax,
      schema: {
        operationId: 'lookAtRequest',
        summary: 'What a request for files is about; nothing changes',
        tags,
        body: FileRequestQuestion,
        response: { 200: FileRequestView },
        problems: ['link-invalid', 'rate-limited'],
      },
    },
    (request) => lookAtRequest(context, request.body.secret),
  )

  app.post(
    '/v1/requests/join',
    {
      bodyLimit: secretsBodyBytesMax,
      schema: {
        operationId: 'joinRequest',
        summary: 'Become a guest that sends files for a request; again with the same token, get the same answer',
        tags,
        body: FileRequestJoin,
        response: { 200: AccountStatus },
        problems: ['link-invalid', 'guest-conflict', 'request-full', 'rate-limited'],
      },
    },
    async (request) => {
      const { name } = await joinRequest(context, request.body)
      audit(services, request, 'request-joined', name)
      return { account: name }
    },
  )
}
