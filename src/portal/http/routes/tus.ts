/**
 * `/v1/tus`: uploads by clients of tus 1.0.0. A quoted sentence is of its document. The uploads are those of `uploads/resumable/`; this
 * file only reads and writes the header fields of tus.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { Problem } from '../../../protocol/index.ts'
import type { Append, UploadSession, UploadState } from '../../uploads/resumable/index.ts'
import { type App, accountOf, audit, goneSignal, type Services } from '../app.ts'
import { askForContent } from '../continue.ts'
import { addressOf, contentBytesOf } from '../file-head.ts'
import * as fields from '../openapi/headers.ts'
import { dropRest, toProblem } from '../problems.ts'
import {
  isTusContent,
  requireNoLateChecksum,
  requireTusContent,
  requireTusVersion,
  TusChecksum,
  tusChecksumAlgorithms,
  tusCreationOf,
  tusExtensions,
  tusLengthOf,
  tusMediaType,
  tusOffsetOf,
  tusPath,
  tusVersion,
} from '../tus.ts'
import { announcementProblems } from './transfers.ts'

const Params = Type.Object({ secret: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }) })
const uploadPath = `${tusPath}/:secret`
const tags = ['sender']
const protocol = 'tus'
const config = { body: 'asked for' } as const
const requestBody = { description: 'Bytes of the file', content: { [tusMediaType]: {} } }
const PRECONDITION_FAILED = 412

/** The refusals of every request to an upload. */
const uploadProblems = ['tus-version-unsupported', 'upload-gone', 'unavailable'] as const
/** The refusals of content. */
const contentProblems = [
  'mismatching-upload-offset',
  'inconsistent-upload-length',
  'body-too-large',
  'checksum-mismatching',
  'part-incomplete',
  'part-conflict',
  'transfer-too-large',
  'transfer-closed',
  'storage-full',
  'store-failed',
  'parts-missing',
  'manifest-mismatching',
  'attempts-exhausted',
  'upload-timeout',
  'cancelled',
  'expired',
  'account-revoked',
] as const

const requestHeaders = { 'Tus-Resumable': fields.tusResumable }
const contentHeaders = { ...requestHeaders, 'Upload-Checksum': fields.tusChecksum, Expect: fields.expect }
const answerHeaders = {
  'Tus-Resumable': fields.tusResumable,
  'Upload-Offset': fields.durableBytes,
  'Upload-Expires': fields.uploadExpires,
  'GoLooader-Transfer': fields.transferOfUpload,
  'GoLooader-Notification': fields.notificationOfUpload,
}

/** `OPTIONS`, for which tus needs no version, and the portal no token. */
export function tusOptionsRoute(app: App, { context: { options } }: Services): void {
  app.options(
    tusPath,
    {
      schema: {
        operationId: 'getTusOptions',
        summary: 'What the portal supports of tus 1.0.0',
        tags,
        answers: {
          204: {
            headers: {
              'Tus-Resumable': fields.tusResumable,
              'Tus-Version': fields.tusVersions,
              'Tus-Extension': fields.tusExtensionList,
              'Tus-Max-Size': fields.tusMaxSize,
              'Tus-Checksum-Algorithm': fields.tusChecksumList,
            },
          },
        },
      },
    },
    async (_request, reply) =>
      reply
        .code(204)
        .headers({
          'tus-resumable': tusVersion,
          'tus-version': tusVersion,
          'tus-extension': tusExtensions.join(','),
          'tus-max-size': String(options.transferSizeBytesMax),
          'tus-checksum-algorithm': tusChecksumAlgorithms.join(','),
        })
        .send(),
  )
}

