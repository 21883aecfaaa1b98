/** `PUT /v1/transfers/{transferId}/parts/{partNumber}`: one part of a file, as a raw body. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { TransferId } from '../../../protocol/index.ts'
import { topics } from '../../signals/index.ts'
import { type App, accountOf, goneSignal, type Services } from '../app.ts'
import { dropRest } from '../problems.ts'

const Params = Type.Object({ transferId: TransferId, partNumber: Type.String({ pattern: '^[1-9][0-9]{0,5}$' }) })

/** How often a sender hears that its bytes arrive. */
const SIGN_OF_LIFE_MS = 2_000

export function partRoute(app: App, { context: { signals }, transfers, stop }: Services): void {
  app.put(
    '/v1/transfers/:transferId/parts/:partNumber',
    {
      config: { body: 'streamed' },
      schema: {
        summary: 'Send one part; Content-Length and Content-Digest are required. 204: held, verified, durable',
        tags: ['sender'],
        params: Params,
        headers: Type.Object({
          'content-length': Type.Optional(Type.String()),
          'content-digest': Type.Optional(Type.String({ description: 'RFC 9530, e.g. sha-256=:base64:' })),
        }),
        consumes: ['application/octet-stream'],
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const account = accountOf(request)
      const { transferId } = request.params
      const partNumber = Number(request.params.partNumber)
      // By the way of the body where that can carry it, else by the sender's event stream, wherever that is.
      const tell = knowsInterimAnswers(request)
        ? () => interimAnswer(reply)
        : () => signals.publish(topics.arriving(account.accountId), JSON.stringify({ transferId, partNumber }))
      await transfers.takePart(account, transferId, {
        partNumber,
        contentLength: request.headers['content-length'],
        contentDigest: request.headers['content-digest'],
        body: request.raw,
        signal: goneSignal(reply, stop),
        onBytes: nowAndThen(tell),
      })
      // A part that was held already has not been read.
      dropRest(request)
      return reply.code(204).send(null)
    },
  )
}

/**
 * Tells the sender now and then that its bytes arrive. What has left a sender may lie in buffers for minutes on a slow
 * link; only this end knows that it gets through.
 */
function nowAndThen(tell: () => void): () => void {
  let toldAtMs = performance.now()
  return () => {
    if (performance.now() - toldAtMs < SIGN_OF_LIFE_MS) return
    toldAtMs = performance.now()
    tell()
  }
}

/** 102, RFC 2518 section 10.1. */
function interimAnswer({ raw }: FastifyReply): void {
  if (!raw.headersSent) raw.writeProcessing()
}

/** Names that proxies add to a request, and browsers. */
const STANDS_BETWEEN = ['via', 'forwarded', 'x-forwarded-for', 'sec-fetch-site', 'sec-fetch-mode']

/**
 * Whether an interim answer gets to the sender as one. HTTP/1.0 has none (RFC 9110 section 15.2), and there are proxies,
 * nginx 1.22 for one, that take it for the head of the answer and the true answer for its content. A browser does not tell its
 * page of it.
 */
function knowsInterimAnswers({ headers, raw }: FastifyRequest): boolean {
  return raw.httpVersion === '1.1' && STANDS_BETWEEN.every((name) => headers[name] === undefined)
}
