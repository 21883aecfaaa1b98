/** Builds the portal's HTTP server: limits and time-outs for all requests, authentication where a route needs it, and the routes. */
import Fastify, { type FastifyRequest, LogController } from 'fastify'
import { jsonBodyBytesMax, nameLengthMax, Problem, type ProblemCode, timerMs } from '../../protocol/index.ts'
import { authenticate, tokenIdOf } from '../accounts/accounts.ts'
import type { App, Services } from './app.ts'
import { holdContinue } from './continue.ts'
import { requireGuestMay } from './guest-access.ts'
import { ConnectionLimits, RequestLimits } from './limits.ts'
import { ApiDescription } from './openapi/document.ts'
import { readPage } from './page-files.ts'
import { inTurn } from './pipeline.ts'
import { PooledServer } from './pooled-reads.ts'
import { answerUnparsable, sendProblem, toProblem } from './problems.ts'
import { recordRefusal } from './refusals.ts'
import { keyRoutes } from './routes/accounts.ts'
import { deliveryRoutes } from './routes/deliveries.ts'
import { eventRoutes } from './routes/events.ts'
import { guestRoutes, visitorRoutes } from './routes/guests.ts'
import { healthRoutes } from './routes/health.ts'
import { inboxRoutes } from './routes/inbox.ts'
import { dispositionsRoute } from './routes/inbox-dispositions.ts'
import { joinRoute } from './routes/join.ts'
import { limitsRoute } from './routes/limits.ts'
import { metricsRoute } from './routes/metrics.ts'
import { openapiRoute } from './routes/openapi.ts'
import { operationsRoute } from './routes/operations.ts'
import { pageRoutes } from './routes/page.ts'
import { oneRequestRoute } from './routes/to.ts'
import { transferRoutes } from './routes/transfers.ts'
import { batchRoute } from './routes/transfers-batch.ts'
import { partRoute } from './routes/transfers-parts.ts'
import { inlineUploadRoute } from './routes/transfers-whole.ts'
import { tusOptionsRoute, tusRoutes } from './routes/tus.ts'
import { uploadRoutes } from './routes/uploads.ts'
import { webhookRoutes } from './routes/webhooks.ts'
import { answerHeaders } from './security-headers.ts'
import { StrangerLimits } from './stranger-limits.ts'
import { type TlsContext, TlsServer } from './tls.ts'
import { withTusMethods } from './tus.ts'
import { compileValidator } from './validation.ts'

const HEADERS_MS = 10_000
const BODY_MS = 10_000
/** Time for the body of a small file, which may come over a slow link. */
const WHOLE_BODY_MS = 60_000
const KEEP_ALIVE_MS = 65_000
const HEADER_BYTES_MAX = 16 * 1024
const HEADERS_COUNT_MAX = 64
/** The longest file name with each of its characters percent-encoded. */
const PATH_PARAMETER_LENGTH_MAX = 9 * nameLengthMax
/** A connection without a byte for this many times the idle time is closed in any case. */
const SOCKET_IDLE_FACTOR = 3
const SOCKET_IDLE_MS_MIN = 60_000

