/** `GET /v1/events` and `GET /v1/transfers/{transferId}/events`: the sender's notifications, replayable. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { SharedLooks } from '../../../async/index.ts'
import {
  Arriving,
  EventId,
  EventPage,
  eventsPerPageMax,
  isEventId,
  Notification,
  Problem,
  Progress,
  TransferId,
} from '../../../protocol/index.ts'
import { type Signals, topics, Waiter } from '../../signals/index.ts'
import { type App, accountOf, goneSignal, preferredWaitMs, type Services, waitMsOf } from '../app.ts'
import { lastEventId, preferWait } from '../openapi/headers.ts'
import { eventStreamContent } from '../openapi/operation.ts'
import { countOf, countText } from '../openapi/parameters.ts'
import { pageOf } from '../pages.ts'
import { answerWithEvents, type SseMessage } from '../sse.ts'

const Query = Type.Object(
  {
    after: Type.Optional(EventId),
    limit: Type.Optional(countText(eventsPerPageMax, eventsPerPageMax)),
  },
  { additionalProperties: false },
)
const tags = ['sender']
/** How many events a stream reads at a time. An event may be a hundred kilobytes long. */
const EVENTS_READ_MAX = 50
/** A held answer collects messages about arriving bytes for this time, because they come often. */
const PASSING_GATHERED_MS = 1_000
const response = { 200: EventPage }
const problems = ['event-unknown'] as const
const requestHeaders = { 'Last-Event-ID': lastEventId, Prefer: preferWait }
const answers = {
  200: {
    description: 'A page of the event log; with `Accept: text/event-stream` a stream, which does not end by itself',
    content: {
      'application/json': EventPage,
      ...eventStreamContent({
        notification: { data: Notification, id: EventId },
        current: { data: Type.Object({}) },
        progress: { data: Progress },
        arriving: { data: Arriving },
      }),
    },
  },
}

export function eventRoutes(app: App, services: Services): void {
  const looks: EventLooks = new SharedLooks()
  app.get(
    '/v1/events',
    {
      // HEAD of a stream would never end.
      exposeHeadRoute: false,
      schema: {
        operationId: 'listEvents',
        summary: 'Notifications of the account: JSON, or text/event-stream with Last-Event-ID',
        tags,
        querystring: Query,
        requestHeaders,
        response,
        answers,
        problems,
      },
      config: { guests: ['sending'] },
    },
    (request, reply) => answer(services, looks, request, reply, null),
  )
  app.get(
    '/v1/transfers/:transferId/events',
    {
      // HEAD of a stream would never end.
      exposeHeadRoute: false,
      schema: {
        operationId: 'listTransferEvents',
        summary: 'Notifications of one transfer: JSON, or text/event-stream with Last-Event-ID',
        tags,
        params: Type.Object({ transferId: TransferId }),
        querystring: Query,
        requestHeaders,
        response,
        answers,
        problems,
      },
      config: { guests: ['sending'] },
    },
    async (request, reply) => {
      const { transferId } = request.params
      await services.transfers.requireOwn(accountOf(request), transferId)
      return answer(services, looks, request, reply, transferId)
    },
  )
}

/** All streams of an account are woken together, and mostly want the same events. */
type EventLooks = SharedLooks<readonly Notification[]>

interface EventQuery {
  readonly after?: string
  readonly limit?: string
}

async function answer(
  services: Services,
  looks: EventLooks,
  request: FastifyRequest<{ Querystring: EventQuery }>,
  reply: FastifyReply,
  transferId: string | null,
): Promise<EventPage | undefined> {
  const { query } = request
  const { ledger } = services.context
  const { accountId } = accountOf(request)
  if (request.headers.accept?.includes('text/event-stream') === true) {
    const asked = lastEventIdOf(request) ?? query.after
    // Checked first, because a problem cannot be answered any more once the stream has begun.
    if (asked !== undefined) await ledger.events(accountId, { after: asked, limit: 1, transferId })
    // A stream of the whole account begins with new events, a stream of one transfer with its first event.
    const after = asked ?? (transferId === null ? await ledger.lastEventId(accountId) : '0')
    const from = { accountId, transferId, after }
    await answerWithEvents(request, reply, services.stop, (gone) => eventMessages(services, looks, from, gone))
    return
  }
  if (preferredWaitMs(request) !== null) return heldPage(services, { request, reply }, query, transferId)
  return pageAfter(services, accountId, query, query.after ?? '0', transferId)
}