/** The routes that need a token. Bodies are raw streams here. */
export function tusRoutes(app: App, services: Services): void {
  // "MUST be included in every request and response": in refusals, too.
  app.addHook('onSend', async (_request, reply) => {
    reply.header('tus-resumable', tusVersion)
    if (reply.statusCode === PRECONDITION_FAILED) reply.header('tus-version', tusVersion)
  })
  app.addHook('preValidation', async ({ headers }) => requireTusVersion(headers))

  app.post(
    tusPath,
    {
      config,
      schema: {
        operationId: 'createTusUpload',
        summary: 'Create an upload by tus, perhaps with its first bytes',
        tags,
        requestHeaders: {
          ...contentHeaders,
          'Upload-Length': fields.uploadLength,
          'Upload-Defer-Length': fields.tusDeferLength,
          'Upload-Metadata': fields.requiredTusMetadata,
        },
        requestBody: { ...requestBody, isOptional: true },
        answers: { 201: { headers: { ...answerHeaders, Location: fields.locationOfUpload } } },
        problems: ['tus-version-unsupported', ...announcementProblems, ...contentProblems],
      },
    },
    async (request, reply) => {
      const { secret, state } = await created(services, request, reply)
      dropRest(request)
      return reply
        .code(201)
        .headers({ ...headersOf(services, state), location: `${lastSegmentOf(tusPath)}/${secret}` })
        .send()
    },
  )

  app.patch(
    uploadPath,
    {
      config,
      schema: {
        operationId: 'appendToTusUpload',
        summary: 'Append bytes to an upload by tus. The last ones complete it',
        tags,
        params: Params,
        requestHeaders: {
          ...contentHeaders,
          'Upload-Offset': { ...fields.uploadOffset, isRequired: true },
          'Upload-Length': fields.uploadLength,
        },
        requestBody,
        answers: { 204: { headers: answerHeaders } },
        problems: [...uploadProblems, 'media-type-unsupported', ...contentProblems],
      },
    },
    async (request, reply) => {
      const state = await appended(services, request, reply)
      return reply.code(204).headers(headersOf(services, state)).send()
    },
  )

  // A GET, because every GET has a HEAD.
  app.get(
    uploadPath,
    {
      schema: {
        operationId: 'getTusUpload',
        summary: 'Where an upload by tus has to be continued. A request that still appends to it is ended first',
        tags,
        params: Params,
        requestHeaders,
        answers: {
          200: {
            headers: {
              ...answerHeaders,
              'Upload-Length': fields.uploadLength,
              'Upload-Defer-Length': fields.tusDeferLength,
              'Upload-Metadata': fields.tusMetadata,
            },
          },
        },
        problems: [...uploadProblems, ...contentProblems],
      },
    },
    async (request, reply) => {
      const state = await stateOf(services, request, reply)
      const { lengthBytes, metadata } = state
      return reply
        .code(200)
        .headers({
          ...headersOf(services, state),
          'cache-control': 'no-store',
          ...(lengthBytes === null ? { 'upload-defer-length': '1' } : { 'upload-length': String(lengthBytes) }),
          ...(metadata === null ? {} : { 'upload-metadata': metadata }),
        })
        .send()
    },
  )

  app.delete(
    uploadPath,
    {
      schema: {
        operationId: 'endTusUpload',
        summary: 'End an upload by tus: its transfer is cancelled, unless it is stored',
        tags,
        params: Params,
        requestHeaders,
        answers: { 204: { headers: { 'Tus-Resumable': fields.tusResumable } } },
        problems: uploadProblems,
      },
    },
    async (request, reply) => {
      await using session = await opened(services, request, reply, true)
      await session.cancel()
      const { transferId } = session.transfer
      audit(services, request, 'upload-cancelled', accountOf(request).name, { transferId, protocol })
      return reply.code(204).send()
    },
  )
}

/** Creates an upload. Where the content of the same request fails, its client never learns the address, so the upload ends. */
async function created(services: Services, request: FastifyRequest, reply: FastifyReply) {
  const { headers } = request
  const { to, name, mediaType, sizeBytes, metadataField } = tusCreationOf(headers)
  const address = addressOf({ receivers: to.join(','), name }, mediaType)
  const content = { ...contentOf(request, reply, services), offsetBytes: 0, lengthBytes: null }
  // "The Client MUST include the Content-Type": other bodies are none of the file.
  const append = isTusContent(headers) ? content : { ...content, source: Readable.from([]), contentBytes: 0 }
  requireWithin(sizeBytes, append)
  const account = accountOf(request)
  const { secret, session } = await services.uploads.create(account, {
    protocol,
    ...address,
    key: null,
    lengthBytes: sizeBytes,
    reprDigest: null,
    metadataText: metadataField,
  })
  await using _ = session
  audit(services, request, 'upload-made', account.name, { transferId: session.transfer.transferId, protocol })
  try {
    // "Such an upload is immediately complete after its creation": an empty file.
    if (append.contentBytes !== 0 || sizeBytes === 0) await session.append(append)
  } catch (error) {
    await session.abandon(toProblem(error))
    throw error
  }
  return { secret, state: session.state }
}

