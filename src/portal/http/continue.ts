/**
 * `Expect: 100-continue` (RFC 9110 section 10.1.1): a client that wants to know whether its body is welcome hears so only
 * once nothing stands against it, and a refusal costs no upload. Node by itself would say so to everybody.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../protocol/index.ts'
import type { App } from './app.ts'

/** Requests whose clients wait. */
const waiting = new WeakSet<IncomingMessage>()

/** Holds the word back until the headers have been judged; from a route that asks for its body itself, until it does. */
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

/** Tells a client that waits for it that the body may come. */
export function askForBody({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (waiting.delete(raw)) reply.raw.writeContinue()
}
