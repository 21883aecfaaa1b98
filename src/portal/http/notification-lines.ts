/** The answer to a request that completes a file: its notifications, a line each, as they come. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AccountName, eventsPerPageMax, Notification, TransferId } from '../../protocol/index.ts'
import type { Transfer } from '../ledger/contract.ts'
import { topics, Waiter } from '../signals/index.ts'
import { preferredWaitMs, type Services } from './app.ts'
import { jsonLine, jsonLinesTypeOf, laterJson, laterLine, notificationLine, textMediaType } from './lines.ts'
import { answerWithTexts } from './long-answer.ts'
import { jsonLines } from './openapi/operation.ts'

/** The last line of a JSON answer that ends before all receivers have answered. */
const Later = Type.Object({ transferId: TransferId, waitingFor: Type.Array(AccountName), events: Type.String() })
const line = { oneOf: [Notification, Later] }

/** The description of the answer for `/openapi.json`. */
export const notificationLines = {
  description: 'Notifications as they come, the first one `stored`: lines of text, or of JSON if that is accepted',
  content: {
    'text/plain': Type.String(),
    ...jsonLines('application/jsonl', line),
    ...jsonLines('application/x-ndjson', line),
  },
}

/**
 * Answers with the notifications of a stored transfer, from the first one to those of all receivers, or until the client's waiting time
 * ends.
 *
 * @param headers further header fields
 */
export async function answerWithNotifications(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  transfer: Transfer,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  // The body of a repetition may not have been read to its end.
  if (!request.raw.complete) request.raw.resume()
  const contentType = jsonLinesTypeOf(request) ?? textMediaType
  const form = { contentType, heartbeat: '\n', headers }
  await answerWithTexts(request, reply, services.stop, form, (gone) =>
    notificationTexts(services, request, transfer, gone),
  )
}

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
