/** `PUT /v1/to/{receivers}/{name}`: a file in one request, for curl and similar clients. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { BodyDigests } from '../../uploads/body-digests.ts'
import { type OneRequestFile, receiveFile } from '../../uploads/one-request.ts'
import { type App, accountOf, goneSignal, type Services } from '../app.ts'
import { askForContent } from '../continue.ts'
import {
  addressOf,
  contentBytesOf,
  FileParams,
  idempotencyKeyOf,
  mediaTypeOf,
  requireNoLateDigest,
  textOf,
} from '../file-head.ts'
import { answerWithNotifications, notificationLines } from '../notification-lines.ts'
import {
  completionHeaders,
  digestOfFile,
  expect,
  idempotencyKey,
  locationOfUpload,
  preferWaitForReceivers,
  stateHeaders,
  uploadComplete,
  uploadLength,
  uploadVersion,
} from '../openapi/headers.ts'
import { createUpload, creationOf } from '../resumable-creation.ts'
import { formatBoolean } from '../upload-fields.ts'
import { announcementProblems } from './transfers.ts'
import { completionProblems } from './uploads.ts'

const requestHeaders = {
  'Repr-Digest': digestOfFile,
  'Content-Digest': digestOfFile,
  'Idempotency-Key': idempotencyKey,
  Prefer: preferWaitForReceivers,
  Expect: expect,
  'Upload-Complete': uploadComplete,
  'Upload-Length': uploadLength,
  'Upload-Draft-Interop-Version': uploadVersion,
}

const problems = [
  ...announcementProblems,
  ...completionProblems,
  'length-required',
  'body-too-large',
  'media-type-unsupported',
  'inconsistent-upload-length',
] as const

export function oneRequestRoute(app: App, services: Services): void {
  app.route({
    method: ['PUT', 'POST'],
    url: '/v1/to/:receivers/:name',
    config: { body: 'asked for' },
    schema: {
      operationId: 'sendFile',
      summary:
        'Send a file in one request: its content is the body. The answer is its notifications, a line each, as they come: text, or JSON if that is accepted',
      tags: ['sender'],
      params: FileParams,
      requestHeaders,
      requestBody: {
        description:
          'The file itself. Its `Content-Type` becomes the media type; forms and a `Content-Encoding` are refused',
        content: { '*/*': {} },
      },
      answers: {
        200: { ...notificationLines, headers: completionHeaders },
        201: {
          description: 'The content is durable, and the upload can be continued',
          headers: { ...stateHeaders, Location: locationOfUpload },
        },
      },
      refusalContent: { 'text/plain': Type.String() },
      problems,
    },
    async handler(request, reply) {
      const creation = await creationOf(services, request)
      if (creation === null) {
        const { context, transfers, stop } = services
        const file = fileOf(request, reply, stop)
        const transfer = await receiveFile(context, transfers, accountOf(request), file)
        return answerWithNotifications(services, request, reply, transfer)
      }
      const stored = await createUpload(services, request, reply, creation)
      if (stored === null) return
      const isComplete = { 'upload-complete': formatBoolean(true), 'upload-offset': String(stored.sizeBytes) }
      return answerWithNotifications(services, request, reply, stored, isComplete)
    },
  })
}

/** The file of a plain request, by its headers and path. @throws Problem for an invalid request */
function fileOf(request: FastifyRequest, reply: FastifyReply, stop: AbortSignal): OneRequestFile {
  const { headers, raw } = request
  const address = addressOf(request.params as Static<typeof FileParams>, mediaTypeOf(headers['content-type']))
  const sizeBytes = contentBytesOf(headers, null)
  const digests = BodyDigests.of([textOf(headers['repr-digest']), textOf(headers['content-digest'])])
  return {
    ...address,
    sizeBytes,
    key: idempotencyKeyOf(textOf(headers['idempotency-key'])),
    digests,
    verify: () => {
      requireNoLateDigest(raw.trailers)
      digests?.verify()
    },
    source: raw,
    signal: goneSignal(reply, stop),
    onAdmitted: () => askForContent(request, reply),
  }
}
