/**
 * `Expect: 100-continue` (RFC 9110 section 10.1.1): a client that asks before it sends its body gets the answer `100` only once
 * the portal has checked the request, so that a refusal costs no upload. Node by itself would always answer `100`.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../protocol/index.ts'
import type { App } from './app.ts'
import { poolBody } from './pooled-reads.ts'

/** Requests whose clients wait for `100`. */
const waiting = new WeakSet<IncomingMessage>()

/** Holds `100` back until the headers have been checked, or, on a route that asks for its body itself, until it asks. */
export function holdContinue(app: App): void {
  app.server.on('checkContinue', (request, response) => {
    waiting.add(request)
    app.server.emit('request', request, response)
  })
  app.addHook('preParsing', async (request, reply) => {
    if (request.is404 && waiting.has(request.raw)) throw new Problem('not-found')
    if (request.routeOptions.config.body !== 'asked for') askForBody(request, reply)
  })
}

/** Answers `100` to a client that waits for it. */
export function askForBody({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (waiting.delete(raw)) reply.raw.writeContinue()
}

/** Asks for a body that is content, and reads it into reused memory. */
export function askForContent(request: FastifyRequest, reply: FastifyReply): void {
  askForBody(request, reply)
  poolBody(request.raw)
}
