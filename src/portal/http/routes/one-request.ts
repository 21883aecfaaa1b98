/** `PUT /v1/to/{receivers}/{name}`: a file in one request, for everybody who has curl. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import {
  Announcement,
  eventsPerPageMax,
  isTransferId,
  nameLengthMax,
  PlainMetadata,
  Problem,
  receiversPerTransferMax,
} from '../../../protocol/index.ts'
import { BodyDigests } from '../../body-digests.ts'
import type { Transfer } from '../../ledger/contract.ts'
import { type IncomingFile, takeFile } from '../../one-request.ts'
import { topics, Waiter } from '../../signals/index.ts'
import { type App, accountOf, goneSignal, preferredWaitMs, type Services } from '../app.ts'
import { askForBody } from '../continue.ts'
import { jsonLine, jsonLinesTypeOf, laterJson, laterLine, notificationLine, textMediaType } from '../lines.ts'
import { answerWithTexts } from '../long-answer.ts'

const Addressed = Type.Object({ to: Announcement.properties.to, metadata: PlainMetadata })
type Addressed = Static<typeof Addressed>
const addressed = Compile(Addressed)
const ACCOUNT_NAME_LENGTH_MAX = 64
const MEDIA_TYPE = /^[\w!#$&^.+-]{1,64}\/[\w!#$&^.+-]{1,64}/
/** What curl says of every body that it is given by `--data`. */
const CURL_DATA_TYPE = 'application/x-www-form-urlencoded'

const Params = Type.Object({
  receivers: Type.String({
    minLength: 1,
    maxLength: receiversPerTransferMax * ACCOUNT_NAME_LENGTH_MAX,
    description: 'accounts, separated by commas',
  }),
  name: Type.String({ minLength: 1, maxLength: nameLengthMax, description: 'of the file' }),
})

const Headers = Type.Object({
  'content-length': Type.Optional(Type.String({ description: 'or Transfer-Encoding, where it is not known' })),
  'content-type': Type.Optional(Type.String({ description: 'becomes the media type of the file' })),
  'repr-digest': Type.Optional(Type.String({ description: 'RFC 9530, of the whole file; verified' })),
  'content-digest': Type.Optional(Type.String({ description: 'the same' })),
  'idempotency-key': Type.Optional(Type.String({ description: 'a UUIDv7, which becomes the transferId' })),
  prefer: Type.Optional(Type.String({ description: 'wait=N: how many seconds the answer may wait for receivers' })),
  expect: Type.Optional(Type.String({ description: '100-continue: a refusal costs no upload' })),
})

export function oneRequestRoute(app: App, services: Services): void {
  app.route({
    method: ['PUT', 'POST'],
    url: '/v1/to/:receivers/:name',
    config: { body: 'asked for' },
    schema: {
      summary:
        'Send a file in one request: its content is the body. The answer is its notifications, a line each, as they come: text, or JSON if that is accepted',
      tags: ['sender'],
      params: Params,
      headers: Headers,
      consumes: ['application/octet-stream'],
      produces: ['text/plain', 'application/jsonl'],
      response: { 200: Type.String() },
    },
    async handler(request, reply) {
      const { context, transfers, stop } = services
      const file = fileOf(request, reply, stop)
      const transfer = await takeFile(context, transfers, accountOf(request), file)
      // That of a repetition has not been read.
      if (!request.raw.complete) request.raw.resume()
      const contentType = jsonLinesTypeOf(request) ?? textMediaType
      const form = { contentType, heartbeat: '\n' }
      await answerWithTexts(request, reply, stop, form, (gone) => told(services, request, transfer, gone))
    },
  })
}

/** What a request says of its file. @throws Problem for what it cannot mean */
function fileOf(request: FastifyRequest, reply: FastifyReply, stop: AbortSignal): IncomingFile {
  const { headers, raw } = request
  const { to, metadata } = addressOf(request.params as Static<typeof Params>, mediaTypeOf(headers['content-type']))
  const { 'content-length': contentLength, 'content-encoding': coding = 'identity' } = headers
  if (contentLength === undefined && headers['transfer-encoding'] === undefined) throw new Problem('length-required')
  // RFC 9110 section 14.5: a part of a file is not to be taken for all of it. curl sends this to resume.
  if (headers['content-range'] !== undefined) {
    throw new Problem('request-invalid', { detail: 'the whole file is wanted, not a range of it' })
  }
  if (coding !== 'identity') {
    throw new Problem('media-type-unsupported', { detail: 'the file is wanted as it is, without a Content-Encoding' })
  }
  const digests = BodyDigests.of([textOf(headers['repr-digest']), textOf(headers['content-digest'])])
  return {
    to,
    metadata,
    sizeBytes: contentLength === undefined ? null : Number(contentLength),
    key: keyOf(textOf(headers['idempotency-key'])),
    digests,
    source: raw,
    signal: goneSignal(reply, stop),
    onAdmitted: () => askForBody(request, reply),
  }
}

/** @throws Problem `request-invalid` */
function addressOf({ receivers, name }: Static<typeof Params>, mediaType: string | null): Addressed {
  const value = { to: receivers.split(','), metadata: { name, ...(mediaType === null ? {} : { mediaType }) } }
  if (addressed.Check(value)) return value
  const [error] = addressed.Errors(value)
  const detail = `/v1/to/RECEIVERS/NAME: ${error?.instancePath} ${error?.message}`
  throw new Problem('request-invalid', { detail })
}

/** @throws Problem `media-type-unsupported` for a form: its fences would become a part of the file */
function mediaTypeOf(contentType: string | undefined): string | null {
  const mediaType = MEDIA_TYPE.exec(contentType ?? '')?.[0].toLowerCase() ?? null
  if (mediaType === 'multipart/form-data') {
    throw new Problem('media-type-unsupported', { detail: 'send the file itself (curl -T), not a form with it' })
  }
  return mediaType === CURL_DATA_TYPE ? null : mediaType
}

/**
 * The transfer that the sender chose: draft-ietf-httpapi-idempotency-key-header, a string in quotes or as it is.
 *
 * @throws Problem `request-invalid`
 */
function keyOf(field: string | undefined): string | null {
  if (field === undefined) return null
  const key = field.replace(/^"(.*)"$/, '$1').toLowerCase()
  if (!isTransferId(key)) throw new Problem('request-invalid', { detail: 'the Idempotency-Key is to be a UUIDv7' })
  return key
}

function textOf(field: string | string[] | undefined): string | undefined {
  return Array.isArray(field) ? field.join(', ') : field
}

/** The notifications of a stored transfer, from its first one to those of all receivers, or for as long as is wanted. */
async function* told(
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
      // What came of earlier tries concerns nobody any more.
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
