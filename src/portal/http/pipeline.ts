/**
 * Pipelined requests: a client sends several over one connection without waiting for answers (RFC 9112 section 9.3.2). Node by itself
 * handles all of them at once and keeps their answers in memory, even if the client never reads. Here the next request is handled once
 * the previous answer has left this process, so a client that does not read costs no more than one answer.
 *
 * As a consequence, each answer that has begun has its connection and notices when that closes.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

type Waiting = readonly [request: IncomingMessage, response: ServerResponse]

/** Memory for the waiting requests of one connection, heads and bodies. A longer body is not read while it waits. */
const WAITING_BYTES_MAX = 256 * 1024

/**
 * Handles the requests of each connection one after another.
 *
 * @param waitingMax how many requests may wait. A connection with more, or with more bytes than `WAITING_BYTES_MAX`, is closed.
 *   Clients repeat unanswered requests (RFC 9112)
 */
export function inTurn(listener: RequestListener, { waitingMax }: { readonly waitingMax: number }): RequestListener {
  /** Has an entry for each connection with an unfinished answer. */
  const waiting = new WeakMap<Socket, Waiting[]>()

  const hasRoom = (others: readonly Waiting[], request: IncomingMessage): boolean =>
    others.length < waitingMax &&
    others.reduce((bytes, [other]) => bytes + heldBytesMax(other), heldBytesMax(request)) <= WAITING_BYTES_MAX

  const begin = ([request, response]: Waiting): void => {
    const { socket } = request
    response.once('close', () => {
      const next = socket.destroyed ? undefined : waiting.get(socket)?.shift()
      if (next === undefined) waiting.delete(socket)
      else begin(next)
    })
    listener(request, response)
  }

  return (request, response) => {
    const { socket } = request
    if (socket.destroyed) return
    const others = waiting.get(socket)
    if (others === undefined) {
      waiting.set(socket, [])
      begin([request, response])
    } else if (hasRoom(others, request)) others.push([request, response])
    else socket.destroy()
  }
}

/** The most memory that Node uses for an unread request: its head, and the part of its body that a stream buffers before it pauses. */
function heldBytesMax({ headers, rawHeaders, url = '', readableHighWaterMark }: IncomingMessage): number {
  const headLength = rawHeaders.reduce((length, text) => length + text.length, url.length)
  const { 'transfer-encoding': coding, 'content-length': contentLength = '0' } = headers
  const bodyBytes = coding === undefined ? Number(contentLength) : Number.POSITIVE_INFINITY
  return headLength + Math.min(bodyBytes, readableHighWaterMark)
}
