/**
 * `/v1/uploads/{secret}`: an upload resource of the IETF's resumable uploads (draft-ietf-httpbis-resumable-upload), by which later requests
 * continue a file of `PUT /v1/to/{receivers}/{name}`. A quoted sentence is of that document.
 */
import { Type } from 'typebox'
import { Problem } from '../../../protocol/index.ts'
import type { Transfer } from '../../ledger/contract.ts'
import { BodyDigests } from '../../uploads/body-digests.ts'
import type { UploadSession } from '../../uploads/resumable/index.ts'
import { type App, accountOf, audit, goneSignal, type Services } from '../app.ts'
import { askForContent } from '../continue.ts'
import { contentBytesOf, FileParams, requireNoLateDigest, textOf } from '../file-head.ts'
import { answerWithNotifications, notificationLines } from '../notification-lines.ts'
import {
  completionHeaders,
  digestOfContent,
  digestOfFile,
  expect,
  preferWaitForReceivers,
  stateHeaders,
  uploadComplete,
  uploadLength,
  uploadLimits,
  uploadOffset,
  uploadVersion,
} from '../openapi/headers.ts'
import { describeRefusal, interimVersionOf, tellOffset, uploadsPath } from '../resumable-answers.ts'
import {
  formatBoolean,
  isPartialUpload,
  partialUploadMediaType,
  stateFields,
  uploadFieldsOf,
  uploadLimit,
} from '../upload-fields.ts'

const SECRET_LENGTH_MAX = 128
const Params = Type.Object({
  secret: Type.String({ minLength: 1, maxLength: SECRET_LENGTH_MAX, description: 'from the `Location` of the upload' }),
})

const refusalContent = { 'text/plain': Type.String() }

/** Problems of the completion of an upload. */
export const completionProblems = [
  'part-incomplete',
  'part-conflict',
  'digest-invalid-value',
  'digest-unsupported-algorithm',
  'digest-mismatching-value',
  'parts-missing',
  'manifest-mismatching',
  'attempts-exhausted',
  'transfer-closed',
  'transfer-too-large',
  'storage-full',
  'store-failed',
  'upload-timeout',
  'cancelled',
  'expired',
  'account-revoked',
] as const