/** Builds the server; it does not listen yet. @param tls null for plain HTTP */
export async function buildServer(services: Services, tls: TlsContext | null): Promise<App> {
  const { options, log } = services.context
  const connections = {
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: HEADERS_MS,
    handshakeTimeout: HEADERS_MS,
    connectionsCheckingInterval: 2_000,
    requireHostHeader: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // The body of a part may take long as long as bytes arrive, which `receivePart` checks. For other bodies see `boundBodies`.
    requestTimeout: 0,
  }
  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: jsonBodyBytesMax,
    // Otherwise Fastify would make a second server for the other address of `localhost`, without any of the limits.
    serverFactory: (listener) => {
      const answer = inTurn(withTusMethods(listener), { waitingMax: options.pipelinedRequestsMax })
      return tls === null ? new PooledServer(connections, answer) : new TlsServer({ ...connections, ...tls }, answer)
    },
    trustProxy: [...options.trustedProxies],
    forceCloseConnections: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: PATH_PARAMETER_LENGTH_MAX },
    clientErrorHandler: answerUnparsable,
    frameworkErrors: (error, request, reply) => {
      sendProblem(request as FastifyRequest, reply, toProblem(error))
    },
  }) as unknown as App
  app.server.setTimeout(timerMs(Math.max(SOCKET_IDLE_MS_MIN, options.idleMs * SOCKET_IDLE_FACTOR)))
  const connectionLimits = new ConnectionLimits(
    options,
    Math.min(options.connectionsMax, connectionsForDescriptors()),
    services.context.metrics.connections,
  )
  connectionLimits.watch(app.server)
  const limits = new RequestLimits(options)
  app.server.maxHeadersCount = HEADERS_COUNT_MAX
  app.setValidatorCompiler(compileValidator)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  // Otherwise Fastify would accept text where JSON is required and report it as JSON of the wrong form.
  app.removeContentTypeParser('text/plain')
  app.decorateRequest('account', null)
  app.decorateRequest('countItems', () => {})
  answerInPlaceOfNode(app)
  keepFromBrowsers(app)
  holdContinue(app)
  app.addHook('onRequest', async (request) => connectionLimits.requireRoom(request.raw.socket))
  app.addHook('onResponse', async ({ method, routeOptions }) => {
    // All unknown paths count under one name, because the number of names in the metrics must be bounded.
    if (routeOptions.url === undefined) services.context.metrics.requests.inc({ method: 'any', route: 'none' })
    else services.context.metrics.requests.inc({ method, route: routeOptions.url })
  })
  handleErrors(app, services, limits)
  boundBodies(app)
  const description = new ApiDescription(options.publicUrl)
  app.addHook('onRoute', (route) => description.add(route))

  const page = options.servesPage ? await readPage() : null
  await app.register(async (open) => {
    const strangers = open as unknown as App
    const strangerLimits = new StrangerLimits(options)
    strangers.addHook('onRequest', async ({ ip, routeOptions }, { raw }) =>
      strangerLimits.admit(ip, routeOptions.url, raw),
    )
    healthRoutes(strangers, services)
    if (options.operationsListen === null) metricsRoute(strangers, services)
    limitsRoute(strangers, services)
    openapiRoute(strangers, description)
    if (options.servesPage) pageRoutes(strangers, page)
    tusOptionsRoute(strangers, services)
    joinRoute(strangers, services)
    visitorRoutes(strangers, services)
  })
  await app.register(async (child) => {
    const accounts = child as unknown as App
    accounts.addHook('onRoute', (route) => description.needsToken(route))
    accounts.addHook('onRequest', async (request, reply) => {
      const { authorization } = request.headers
      services.openRequests.add(tokenIdOf(authorization), reply.raw)
      const account = await authenticate(services.context.ledger, authorization)
      limits.admit(account.accountId, reply.raw)
      request.account = account
      requireGuestMay(account, request)
      request.countItems = (count) => limits.count(account.accountId, count)
    })
    keyRoutes(accounts, services)
    transferRoutes(accounts, services)
    eventRoutes(accounts, services)
    inboxRoutes(accounts, services)
    dispositionsRoute(accounts, services)
    deliveryRoutes(accounts, services)
    operationsRoute(accounts, services)
    guestRoutes(accounts, services)
    webhookRoutes(accounts, services)
    await accounts.register(async (whole) => {
      whole.removeAllContentTypeParsers()
      whole.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
      inlineUploadRoute(whole as unknown as App, services)
      batchRoute(whole as unknown as App, services)
    })
    await accounts.register(async (raw) => {
      // The body of a part or a file is a raw stream, whatever its media type.
      raw.removeAllContentTypeParsers()
      raw.addContentTypeParser('*', (_request, _payload, done) => done(null))
      partRoute(raw as unknown as App, services)
      oneRequestRoute(raw as unknown as App, services)
      uploadRoutes(raw as unknown as App, services)
      await raw.register(async (tus) => tusRoutes(tus as unknown as App, services))
    })
  })
  await app.ready()
  return app
}

