/** `/v1/inbox`: offers, parts and answers of a receiver. The receiver makes all connections itself. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Type } from 'typebox'
import { type MinThroughput, ThroughputWatch } from '../../../parts/index.ts'
import {
  Disposition,
  DispositionResult,
  formatContentDigest,
  InboxMessages,
  InboxNotice,
  InstanceId,
  isDigestAlgorithm,
  LeaseId,
  Offer,
  offersOpenMax,
  Problem,
  problemBytesMax,
  problemLevelsMax,
  TransferId,
  timerMs,
  Withdrawal,
} from '../../../protocol/index.ts'
import { inboxMessages } from '../../deliveries/inbox.ts'
import type { LeaseClaim } from '../../deliveries/leases.ts'
import { minThroughputOf } from '../../options.ts'
import { type App, accountOf, goneSignal, prefersRedirect, type Services, waitMsOf, wantsHeldAnswer } from '../app.ts'
import { answerWithContent } from '../content.ts'
import * as fields from '../openapi/headers.ts'
import { eventStreamContent } from '../openapi/operation.ts'
import { byteCountText, countOf, countText, PartNumberText } from '../openapi/parameters.ts'
import { byteRange } from '../range.ts'
import { answerWithEvents, type SseMessage } from '../sse.ts'

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const Params = Type.Object({ transferId: TransferId })
const PartParams = Type.Object({ transferId: TransferId, partNumber: PartNumberText })
const LeaseQuery = Type.Object(
  { lease: LeaseId, held: Type.Optional(byteCountText('How many bytes of the file the receiver has verified so far')) },
  { additionalProperties: false },
)
/** The transfers whose offers the receiver has open, perhaps none. */
const OpenOffers = Type.String({
  pattern: `^(${UUID}(,${UUID}){0,${offersOpenMax - 1}})?$`,
  description:
    'In a held answer: the transferIds of open offers, separated by commas. Without it the inbox begins, as a stream does',
})
const tags = ['receiver']
/** A lease id that no lease has. */
const NO_LEASE = ''
const WINDOW_DEFAULT = 4
const leaseProblems = ['not-found', 'lease-lost', 'delivery-ended'] as const

/** Headers of every answer with content of a part. */
const partHeaders = { ETag: fields.etag, 'Accept-Ranges': fields.acceptRanges, Link: fields.nextPart }
const partAnswers = {
  200: {
    description: 'The whole part',
    headers: { ...partHeaders, 'Content-Digest': fields.contentDigest },
    content: { 'application/octet-stream': {} },
  },
  206: {
    description: 'The bytes that `Range` asks for',
    headers: { ...partHeaders, 'Content-Range': fields.contentRange, 'Repr-Digest': fields.reprDigest },
    content: { 'application/octet-stream': {} },
  },
  307: {
    description: 'To `Prefer: redirect`, where the store gives addresses: fetch the part from there',
    headers: {
      Location: fields.location,
      Link: fields.nextPart,
      'Repr-Digest': fields.reprDigest,
      'Preference-Applied': fields.preferenceApplied,
    },
  },
}

