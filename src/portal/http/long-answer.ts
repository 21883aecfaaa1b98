/** An answer of many texts over a long time, with a heartbeat while there is no text. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { TimerWheel } from '../../async/index.ts'
import { heartbeatMs } from '../../protocol/index.ts'
import { answerHeaders } from './security-headers.ts'

/** A client that leaves this much unread is disconnected. It can connect again. */
const BACKLOG_BYTES_MAX = 4 * 1024 * 1024

/** Heartbeats are sent in groups, which wakes this process and the network less often than one at a time. */
const HEARTBEAT_GROUPS = 100
const heartbeats = new TimerWheel(heartbeatMs, HEARTBEAT_GROUPS)

export interface AnswerForm {
  readonly contentType: string
  /** The text of a heartbeat, which clients ignore. */
  readonly heartbeat: string
  /** Further header fields. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Answers with the texts that `textsOf` yields, until it ends or the client disconnects.
 *
 * @param textsOf gets a signal that aborts when the client has disconnected or `stop` aborts. It must end then
 */
export async function answerWithTexts(
  request: FastifyRequest,
  reply: FastifyReply,
  stop: AbortSignal,
  { contentType, heartbeat, headers }: AnswerForm,
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
    ...headers,
  })
  raw.flushHeaders()
  const beat = framed(heartbeat)
  const isFramed = request.raw.httpVersion === '1.1'
  let wasBehind = false
  using _ = heartbeats.add(() => {
    // The previous heartbeat has not been sent yet, so the client does not read.
    const isBehind = raw.writableLength > 0
    if (isBehind && wasBehind) raw.destroy()
    wasBehind = isBehind
    if (isFramed && raw.socket !== null) raw.socket.write(beat)
    else raw.write(heartbeat)
  })
  try {
    for await (const text of textsOf(gone.signal)) {
      if (raw.destroyed) break
      raw.write(text)
      if (raw.writableLength > BACKLOG_BYTES_MAX) raw.destroy()
    }
  } catch (error) {
    // The head has been sent, so the connection is closed. A proper end of the answer would mean that nothing more comes.
    request.log.error({ err: error }, 'a long answer broke')
    raw.destroy()
  } finally {
    stop.removeEventListener('abort', leave)
    raw.end()
  }
}

/**
 * A text in the framing of a body of unknown length (RFC 9112 section 7.1), in one write. Node would make four writes of it, and
 * with ten thousand waiting receivers heartbeats are most of the portal's work.
 */
function framed(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
}
