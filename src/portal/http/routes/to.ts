/** `PUT /v1/to/{receivers}/{name}`: a file in one request, for curl and similar clients. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import {
  AccountName,
  Announcement,
  eventsPerPageMax,
  isTransferId,
  Notification,
  nameLengthMax,
  PlainMetadata,
  Problem,
  receiversPerTransferMax,
  TransferId,
} from '../../../protocol/index.ts'
import type { Transfer } from '../../ledger/contract.ts'
import { topics, Waiter } from '../../signals/index.ts'
import { BodyDigests } from '../../uploads/body-digests.ts'
import { type OneRequestFile, receiveFile } from '../../uploads/one-request.ts'
import { type App, accountOf, goneSignal, preferredWaitMs, type Services } from '../app.ts'
import { askForBody } from '../continue.ts'
import { jsonLine, jsonLinesTypeOf, laterJson, laterLine, notificationLine, textMediaType } from '../lines.ts'
import { answerWithTexts } from '../long-answer.ts'
import { digestOfFile, expect, idempotencyKey, preferWaitForReceivers } from '../openapi/headers.ts'
import { jsonLines } from '../openapi/operation.ts'
import { poolBody } from '../pooled-reads.ts'
import { faultsOf } from '../validation.ts'
import { announcementProblems } from './transfers.ts'

const Addressed = Type.Object({ to: Announcement.properties.to, metadata: PlainMetadata })
type Addressed = Static<typeof Addressed>
const addressed = Compile(Addressed)
const ACCOUNT_NAME_LENGTH_MAX = 64
const MEDIA_TYPE = /^[\w!#$&^.+-]{1,64}\/[\w!#$&^.+-]{1,64}/
/** RFC 9112 section 7.1: the transfer coding of a body of unknown length. */
const ONLY_TRANSFER_CODING = 'chunked'
/** Media types of HTML forms. curl sends the second one with `--data`, which changes the content. */
const FORM_TYPES: readonly (string | null)[] = ['multipart/form-data', 'application/x-www-form-urlencoded']

const Params = Type.Object({
  receivers: Type.String({
    minLength: 1,
    maxLength: receiversPerTransferMax * ACCOUNT_NAME_LENGTH_MAX,
    description: 'accounts, separated by commas',
  }),
  name: Type.String({ minLength: 1, maxLength: nameLengthMax, description: 'of the file' }),
})

const requestHeaders = {
  'Repr-Digest': digestOfFile,
  'Content-Digest': digestOfFile,
  'Idempotency-Key': idempotencyKey,
  Prefer: preferWaitForReceivers,
  Expect: expect,
}

/** The last line of a JSON answer that ends before all receivers have answered. */
const Later = Type.Object({ transferId: TransferId, waitingFor: Type.Array(AccountName), events: Type.String() })
const line = { oneOf: [Notification, Later] }

const problems = [
  ...announcementProblems,
  'length-required',
  'body-too-large',
  'media-type-unsupported',
  'transfer-closed',
  'part-incomplete',
  'digest-invalid-value',
  'digest-mismatching-value',
  'parts-missing',
  'manifest-mismatching',
  'upload-timeout',
  'attempts-exhausted',
  'cancelled',
  'expired',
  'account-revoked',
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
      params: Params,
      requestHeaders,
      requestBody: {
        description:
          'The file itself. Its `Content-Type` becomes the media type; forms and a `Content-Encoding` are refused',
        content: { '*/*': {} },
      },
      answers: {
        200: {
          description:
            'Notifications as they come, the first one `stored`: lines of text, or of JSON if that is accepted',
          content: {
            'text/plain': Type.String(),
            ...jsonLines('application/jsonl', line),
            ...jsonLines('application/x-ndjson', line),
          },
        },
      },
      refusalContent: { 'text/plain': Type.String() },
      problems,
    },
    async handler(request, reply) {
      const { context, transfers, stop } = services
      const file = fileOf(request, reply, stop)
      const transfer = await receiveFile(context, transfers, accountOf(request), file)
      // The body of a repetition may not have been read to its end.
      if (!request.raw.complete) request.raw.resume()
      const contentType = jsonLinesTypeOf(request) ?? textMediaType
      const form = { contentType, heartbeat: '\n' }
      await answerWithTexts(request, reply, stop, form, (gone) => notificationTexts(services, request, transfer, gone))
    },
  })
}