/** The messages of the stream in one held answer: at once if there are any, otherwise after the requested time. */
async function heldPage(
  services: Services,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  query: EventQuery,
  transferId: string | null,
): Promise<EventPage> {
  const { ledger, signals } = services.context
  const { accountId } = accountOf(request)
  // Like the stream: new events for the account, all events for one transfer.
  if (query.after === undefined && transferId === null)
    return { events: [], after: await ledger.lastEventId(accountId) }
  const after = query.after ?? '0'
  const gone = goneSignal(reply, services.stop)
  using waiter = new Waiter(signals, topics.events(accountId))
  using passing = new PassingMessages(signals, accountId, transferId, () => waiter.wake())
  const startedAtMs = performance.now()
  for (;;) {
    const page = await pageAfter(services, accountId, query, after, transferId)
    const leftMs = (passing.isEmpty ? waitMsOf(request) : PASSING_GATHERED_MS) - (performance.now() - startedAtMs)
    if (page.events.length > 0 || leftMs <= 0 || gone.aborted) return { ...page, passing: passing.take() }
    await waiter.wait(leftMs, gone)
  }
}

async function pageAfter(
  { context: { ledger } }: Services,
  accountId: number,
  query: EventQuery,
  after: string,
  transferId: string | null,
): Promise<EventPage> {
  const limit = countOf(query.limit, eventsPerPageMax, eventsPerPageMax)
  const { items, last } = await pageOf<Notification, Notification>(
    limit,
    (row, count) => ledger.events(accountId, { after: row?.eventId ?? after, limit: count, transferId }),
    (event) => event,
  )
  return { events: [...items], after: last?.eventId ?? after }
}

/**
 * The last event that the client knows; undefined where it names none.
 *
 * @throws Problem `event-unknown` for an invalid id: starting with new events instead would skip some silently
 */
function lastEventIdOf({ headers }: FastifyRequest): string | undefined {
  const eventId = String(headers['last-event-id'] ?? '')
  if (eventId === '') return undefined
  if (!isEventId(eventId)) throw new Problem('event-unknown', { eventId })
  return eventId
}

/** All events after one, then new events, with passing messages in between. */
export async function* eventMessages(
  { context: { ledger, signals } }: Pick<Services, 'context'>,
  looks: EventLooks,
  from: { accountId: number; transferId: string | null; after: string },
  gone: AbortSignal,
): AsyncGenerator<SseMessage> {
  const { accountId, transferId } = from
  using waiter = new Waiter(signals, topics.events(accountId))
  using passing = new PassingMessages(signals, accountId, transferId, () => waiter.wake())
  let { after } = from
  let isCurrent = false
  while (!gone.aborted) {
    const wanted = { after, limit: EVENTS_READ_MAX, transferId }
    const events = await looks.run(`${accountId} ${transferId} ${after}`, () => ledger.events(accountId, wanted))
    for (const event of events) {
      after = event.eventId
      yield { event: 'notification', id: event.eventId, data: event }
    }
    if (events.length === EVENTS_READ_MAX) continue
    if (!isCurrent) {
      isCurrent = true
      yield { event: 'current', data: {} }
    }
    yield* passing.take()
    await waiter.wait(Number.POSITIVE_INFINITY, gone)
  }
}

/** Keeps only the newest message about each delivery and each part until the stream can send it. Older ones are useless. */
class PassingMessages implements Disposable {
  readonly #newest = new Map<string, SseMessage>()
  readonly #unsubscribe: readonly (() => void)[]

  constructor(signals: Signals, accountId: number, transferId: string | null, wake: () => void) {
    const keep = (event: string, payload: string): void => {
      const data: { transferId: string; receiver?: string; partNumber?: number } = JSON.parse(payload)
      if (transferId !== null && data.transferId !== transferId) return
      this.#newest.set(`${event} ${data.transferId} ${data.receiver ?? data.partNumber}`, { event, data })
      wake()
    }
    // A lost message is replaced by the next one.
    const onGap = (): void => {}
    this.#unsubscribe = [
      signals.subscribe(topics.progress(accountId), (payload) => keep('progress', payload), onGap),
      signals.subscribe(topics.arriving(accountId), (payload) => keep('arriving', payload), onGap),
    ]
  }

  get isEmpty(): boolean {
    return this.#newest.size === 0
  }

  take(): SseMessage[] {
    const taken = [...this.#newest.values()]
    this.#newest.clear()
    return taken
  }

  [Symbol.dispose](): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }
}
