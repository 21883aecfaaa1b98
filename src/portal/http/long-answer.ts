/** An answer that goes on for as long as there is something to tell, with a sign of life while there is nothing. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { heartbeatMs } from '../../protocol/index.ts'
import { answerHeaders } from './security-headers.ts'

/** A reader that lets so much pile up does not read: it is cut off and comes back when it can. */
const BACKLOG_BYTES_MAX = 4 * 1024 * 1024

export interface AnswerForm {
  readonly contentType: string
  /** What means nothing. */
  readonly heartbeat: string
}

/**
 * Answers with the texts that `textsOf` yields, until it ends or the client goes.
 *
 * @param textsOf gets a signal that aborts when nobody listens any more, or `stop` does: it is to end then
 */
export async function answerWithTexts(
  request: FastifyRequest,
  reply: FastifyReply,
  stop: AbortSignal,
  { contentType, heartbeat }: AnswerForm,
  textsOf: (gone: AbortSignal) => AsyncIterable<string>,
): Promise<void> {
  const { raw } = reply
  const gone = new AbortController()
  const leave = (): void => gone.abort()
  raw.once('close', leave)
  stop.addEventListener('abort', leave, { once: true })
  if (stop.aborted || raw.destroyed) leave()
  reply.hijack()
  raw.writeHead(200, {
    ...answerHeaders,
    'content-type': contentType,
    'cache-control': 'no-store',
    // Asks a proxy in front not to hold messages back.
    'x-accel-buffering': 'no',
  })
  raw.flushHeaders()
  const beat = framed(heartbeat)
  const isFramed = request.raw.httpVersion === '1.1'
  let wasBehind = false
  const beating = setInterval(() => {
    // What was written a heartbeat ago and has not gone yet: nobody reads.
    const isBehind = raw.writableLength > 0
    if (isBehind && wasBehind) raw.destroy()
    wasBehind = isBehind
    if (isFramed && raw.socket !== null) raw.socket.write(beat)
    else raw.write(heartbeat)
  }, heartbeatMs)
  try {
    for await (const text of textsOf(gone.signal)) {
      if (raw.destroyed) break
      raw.write(text)
      if (raw.writableLength > BACKLOG_BYTES_MAX) raw.destroy()
    }
  } catch (error) {
    // The head is out: all that is left is to end the answer. The client comes back and asks again.
    request.log.error({ err: error }, 'a long answer broke')
  } finally {
    clearInterval(beating)
    stop.removeEventListener('abort', leave)
    raw.end()
  }
}

/**
 * A text as it stands in a body whose length is not said (RFC 9112 section 7.1). Node makes four writes of one, and with ten
 * thousand receivers that wait heartbeats are most of what a portal does.
 */
function framed(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
}