export function uploadRoutes(app: App, services: Services): void {
  const { context, uploads, stop } = services
  const { transferSizeBytesMax } = context.options

  // "the server MUST include the Upload-Limit header field with the corresponding limits in the response"
  for (const [url, params, operationId] of [
    ['/v1/to/:receivers/:name', FileParams, 'showUploadLimits'],
    [`${uploadsPath}:secret`, Params, 'showLimitsOfUpload'],
  ] as const) {
    app.options(
      url,
      {
        schema: {
          operationId,
          summary: 'The limits of resumable uploads',
          tags: ['sender'],
          params,
          refusalContent,
          answers: { 204: { headers: { 'Upload-Limit': uploadLimits } } },
        },
      },
      async (_request, reply) =>
        reply.code(204).header('upload-limit', uploadLimit(transferSizeBytesMax, null)).send(null),
    )
  }

  // With a HEAD of its own: the one that Fastify makes of a GET says the length of content, which a 204 must not (RFC 9110 section 8.6).
  app.route({
    method: ['GET', 'HEAD'],
    url: `${uploadsPath}:secret`,
    schema: {
      operationId: 'showUpload',
      summary: 'How much of an upload the portal has. A request that still sends content is ended',
      tags: ['sender'],
      params: Params,
      refusalContent,
      answers: { 204: { headers: stateHeaders } },
      problems: ['not-found', 'upload-gone'],
    },
    async handler(request, reply) {
      const how = { willWrite: false, signal: goneSignal(reply, stop) }
      await using session = await uploads.open(accountOf(request), 'ietf', request.params.secret, how)
      return reply.code(204).headers(stateFields(session.state, transferSizeBytesMax)).send()
    },
  })

  app.patch(
    `${uploadsPath}:secret`,
    {
      config: { body: 'asked for' },
      schema: {
        operationId: 'continueUpload',
        summary:
          'Append content to an upload. The request that completes it is answered as the one that created it would have been: notifications, a line each',
        tags: ['sender'],
        params: Params,
        requestHeaders: {
          'Upload-Offset': { ...uploadOffset, isRequired: true },
          'Upload-Complete': { ...uploadComplete, isRequired: true },
          'Upload-Length': uploadLength,
          'Upload-Draft-Interop-Version': uploadVersion,
          'Content-Digest': digestOfContent,
          'Repr-Digest': digestOfFile,
          Prefer: preferWaitForReceivers,
          Expect: expect,
        },
        requestBody: {
          description: 'The bytes of the file from `Upload-Offset` on',
          content: { [partialUploadMediaType]: {} },
        },
        answers: {
          200: { ...notificationLines, headers: completionHeaders },
          204: { headers: stateHeaders },
        },
        refusalContent,
        problems: [
          ...completionProblems,
          'not-found',
          'upload-gone',
          'mismatching-upload-offset',
          'inconsistent-upload-length',
          'media-type-unsupported',
        ],
      },
    },
    async (request, reply) => {
      const { headers, raw } = request
      const fields = uploadFieldsOf(headers)
      const { complete: completes, offsetBytes, lengthBytes } = fields
      if (!isPartialUpload(headers, fields)) {
        throw new Problem('media-type-unsupported', { detail: `send the content as ${partialUploadMediaType}` })
      }
      // "The client MUST indicate the offset", "The request MUST include the Upload-Complete header field."
      if (offsetBytes === null || completes === null) {
        const detail = 'Upload-Offset has to be a whole number, and Upload-Complete ?0 or ?1'
        throw new Problem('request-invalid', { detail })
      }
      const append = {
        offsetBytes,
        completes,
        lengthBytes,
        contentBytes: contentBytesOf(headers, 0),
        reprDigest: textOf(headers['repr-digest']) ?? null,
        contentDigests: BodyDigests.of([textOf(headers['content-digest'])]),
        source: raw,
        signal: goneSignal(reply, stop),
        onAdmitted: () => askForContent(request, reply),
        onEnd: () => requireNoLateDigest(raw.trailers),
        onDurable: tellOffset(reply, interimVersionOf(request, fields)),
      }
      const session = await uploads.open(accountOf(request), 'ietf', request.params.secret, {
        willWrite: true,
        signal: append.signal,
      })
      const stored = await appended(session, append, async (error) => describeRefusal(reply, session, error))
      if (stored === null) return reply.code(204).headers(stateFields(session.state, transferSizeBytesMax)).send(null)
      // "the response MUST include the Upload-Complete header field with a true value"
      const isComplete = { 'upload-complete': formatBoolean(true), 'upload-offset': String(session.state.offsetBytes) }
      await answerWithNotifications(services, request, reply, stored, isComplete)
    },
  )

  app.delete(
    `${uploadsPath}:secret`,
    {
      schema: {
        operationId: 'cancelUpload',
        summary: 'Cancel an upload. A request that still sends content is ended. What is stored already stays',
        tags: ['sender'],
        params: Params,
        refusalContent,
        answers: { 204: {} },
        problems: ['not-found', 'upload-gone'],
      },
    },
    async (request, reply) => {
      const how = { willWrite: true, signal: goneSignal(reply, stop) }
      await using session = await uploads.open(accountOf(request), 'ietf', request.params.secret, how)
      await session.cancel()
      const { transferId } = session.transfer
      audit(services, request, 'upload-cancelled', accountOf(request).name, { transferId, protocol: 'ietf' })
      return reply.code(204).send(null)
    },
  )
}

/** Appends content, and then lets the next request have the upload: the lines of the answer may take long. */
async function appended(
  session: UploadSession,
  append: Parameters<UploadSession['append']>[0],
  onRefusal: (error: unknown) => Promise<void>,
): Promise<Transfer | null> {
  await using _ = session
  try {
    return (await session.append(append)).stored
  } catch (error) {
    await onRefusal(error)
    throw error
  }
}