async function appended(services: Services, request: FastifyRequest, reply: FastifyReply): Promise<UploadState> {
  const { headers } = request
  requireTusContent(headers)
  const content = contentOf(request, reply, services)
  const append = { ...content, offsetBytes: tusOffsetOf(headers), lengthBytes: tusLengthOf(headers) }
  await using session = await opened(services, request, reply, true)
  const { offsetBytes, lengthBytes } = session.state
  if (append.offsetBytes === offsetBytes) requireWithin(append.lengthBytes ?? lengthBytes, append)
  await session.append(append)
  return session.state
}

/** What a client may know. To a client, an offset that is the length means that its file is stored, so this is done first. */
async function stateOf(services: Services, request: FastifyRequest, reply: FastifyReply): Promise<UploadState> {
  const state = await stateAsIs(services, request, reply)
  const { offsetBytes, lengthBytes, isComplete } = state
  if (isComplete || offsetBytes !== lengthBytes) return state
  // The last request, or its portal, ended between its last byte and the end of its work.
  await using session = await opened(services, request, reply, true)
  await session.append({ ...nothing(goneSignal(reply, services.stop)), offsetBytes })
  return session.state
}

async function stateAsIs(services: Services, request: FastifyRequest, reply: FastifyReply): Promise<UploadState> {
  await using session = await opened(services, request, reply, false)
  return session.state
}

/** An append without content, which completes an upload that has all of its bytes. */
function nothing(signal: AbortSignal) {
  return {
    completes: 'at-length',
    contentBytes: 0,
    lengthBytes: null,
    reprDigest: null,
    contentDigests: null,
    source: Readable.from([]),
    signal,
    onAdmitted: () => {},
  } as const satisfies Partial<Append>
}

function opened(
  { uploads, stop }: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  willWrite: boolean,
): Promise<UploadSession> {
  const { secret } = request.params as Static<typeof Params>
  return uploads.open(accountOf(request), 'tus', secret, { willWrite, signal: goneSignal(reply, stop) })
}

/** The content that a request brings. @throws Problem `request-invalid` for an `Upload-Checksum` that cannot be verified */
function contentOf(request: FastifyRequest, reply: FastifyReply, { stop }: Services) {
  const { headers, raw } = request
  return {
    completes: 'at-length',
    contentBytes: contentBytesOf(headers, 0),
    reprDigest: null,
    contentDigests: TusChecksum.of(headers),
    source: raw as Readable,
    signal: goneSignal(reply, stop),
    onAdmitted: () => askForContent(request, reply),
    onEnd: () => requireNoLateChecksum(raw),
  } as const satisfies Partial<Append>
}

/** @throws Problem `body-too-large` for a request with more bytes than the upload has left: none of them is read */
function requireWithin(lengthBytes: number | null, { offsetBytes, contentBytes }: Append): void {
  if (lengthBytes === null || !contentBytes || offsetBytes + contentBytes <= lengthBytes) return
  throw new Problem('body-too-large', {
    detail: `the upload has ${lengthBytes} bytes, and this request ends behind them`,
  })
}

/** The fields of every answer about an upload. */
function headersOf({ context: { ledger } }: Services, state: UploadState): Record<string, string> {
  const { offsetBytes, transferId, isComplete, maxAgeSeconds } = state
  return {
    'upload-offset': String(offsetBytes),
    'golooader-transfer': transferId,
    ...(isComplete
      ? { 'golooader-notification': 'stored' }
      : { 'upload-expires': new Date(ledger.nowMs() + maxAgeSeconds * 1000).toUTCString() }),
  }
}

function lastSegmentOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