/** The file of a request, by its headers and path. @throws Problem for an invalid request */
function fileOf(request: FastifyRequest, reply: FastifyReply, stop: AbortSignal): OneRequestFile {
  const { headers, raw } = request
  const { to, metadata } = addressOf(request.params as Static<typeof Params>, mediaTypeOf(headers['content-type']))
  const { 'content-length': contentLength, 'content-encoding': coding = 'identity' } = headers
  const { 'transfer-encoding': transferCoding } = headers
  if (contentLength === undefined && transferCoding === undefined) throw new Problem('length-required')
  // RFC 9112 section 6.1: with a further coding the body is not the file itself.
  if (transferCoding !== undefined && transferCoding.trim().toLowerCase() !== ONLY_TRANSFER_CODING) {
    const detail = `the file is wanted as it is, with no Transfer-Encoding but ${ONLY_TRANSFER_CODING}`
    throw new Problem('media-type-unsupported', { detail })
  }
  // RFC 9110 section 14.5: a part of a file must not be taken for the whole. curl sends this header to resume.
  if (headers['content-range'] !== undefined) {
    throw new Problem('request-invalid', { detail: 'send the whole file, not a range of it' })
  }
  if (coding !== 'identity') {
    throw new Problem('media-type-unsupported', { detail: 'send the file as it is, without a Content-Encoding' })
  }
  const digests = BodyDigests.of([textOf(headers['repr-digest']), textOf(headers['content-digest'])])
  return {
    to,
    metadata,
    sizeBytes: contentLength === undefined ? null : Number(contentLength),
    key: keyOf(textOf(headers['idempotency-key'])),
    digests,
    verify: () => {
      requireNoLateDigest(raw.trailers)
      digests?.verify()
    },
    source: raw,
    signal: goneSignal(reply, stop),
    onAdmitted: () => {
      askForBody(request, reply)
      poolBody(raw)
    },
  }
}

/**
 * RFC 9530 allows a digest in a trailer, after the body. It is too late then to compute it, and ignoring it would make the sender
 * believe that the digest was verified. So it is refused.
 *
 * @throws Problem `request-invalid`
 */
function requireNoLateDigest(trailers: NodeJS.Dict<string>): void {
  if (trailers['repr-digest'] === undefined && trailers['content-digest'] === undefined) return
  throw new Problem('request-invalid', { detail: 'send the digest of the file in a header, not in a trailer' })
}

/** @throws Problem `request-invalid` */
function addressOf({ receivers, name }: Static<typeof Params>, mediaType: string | null): Addressed {
  const value = { to: receivers.split(','), metadata: { name, ...(mediaType === null ? {} : { mediaType }) } }
  if (addressed.Check(value)) return value
  throw new Problem('request-invalid', { detail: faultsOf(addressed, value, 'the address') })
}

/** @throws Problem `media-type-unsupported` for a form, because its boundaries or escapes would become part of the file */
function mediaTypeOf(contentType: string | undefined): string | null {
  const mediaType = MEDIA_TYPE.exec(contentType ?? '')?.[0].toLowerCase() ?? null
  if (FORM_TYPES.includes(mediaType)) {
    throw new Problem('media-type-unsupported', { detail: 'send the file itself (curl -T), not a form with it' })
  }
  return mediaType
}

/**
 * The transferId that the sender chose as its idempotency key (draft-ietf-httpapi-idempotency-key-header), with or without quotes.
 *
 * @throws Problem `request-invalid`
 */
function keyOf(field: string | undefined): string | null {
  if (field === undefined) return null
  const key = field.replace(/^"(.*)"$/, '$1').toLowerCase()
  if (!isTransferId(key)) throw new Problem('request-invalid', { detail: 'the Idempotency-Key must be a UUIDv7' })
  return key
}

function textOf(field: string | string[] | undefined): string | undefined {
  return Array.isArray(field) ? field.join(', ') : field
}

/** The notifications of a stored transfer, from the first one to those of all receivers, or until the client's waiting time ends. */
async function* notificationTexts(
  { context: { ledger, signals } }: Services,
  request: FastifyRequest,
  transfer: Transfer,
  gone: AbortSignal,
): AsyncGenerator<string> {
  const isJson = jsonLinesTypeOf(request) !== null
  const { transferId, senderId } = transfer
  const endAtMs = performance.now() + (preferredWaitMs(request) ?? Number.POSITIVE_INFINITY)
  const open = new Set(transfer.deliveries.map(({ receiver }) => receiver))
  using waiter = new Waiter(signals, topics.transfer(transferId))
  let after = '0'
  let isStored = false
  while (true) {
    const events = await ledger.events(senderId, { after, limit: eventsPerPageMax, transferId })
    for (const event of events) {
      after = event.eventId
      // Notifications of earlier attempts are left out.
      isStored ||= event.notification === 'stored'
      if (!isStored) continue
      if ('receiver' in event) open.delete(event.receiver)
      yield isJson ? jsonLine(event) : notificationLine(transfer, event)
    }
    if (open.size === 0) return
    if (events.length === eventsPerPageMax) continue
    const leftMs = endAtMs - performance.now()
    if (leftMs <= 0 || gone.aborted) break
    await waiter.wait(leftMs, gone)
  }
  yield isJson ? laterJson(transfer, [...open]) : laterLine(transfer, [...open])
}