export function inboxRoutes(app: App, services: Services): void {
  const { context, deliveries, stop } = services

  app.get(
    '/v1/inbox',
    {
      // A HEAD request would lease offers without showing them.
      exposeHeadRoute: false,
      schema: {
        operationId: 'watchInbox',
        summary:
          'Offers as text/event-stream: what waits, then what comes; at most `window` open at a time. With `Accept: application/json` one held answer of what the stream would tell',
        tags,
        querystring: Type.Object(
          {
            instance: InstanceId,
            process: Type.Optional(InstanceId),
            window: Type.Optional(countText(offersOpenMax, WINDOW_DEFAULT)),
            content: Type.Optional(Type.Literal('inline')),
            contentBytes: Type.Optional(byteCountText('How many bytes of content come with open offers at most')),
            streams: Type.Optional(Type.Literal('early')),
            open: Type.Optional(OpenOffers),
          },
          { additionalProperties: false },
        ),
        answers: {
          200: {
            description:
              'A stream, which does not end by itself; with `Accept: application/json` what it would tell, held for `Prefer: wait=N`',
            content: {
              'application/json': InboxMessages,
              ...eventStreamContent({
                offer: { data: Offer },
                withdrawn: { data: Withdrawal },
                current: { data: Type.Object({}) },
                contested: { data: InboxNotice },
                refused: { data: InboxNotice },
              }),
            },
          },
        },
        response: { 200: InboxMessages },
        requestHeaders: { Prefer: fields.preferWait },
      },
      config: { guests: ['receiving'] },
    },
    async (request, reply) => {
      const window = countOf(request.query.window, offersOpenMax, WINDOW_DEFAULT)
      const { instance: instanceId, process: processId = null, content, contentBytes, streams, open } = request.query
      const held = wantsHeldAnswer(request) ? { open: openIn(open), waitMs: waitMsOf(request) } : null
      const contentBytesMax = contentBytes === undefined ? {} : { contentBytesMax: Number(contentBytes) }
      const wanted = { isInline: content === 'inline', ...contentBytesMax, areStreamsWanted: streams === 'early' }
      const inbox = { account: accountOf(request), instanceId, processId, window, ...wanted, held }
      using _ = context.heartbeat.connected(inbox.account.name)
      if (held === null) {
        forgetHead(request.raw)
        await answerWithEvents(request, reply, stop, (gone) => messages(services, inbox, gone))
        return
      }
      // If the answer is lost, its offers come again when the receiver starts again.
      const collected: SseMessage[] = []
      for await (const message of messages(services, inbox, goneSignal(reply, stop))) collected.push(message)
      return { messages: collected }
    },
  )

  app.get(
    '/v1/inbox/:transferId',
    {
      schema: {
        operationId: 'getOffer',
        summary:
          'How an offer stands; Prefer: wait=N holds the answer until the transfer is stored. Without a lease: 409 while the delivery is open, 404 or 410 when it is not',
        tags,
        params: Params,
        querystring: Type.Partial(LeaseQuery, { additionalProperties: false }),
        requestHeaders: { Prefer: fields.preferWait },
        response: { 200: Offer },
        problems: leaseProblems,
      },
      config: { guests: ['receiving'] },
    },
    (request, reply) => {
      const claim = claimOf(accountOf(request), request.params.transferId, request.query)
      return deliveries.offer(claim, waitMsOf(request), goneSignal(reply, stop))
    },
  )

  app.get(
    '/v1/inbox/:transferId/parts/:partNumber',
    {
      schema: {
        operationId: 'fetchPart',
        summary:
          'One part; Prefer: wait=N holds the request while the part is on its way to the portal; Prefer: redirect takes a 307 to the store, where there is one',
        tags,
        params: PartParams,
        querystring: LeaseQuery,
        requestHeaders: {
          Prefer: fields.preferWaitOrRedirect,
          Range: fields.range,
          'If-Range': fields.ifRange,
        },
        answers: partAnswers,
        problems: [
          ...leaseProblems,
          'part-unknown',
          'part-pending',
          'range-unsatisfiable',
          'store-failed',
          'digest-unsupported-algorithm',
        ],
      },
      config: { guests: ['receiving'] },
    },
    async (request, reply) => {
      const { headers } = request
      let range: ReturnType<typeof byteRange>
      const claim = claimOf(accountOf(request), request.params.transferId, request.query)
      const part = await deliveries.part(claim, Number(request.params.partNumber), {
        waitMs: waitMsOf(request),
        signal: goneSignal(reply, stop),
        // The store does not know the entity tag in `If-Range`, so the portal answers that itself.
        wantsLink: prefersRedirect(request) && headers['if-range'] === undefined,
        rangeOf: (digest, partBytes) => {
          range = byteRange(headers.range, headers['if-range'], `"${digest}"`, partBytes)
          return range
        },
      })
      const { digest, digestAlgorithm, partBytes, hasNext } = part
      if (!isDigestAlgorithm(digestAlgorithm)) throw new Problem('digest-unsupported-algorithm')
      const digestField = formatContentDigest(digestAlgorithm, digest)
      const next = hasNext ? { link: `<./${Number(request.params.partNumber) + 1}>; rel="next"` } : {}
      if (part.link !== null) {
        context.metrics.partBytes.inc({ direction: 'redirected' }, partBytes)
        // RFC 9530 section 3: Repr-Digest is about the part itself, not about this message, which has no content.
        const sent = { location: part.link, 'repr-digest': digestField, 'preference-applied': 'redirect', ...next }
        return reply
          .code(307)
          .headers({ ...sent, 'cache-control': 'no-store' })
          .send()
      }
      const { content } = part
      const head = {
        'content-type': 'application/octet-stream',
        'content-length': content.lengthBytes,
        etag: `"${digest}"`,
        'accept-ranges': 'bytes',
        'cache-control': 'no-store',
        ...next,
      }
      context.metrics.partBytes.inc({ direction: 'out' }, content.lengthBytes)
      // Disconnects a receiver that stops reading. Node clears this timeout at the end of the answer.
      reply.raw.setTimeout(timerMs(context.options.idleMs))
      cutIfTooSlow(reply.raw, minThroughputOf(context.options))
      // RFC 9530: Content-Digest is about the bytes in this message, so a partial answer carries Repr-Digest instead.
      if (range === undefined) {
        await answerWithContent(reply, 200, { ...head, 'content-digest': digestField }, content.stream)
      } else {
        const contentRange = `bytes ${range.startByte}-${range.endByte}/${partBytes}`
        const rangeHead = { ...head, 'content-range': contentRange, 'repr-digest': digestField }
        await answerWithContent(reply, 206, rangeHead, content.stream)
      }
    },
  )

  app.post(
    '/v1/inbox/:transferId/disposition',
    {
      schema: {
        operationId: 'disposeOffer',
        summary: "The receiver's notification: received, resend or refused. The same again succeeds",
        tags,
        params: Params,
        body: Disposition,
        response: { 200: DispositionResult },
        problems: [...leaseProblems, 'manifest-mismatching', 'store-failed'],
      },
      config: { guests: ['receiving'] },
    },
    async (request, reply) => {
      const { body } = request
      requirePassable(body)
      const gone = goneSignal(reply, stop)
      return { state: await deliveries.dispose(accountOf(request), request.params.transferId, body, gone) }
    },
  )
}

