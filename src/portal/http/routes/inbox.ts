/** `/v1/inbox`: what a receiver is offered, fetches and answers. The receiver dials out; nothing dials in. */
import type { ServerResponse } from 'node:http'
import { Type } from 'typebox'
import { type Floor, FloorWatch } from '../../../hop/index.ts'
import {
  Disposition,
  DispositionResult,
  formatContentDigest,
  InstanceId,
  isDigestAlgorithm,
  LeaseId,
  Offer,
  offersOpenMax,
  Problem,
  problemBytesMax,
  TransferId,
} from '../../../protocol/index.ts'
import type { LeaseClaim } from '../../deliveries.ts'
import { inboxMessages } from '../../inbox.ts'
import { floorOf } from '../../options.ts'
import { type App, accountOf, goneSignal, prefersRedirect, type Services, waitMsOf } from '../app.ts'
import { answerWithContent } from '../content.ts'
import { byteRange } from '../range.ts'
import { answerWithEvents, type SseMessage } from '../sse.ts'

const Params = Type.Object({ transferId: TransferId })
const PartParams = Type.Object({ transferId: TransferId, partNumber: Type.String({ pattern: '^[1-9][0-9]{0,5}$' }) })
const LeaseQuery = Type.Object(
  { lease: LeaseId, held: Type.Optional(Type.String({ pattern: '^[0-9]{1,16}$' })) },
  { additionalProperties: false },
)
const tags = ['receiver']
/** Is the lease of nobody. */
const NO_LEASE = ''
const WINDOW_DEFAULT = 4

export function inboxRoutes(app: App, services: Services): void {
  const { context, deliveries, stop } = services

  app.get(
    '/v1/inbox',
    {
      // HEAD would take offers away and show them to nobody.
      exposeHeadRoute: false,
      schema: {
        summary: 'Offers as text/event-stream: what waits, then what comes; at most `window` open at a time',
        tags,
        querystring: Type.Object(
          {
            instance: InstanceId,
            window: Type.Optional(Type.String({ pattern: '^[1-9][0-9]?$' })),
            content: Type.Optional(Type.Literal('inline')),
          },
          { additionalProperties: false },
        ),
        produces: ['text/event-stream'],
      },
    },
    async (request, reply) => {
      const window = Math.min(Number(request.query.window ?? WINDOW_DEFAULT), offersOpenMax)
      const { instance: instanceId, content } = request.query
      const inbox = { account: accountOf(request), instanceId, window, isInline: content === 'inline' }
      context.metrics.inboxes.inc()
      using _ = context.attendance.enter(inbox.account.name)
      try {
        await answerWithEvents(request, reply, stop, (gone) => messages(services, inbox, gone))
      } finally {
        context.metrics.inboxes.dec()
      }
    },
  )

  app.get(
    '/v1/inbox/:transferId',
    {
      schema: {
        summary:
          'How an offer stands; Prefer: wait=N holds the answer until the transfer is stored. Without a lease: 409 while the delivery is open, 404 or 410 when it is not',
        tags,
        params: Params,
        querystring: Type.Partial(LeaseQuery, { additionalProperties: false }),
        response: { 200: Offer },
      },
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
        summary:
          'One part; Prefer: wait=N holds the request while the part is on its way to the portal; Prefer: redirect takes a 307 to the store, where there is one',
        tags,
        params: PartParams,
        querystring: LeaseQuery,
        produces: ['application/octet-stream'],
      },
    },
    async (request, reply) => {
      const { headers } = request
      let range: ReturnType<typeof byteRange>
      const claim = claimOf(accountOf(request), request.params.transferId, request.query)
      const part = await deliveries.part(claim, Number(request.params.partNumber), {
        waitMs: waitMsOf(request),
        signal: goneSignal(reply, stop),
        // The store knows nothing of the entity tag that `If-Range` has.
        wantsLink: prefersRedirect(request) && headers.range === undefined,
        rangeOf: (digest, partBytes) => {
          range = byteRange(headers.range, headers['if-range'], `"${digest}"`, partBytes)
          return range
        },
      })
      const { digest, digestAlgorithm, partBytes } = part
      if (!isDigestAlgorithm(digestAlgorithm)) throw new Problem('digest-unsupported-algorithm')
      const digestField = formatContentDigest(digestAlgorithm, digest)
      if (part.link !== null) {
        context.metrics.partBytes.inc({ direction: 'redirected' }, partBytes)
        // RFC 9530 section 3: what a GET would have got, not the content of this message, which has none.
        const sent = { location: part.link, 'repr-digest': digestField, 'preference-applied': 'redirect' }
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
      }
      context.metrics.partBytes.inc({ direction: 'out' }, content.lengthBytes)
      // A receiver that stops reading is cut, as a sender is that stops writing. Node ends this with the answer.
      reply.raw.setTimeout(context.options.idleMs)
      cutIfTooSlow(reply.raw, floorOf(context.options))
      // RFC 9530: Content-Digest is that of the bytes in this message, so a partial answer carries Repr-Digest instead.
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
        summary: "The receiver's notification: received, resend or refused. The same again succeeds",
        tags,
        params: Params,
        body: Disposition,
        response: { 200: DispositionResult },
      },
    },
    async (request) => {
      const { body } = request
      if ('problem' in body && !isPassable(body.problem)) {
        throw new Problem('body-too-large', { problemBytesMax })
      }
      return { state: await deliveries.dispose(accountOf(request), request.params.transferId, body) }
    },
  )
}

/** Cuts a receiver that takes its part more slowly than is allowed. */
function cutIfTooSlow(response: ServerResponse, floor: Floor): void {
  const watch = new FloorWatch(
    floor,
    () => response.socket?.bytesWritten ?? 0,
    () => response.destroy(),
  )
  response.once('close', () => watch[Symbol.dispose]())
}

/** Whether a receiver's problem is small enough to be passed on. */
function isPassable(problem: unknown): boolean {
  try {
    return Buffer.byteLength(JSON.stringify(problem)) <= problemBytesMax
  } catch (error) {
    // What was read as JSON can be written as such again, unless it is nested more deeply than the stack reaches.
    if (error instanceof RangeError) return false
    throw error
  }
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
    }
  }
}
