/** Every error of the HTTP layer as `application/problem+json` (RFC 9457) with a code of the table. */
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Problem, problemMediaType } from '../../protocol/index.ts'
import { refusalLine, textMediaType, wantsText } from './lines.ts'

/** The `Retry-After` of refusals that may pass. */
const RETRY_AFTER_SECONDS = 1
/** The `Retry-After` of a full storage: deliveries make room. The refused transfer has ended, but a new one may fit by then. */
const ROOM_AFTER_SECONDS = 60
/** How long the portal reads the rest of a refused body. */
const LINGER_MS = 10_000

/** The problem for any error thrown while a request is handled. */
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
  // RFC 6750 section 3: the error is named only to a client that sent a token.
  if (problem.code === 'credentials-missing') reply.header('www-authenticate', 'Bearer')
  if (problem.code === 'credentials-invalid') reply.header('www-authenticate', 'Bearer error="invalid_token"')
  // RFC 9110 section 15.5.17: the answer contains the length of the requested content.
  if (problem.code === 'range-unsatisfiable') reply.header('content-range', `bytes */${problem.details.sizeBytes}`)
  const seconds = retryAfterSecondsOf(problem)
  if (seconds !== null) reply.header('retry-after', String(seconds))
  reply.code(problem.status)
  if (wantsText(request, problem)) reply.type(textMediaType).send(refusalLine(problem))
  else reply.type(problemMediaType).send(problem.toJSON())
}

/** When a client may try again (RFC 9110 section 10.2.3); null when a retry cannot succeed. */
function retryAfterSecondsOf({ next, status, details }: Problem): number | null {
  if (typeof details.retryAfterSeconds === 'number') return details.retryAfterSeconds
  if (next === 'retry') return RETRY_AFTER_SECONDS
  // A transfer above a limit never fits, so it gets no `Retry-After`.
  return status === 507 && details.limitBytes === undefined ? ROOM_AFTER_SECONDS : null
}

/**
 * Reads and discards the rest of a request's body for a while. If the connection were closed while the client still writes, the answer
 * would be lost, and the client would not learn the reason.
 */
export function dropRest({ raw }: FastifyRequest): void {
  if (raw.complete || raw.destroyed) return
  raw.resume()
  const cut = setTimeout(() => raw.destroy(), LINGER_MS)
  raw.once('close', () => clearTimeout(cut))
}

/** Answers a request that cannot be parsed as HTTP, and closes the connection. */
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
