/** Server-sent events: one long answer of messages, with a heartbeat while there are none. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerWithTexts } from './long-answer.ts'

export interface SseMessage {
  readonly event: string
  readonly data: unknown
  /** Makes the message resumable with `Last-Event-ID`. */
  readonly id?: string
}

/**
 * Answers with the messages that `messagesOf` yields, until it ends, the client disconnects, or `stop` aborts.
 *
 * @param messagesOf gets a signal that aborts when the client has disconnected
 */
export function answerWithEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  stop: AbortSignal,
  messagesOf: (gone: AbortSignal) => AsyncIterable<SseMessage>,
): Promise<void> {
  const form = { contentType: 'text/event-stream', heartbeat: ':\n\n' }
  return answerWithTexts(request, reply, stop, form, async function* (gone) {
    for await (const { event, data, id } of messagesOf(gone)) {
      const idLine = id === undefined ? '' : `id: ${id}\n`
      yield `event: ${event}\n${idLine}data: ${JSON.stringify(data)}\n\n`
    }
  })
}