/** Frees the fields of a request, which nothing reads any more. Its stream would hold them for hours, and there are thousands of streams. */
function forgetHead(request: IncomingMessage): void {
  request.headers = {}
  request.rawHeaders = []
}

/** Disconnects a receiver that reads its part more slowly than the minimum rate. */
function cutIfTooSlow(response: ServerResponse, minThroughput: MinThroughput): void {
  const watch = new ThroughputWatch(
    minThroughput,
    () => response.socket?.bytesWritten ?? 0,
    () => response.destroy(),
  )
  response.once('close', () => watch[Symbol.dispose]())
}

/** @throws Problem `body-too-large` for a receiver's problem that is too large, or nested too deep, to be passed on */
export function requirePassable(answer: Disposition): void {
  if (!('problem' in answer) || isPassable(answer.problem)) return
  throw new Problem('body-too-large', { problemBytesMax, problemLevelsMax })
}

/** Whether a receiver's problem is small enough to be passed on to the sender. */
function isPassable(problem: unknown): boolean {
  // Levels first: the time that JSON.stringify takes grows with the square of the depth, until the stack is full.
  return hasLevels(problem, problemLevelsMax) && Buffer.byteLength(JSON.stringify(problem)) <= problemBytesMax
}

/** Whether a JSON value has at most so many levels of objects and arrays. Takes time in proportion to its size. */
function hasLevels(value: unknown, levelsMax: number): boolean {
  let level = [value].filter(isObject)
  for (let levels = 0; level.length > 0; levels++) {
    if (levels === levelsMax) return false
    level = level.flatMap((one) => Object.values(one).filter(isObject))
  }
  return true
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** @returns null when the parameter is missing, because the receiver starts */
function openIn(text: string | undefined): readonly string[] | null {
  if (text === undefined) return null
  return text === '' ? [] : text.split(',')
}

function claimOf(
  account: LeaseClaim['account'],
  transferId: string,
  { lease, held }: { lease?: string; held?: string },
): LeaseClaim {
  return { account, transferId, leaseId: lease ?? NO_LEASE, heldBytes: held === undefined ? null : Number(held) }
}

async function* messages(
  { context }: Services,
  inbox: Parameters<typeof inboxMessages>[1],
  gone: AbortSignal,
): AsyncGenerator<SseMessage> {
  for await (const message of inboxMessages(context, inbox, gone)) {
    switch (message.type) {
      case 'offer':
        yield { event: 'offer', data: message.offer }
        break
      case 'withdrawn':
        yield { event: 'withdrawn', data: message.withdrawal }
        break
      case 'current':
        yield { event: 'current', data: {} }
        break
      case 'contested':
      case 'refused':
        yield { event: message.type, data: { problem: message.problem } }
        break
    }
  }
}
