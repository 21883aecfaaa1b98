/** Server-sent events: one long answer of messages, with a heartbeat while there are none. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { heartbeatMs } from '../../protocol/index.ts'

export interface SseMessage {
  readonly event: string
  readonly data: unknown
  /** Makes the message resumable with `Last-Event-ID`. */
  readonly id?: string
}

/** A reader that lets so much pile up does not read: it is cut off and comes back when it can. */
const BACKLOG_BYTES_MAX = 4 * 1024 * 1024

/**
 * Answers with the messages that `messagesOf` yields, until it ends, the client goes, or `stop` aborts.
 *
 * @param messagesOf gets a signal that aborts when nobody listens any more
 */
export async function answerWithEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  stop: AbortSignal,
  messagesOf: (gone: AbortSignal) => AsyncIterable<SseMessage>,
): Promise<void> {
  const { raw } = reply
  const gone = new AbortController()
  const leave = (): void => gone.abort()
  raw.once('close', leave)
  stop.addEventListener('abort', leave, { once: true })
  if (stop.aborted) leave()
  reply.hijack()
  raw.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    // Asks a proxy in front not to hold messages back.
    'x-accel-buffering': 'no',
  })
  raw.flushHeaders()
  let wasBehind = false
  const heartbeat = setInterval(() => {
    // What was written a heartbeat ago and has not gone yet: nobody reads.
    const isBehind = raw.writableLength > 0
    if (isBehind && wasBehind) raw.destroy()
    wasBehind = isBehind
    raw.write(':\n\n')
  }, heartbeatMs)
  try {
    for await (const { event, data, id } of messagesOf(gone.signal)) {
      if (gone.signal.aborted) break
      const idLine = id === undefined ? '' : `id: ${id}\n`
      raw.write(`event: ${event}\n${idLine}data: ${JSON.stringify(data)}\n\n`)
      if (raw.writableLength > BACKLOG_BYTES_MAX) raw.destroy()
    }
  } catch (error) {
    // The head is out: all that is left is to end the stream. The client comes back and asks again.
    request.log.error({ err: error }, 'an event stream broke')
  } finally {
    clearInterval(heartbeat)
    stop.removeEventListener('abort', leave)
    raw.end()
  }
}
