/** `GET /v1/events` and `GET /v1/transfers/{transferId}/events`: the sender's notifications, replayable. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { EventId, EventPage, eventsPerPageMax, TransferId } from '../../../protocol/index.ts'
import { type Signals, topics, Waiter } from '../../signals/index.ts'
import { type App, accountOf, type Services } from '../app.ts'
import { answerWithEvents, type SseMessage } from '../sse.ts'

const Query = Type.Object(
  {
    after: Type.Optional(EventId),
    limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$' })),
  },
  { additionalProperties: false },
)
const tags = ['sender']
const response = { 200: EventPage }

export function eventRoutes(app: App, services: Services): void {
  app.get(
    '/v1/events',
    {
      // HEAD of a stream would never end.
      exposeHeadRoute: false,
      schema: {
        summary: 'Notifications of the account: JSON, or text/event-stream with Last-Event-ID',
        tags,
        querystring: Query,
        response,
      },
    },
    (request, reply) => answer(services, request, reply, request.query, null),
  )
  app.get(
    '/v1/transfers/:transferId/events',
    {
      // HEAD of a stream would never end.
      exposeHeadRoute: false,
      schema: {
        summary: 'Notifications of one transfer: JSON, or text/event-stream with Last-Event-ID',
        tags,
        params: Type.Object({ transferId: TransferId }),
        querystring: Query,
        response,
      },
    },
    async (request, reply) => {
      const { transferId } = request.params
      await services.transfers.requireOwn(accountOf(request), transferId)
      return answer(services, request, reply, request.query, transferId)
    },
  )
}

async function answer(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  query: { after?: string; limit?: string },
  transferId: string | null,
): Promise<EventPage | undefined> {
  const { ledger } = services.context
  const { accountId } = accountOf(request)
  if (request.headers.accept?.includes('text/event-stream') === true) {
    const lastEventId = String(request.headers['last-event-id'] ?? '')
    const asked = /^[0-9]{1,18}$/.test(lastEventId) ? lastEventId : query.after
    // A stream of the whole account begins with what happens from now on; that of one transfer tells its story.
    const after = asked ?? (transferId === null ? await ledger.lastEventId(accountId) : '0')
    const from = { accountId, transferId, after }
    await answerWithEvents(request, reply, services.stop, (gone) => eventMessages(services, from, gone))
    return
  }
  const after = query.after ?? '0'
  const limit = Math.min(Number(query.limit ?? eventsPerPageMax), eventsPerPageMax)
  const events = await ledger.events(accountId, { after, limit, transferId })
  return { events, after: events.at(-1)?.eventId ?? after }
}

/** Everything after an event, then what comes, with passing messages in between. */
async function* eventMessages(
  { context: { ledger, signals } }: Services,
  from: { accountId: number; transferId: string | null; after: string },
  gone: AbortSignal,
): AsyncGenerator<SseMessage> {
  const { accountId, transferId } = from
  using waiter = new Waiter(signals, topics.events(accountId))
  using passing = new PassingMessages(signals, accountId, transferId, () => waiter.wake())
  let { after } = from
  let isCurrent = false
  while (!gone.aborted) {
    const events = await ledger.events(accountId, { after, limit: eventsPerPageMax, transferId })
    for (const event of events) {
      after = event.eventId
      yield { event: 'notification', id: event.eventId, data: event }
    }
    if (events.length === eventsPerPageMax) continue
    if (!isCurrent) {
      isCurrent = true
      yield { event: 'current', data: {} }
    }
    yield* passing.take()
    await waiter.wait(Number.POSITIVE_INFINITY, gone)
  }
}

/** Keeps the newest message about each delivery, and each part, until the stream has time for it: older ones are worth nothing. */
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
    // What gets lost is made up for by the next one.
    const onGap = (): void => {}
    this.#unsubscribe = [
      signals.subscribe(topics.progress(accountId), (payload) => keep('progress', payload), onGap),
      signals.subscribe(topics.arriving(accountId), (payload) => keep('arriving', payload), onGap),
    ]
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