/** Answers requests with a reason that Node would refuse without one. */
function answerInPlaceOfNode(app: App): void {
  // RFC 9112 section 3.2: a request of HTTP/1.1 must have a Host.
  app.addHook('onRequest', async ({ headers, raw }) => {
    if (headers.host === undefined && raw.httpVersion === '1.1') {
      throw new Problem('request-invalid', { detail: 'the request has no Host' })
    }
  })
  // RFC 9110 section 10.1.1: an unknown expectation may be ignored.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
}

/**
 * The API is for programs and for the portal's own page. Answers are not documents, and requests of pages of other sites are refused:
 * such a page has no token of its visitor, but it has no reason to make requests either.
 */
function keepFromBrowsers(app: App): void {
  app.addHook('onRequest', async ({ headers, routeOptions }, reply) => {
    reply.headers(answerHeaders)
    // Browsers set this header, and pages cannot change it: https://www.w3.org/TR/fetch-metadata/
    const site = headers['sec-fetch-site']
    // Compares the route, because a URL can be written in more than one way.
    if (routeOptions.url?.startsWith('/v1/') === true && (site === 'cross-site' || site === 'same-site'))
      throw new Problem('cross-site-request')
  })
}

/** The share of this process's descriptors that is kept for files. Most connections are idle and need no file. */
const OTHER_FILES_SHARE = 0.25
const OTHER_FILES_MIN = 256

function connectionsForDescriptors(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } }
  const openFilesMax = Number(report.userLimits?.open_files?.soft)
  if (!Number.isFinite(openFilesMax)) return Number.POSITIVE_INFINITY
  const otherFiles = Math.max(OTHER_FILES_MIN, openFilesMax * OTHER_FILES_SHARE)
  return Math.max(1, Math.floor(openFilesMax - Math.min(otherFiles, openFilesMax / 2)))
}

function handleErrors(app: App, { context }: Services, limits: RequestLimits): void {
  app.setErrorHandler((error, request, reply) => {
    const problem = boundFailure(limits, request.ip, toProblem(error))
    recordRefusal(context, request, problem, error)
    sendProblem(request, reply, problem)
  })
  app.setNotFoundHandler((request, reply) => sendProblem(request, reply, new Problem('not-found')))
}

const FAILURES: ReadonlySet<ProblemCode> = new Set([
  'credentials-invalid',
  'credentials-missing',
  'invite-invalid',
  'link-invalid',
])

/** A client that fails too often gets only `rate-limited`, whatever was wrong. */
function boundFailure(limits: RequestLimits, address: string, problem: Problem): Problem {
  if (!FAILURES.has(problem.code)) return problem
  try {
    limits.failed(address)
    return problem
  } catch (error) {
    return toProblem(error)
  }
}

/** A small body has to arrive within a fixed time. For a large one it is enough that bytes keep arriving. */
function boundBodies(app: App): void {
  const timers = new WeakMap<FastifyRequest, ReturnType<typeof setTimeout>>()
  const settle = (request: FastifyRequest): void => clearTimeout(timers.get(request))
  app.addHook('preParsing', async (request, reply) => {
    const { url = '', config } = request.routeOptions
    if (config.body !== undefined) return
    const late = (): void => sendProblem(request, reply, new Problem('request-timeout'))
    timers.set(request, setTimeout(late, /\/(?:whole|batch)$/.test(url) ? WHOLE_BODY_MS : BODY_MS))
  })
  app.addHook('preValidation', async (request) => settle(request))
  app.addHook('onError', async (request) => settle(request))
  app.addHook('onRequestAbort', async (request) => settle(request))
  app.addHook('onResponse', async (request) => settle(request))
}
