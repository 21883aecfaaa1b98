/** Every error of the HTTP layer as `application/problem+json` (RFC 9457) with a code of the table. */
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../protocol/index.ts'
import { refusalLine, textMediaType, wantsText } from './lines.ts'

export const problemMediaType = 'application/problem+json'
/** What a client that is told "later" should wait at least. */
const RETRY_AFTER_SECONDS = 1
/** Room comes with the next delivery. The transfer is refused all the same; another one may be taken then. */
const ROOM_AFTER_SECONDS = 60
/** How long the rest of a body is read that nobody wants. */
const LINGER_MS = 10_000

/** The problem that stands for any error thrown while a request is handled. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { code = '', statusCode, message } = error as Partial<FastifyError>
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new Problem('body-too-large', {}, { cause: error })
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new Problem('media-type-unsupported', {}, { cause: error })
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new Problem('request-invalid', { detail: message }, { cause: error })
  }
  return new Problem('internal', {}, { cause: error })
}

/** Answers with a problem. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: Problem): void {
  dropRest(request)
  if (problem.code === 'credentials-invalid') reply.header('www-authenticate', 'Bearer')
  const seconds = retryAfterSecondsOf(problem)
  if (seconds !== null) reply.header('retry-after', String(seconds))
  reply.code(problem.status)
  if (wantsText(request)) reply.type(textMediaType).send(refusalLine(problem))
  else reply.type(problemMediaType).send(problem.toJSON())
}

/** When it may be worth asking again (RFC 9110 section 10.2.3); null where it never is. */
function retryAfterSecondsOf({ next, status, details }: Problem): number | null {
  if (typeof details.retryAfterSeconds === 'number') return details.retryAfterSeconds
  if (next === 'retry') return RETRY_AFTER_SECONDS
  return status === 507 ? ROOM_AFTER_SECONDS : null
}

/**
 * Reads and drops what is left of a request's body, for a while. A connection that is closed while its client still
 * writes takes the answer with it, and the client would never learn why.
 */
export function dropRest({ raw }: FastifyRequest): void {
  if (raw.complete || raw.destroyed) return
  raw.resume()
  const cut = setTimeout(() => raw.destroy(), LINGER_MS)
  raw.once('close', () => clearTimeout(cut))
}

/** Answers what could not even be parsed as HTTP, and closes the connection. */
export function answerUnparsable(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem = unparsableProblem(error)
  const body = JSON.stringify(problem)
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.code}`,
    `content-type: ${problemMediaType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.destroySoon()
}

function unparsableProblem({ code }: { code?: string }): Problem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers-too-large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('request-timeout')
    default:
      return new Problem('request-invalid', { detail: 'this is not HTTP/1.1' })
  }
}
