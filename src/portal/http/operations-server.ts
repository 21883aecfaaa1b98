/**
 * The separate address for operations, which serves only metrics and health. It belongs to the operator's own network, so that no proxy
 * has to hide the metrics from the public.
 */
import { createServer } from 'node:http'
import Fastify, { LogController } from 'fastify'
import { Problem } from '../../protocol/index.ts'
import type { App, Services } from './app.ts'
import { inTurn } from './pipeline.ts'
import { answerUnparsable, sendProblem, toProblem } from './problems.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'
import { answerHeaders } from './security-headers.ts'

const HEADERS_MS = 10_000
const REQUEST_MS = 30_000
const KEEP_ALIVE_MS = 65_000
/** Enough for Prometheus, a few load balancers and a person. */
const CONNECTIONS_MAX = 64
/** No request here has a body. */
const BODY_BYTES_MAX = 1024

/** Builds the server; it does not listen yet. */
export async function buildOperationsServer(services: Services): Promise<App> {
  const { log, options } = services.context
  const timeouts = { headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: KEEP_ALIVE_MS }
  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_BYTES_MAX,
    serverFactory: (listener) => createServer(timeouts, inTurn(listener, { waitingMax: options.pipelinedRequestsMax })),
    forceCloseConnections: true,
    return503OnClosing: false,
    clientErrorHandler: answerUnparsable,
  }) as unknown as App
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  app.server.maxConnections = CONNECTIONS_MAX
  app.server.setTimeout(KEEP_ALIVE_MS)
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(answerHeaders)
  })
  app.setErrorHandler((error, request, reply) => sendProblem(request, reply, toProblem(error)))
  app.setNotFoundHandler((request, reply) => sendProblem(request, reply, new Problem('not-found')))
  healthRoutes(app, services)
  metricsRoute(app, services)
  await app.ready()
  return app
}
