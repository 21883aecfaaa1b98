/** The portal's HTTP interface, put together: limits and time-outs for everybody, tokens for those who need one. */
import { createServer } from 'node:http'
import fastifySwagger from '@fastify/swagger'
import Fastify, { type FastifyRequest, LogController } from 'fastify'
import { jsonBodyBytesMax, nameLengthMax, Problem } from '../../protocol/index.ts'
import { authenticate, tokenIdOf } from '../accounts.ts'
import { reasonOf } from '../audit.ts'
import { type App, type Services, whoAsks } from './app.ts'
import { holdContinue } from './continue.ts'
import { ConnectionLimits, RequestLimits } from './limits.ts'
import { readPage } from './page-files.ts'
import { answerUnparsable, sendProblem, toProblem } from './problems.ts'
import { deliveryRoutes } from './routes/deliveries.ts'
import { eventRoutes } from './routes/events.ts'
import { inboxRoutes } from './routes/inbox.ts'
import { joinRoute } from './routes/join.ts'
import { keyRoutes } from './routes/keys.ts'
import { oneRequestRoute } from './routes/one-request.ts'
import { operationRoutes } from './routes/operations.ts'
import { overviewRoute } from './routes/overview.ts'
import { pageRoutes } from './routes/page.ts'
import { partRoute } from './routes/parts.ts'
import { transferRoutes } from './routes/transfers.ts'
import { wholeRoute } from './routes/wholes.ts'
import { answerHeaders } from './security-headers.ts'
import { type TlsContext, TlsServer } from './tls.ts'
import { compileValidator } from './validation.ts'

const HEADERS_MS = 10_000
const BODY_MS = 10_000
/** A small file may come by a slow link. */
const WHOLE_BODY_MS = 60_000
const KEEP_ALIVE_MS = 65_000
const HEADER_BYTES_MAX = 16 * 1024
const HEADERS_COUNT_MAX = 64
/** The longest name of a file there is, each of its characters percent-encoded. */
const PATH_PARAMETER_LENGTH_MAX = 9 * nameLengthMax
/** A connection without a byte for so many times the idle time is cut, whatever it was waiting for. */
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
    // The body of a part may take long as long as it moves; `takePart` sees to that. Other bodies: see below.
    requestTimeout: 0,
  }
  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: jsonBodyBytesMax,
    // Fastify would make a second server for the other address of `localhost`, to which none of the limits applied.
    serverFactory: (listener) =>
      tls === null ? createServer(connections, listener) : new TlsServer({ ...connections, ...tls }, listener),
    trustProxy: [...options.trustedProxies],
    forceCloseConnections: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: PATH_PARAMETER_LENGTH_MAX },
    clientErrorHandler: answerUnparsable,
    frameworkErrors: (error, request, reply) => {
      sendProblem(request as FastifyRequest, reply, toProblem(error))
    },
  }) as unknown as App
  app.server.setTimeout(Math.max(SOCKET_IDLE_MS_MIN, options.idleMs * SOCKET_IDLE_FACTOR))
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
  // Fastify would take text in any place where JSON is wanted, and call it JSON of the wrong form.
  app.removeContentTypeParser('text/plain')
  app.decorateRequest('account', null)
  answerInPlaceOfNode(app)
  keepFromBrowsers(app)
  holdContinue(app)
  app.addHook('onRequest', async (request) => connectionLimits.requireRoom(request.raw.socket))
  app.addHook('onResponse', async ({ method, routeOptions }) => {
    // What has no route is counted as one, whatever it is called: the names in the figures have to have an end.
    if (routeOptions.url === undefined) services.context.metrics.requests.inc({ method: 'any', route: 'none' })
    else services.context.metrics.requests.inc({ method, route: routeOptions.url })
  })
  handleErrors(app, services, limits)
  boundBodies(app)
  const servers = options.publicUrl === null ? [] : [{ url: options.publicUrl }]
  await app.register(fastifySwagger, { openapi: { ...openapiHead, servers } })

  operationRoutes(app, services)
  if (options.servesPage) pageRoutes(app, await readPage())
  joinRoute(app, services)
  await app.register(async (child) => {
    const accounts = child as unknown as App
    accounts.addHook('onRequest', async (request, reply) => {
      const { authorization } = request.headers
      services.openRequests.add(tokenIdOf(authorization), reply.raw)
      const account = await authenticate(services.context.ledger, authorization)
      limits.admit(account.accountId, reply.raw)
      request.account = account
    })
    keyRoutes(accounts, services)
    transferRoutes(accounts, services)
    eventRoutes(accounts, services)
    inboxRoutes(accounts, services)
    deliveryRoutes(accounts, services)
    overviewRoute(accounts, services)
    await accounts.register(async (whole) => {
      whole.removeAllContentTypeParsers()
      whole.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
      wholeRoute(whole as unknown as App, services)
    })
    await accounts.register(async (raw) => {
      // The body of a part, or of a file, is a raw stream, whatever it calls itself.
      raw.removeAllContentTypeParsers()
      raw.addContentTypeParser('*', (_request, _payload, done) => done(null))
      partRoute(raw as unknown as App, services)
      oneRequestRoute(raw as unknown as App, services)
    })
  })
  await app.ready()
  return app
}

/** What Node would refuse by itself, without a word of why. */
function answerInPlaceOfNode(app: App): void {
  // RFC 9112 section 3.2: a request of HTTP/1.1 without a Host is a bad one.
  app.addHook('onRequest', async ({ headers, raw }) => {
    if (headers.host === undefined && raw.httpVersion === '1.1') {
      throw new Problem('request-invalid', { detail: 'the request has no Host' })
    }
  })
  // RFC 9110 section 10.1.1: an expectation that is not known may be passed over.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
}

/**
 * What comes from here is for programs and for the portal's own page. Nothing of it is a document, and no page of another site
 * asks for it: such a page could bring no token of its visitor's, but there is no reason to find out what it could.
 */
function keepFromBrowsers(app: App): void {
  app.addHook('onRequest', async ({ headers, routeOptions }, reply) => {
    reply.headers(answerHeaders)
    // Browsers say it, and no page can change what they say: https://www.w3.org/TR/fetch-metadata/
    const site = headers['sec-fetch-site']
    // By the route, as an address can be written in more than one way.
    if (routeOptions.url?.startsWith('/v1/') === true && (site === 'cross-site' || site === 'same-site'))
      throw new Problem('cross-site-request')
  })
}

/** Of the files that this process may open, a quarter stays for what goes over its connections; most are idle. */
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
    context.metrics.problems.inc({ code: problem.code })
    const reason = reasonOf(problem)
    if (reason !== null) context.audit.refused(reason.event, { ...whoAsks(request), ...reason.details })
    if (problem.status >= 500) {
      request.log.error({ err: error, method: request.method, route: request.routeOptions.url }, problem.message)
    }
    sendProblem(request, reply, problem)
  })
  app.setNotFoundHandler((request, reply) => sendProblem(request, reply, new Problem('not-found')))
}

/** Whoever fails too often is told only that, whatever was wrong. */
function boundFailure(limits: RequestLimits, address: string, problem: Problem): Problem {
  if (problem.code !== 'credentials-invalid' && problem.code !== 'invite-invalid') return problem
  try {
    limits.failed(address)
    return problem
  } catch (error) {
    return toProblem(error)
  }
}

/** A small body has to arrive within a fixed time; that of a part only has to keep moving. */
function boundBodies(app: App): void {
  const timers = new WeakMap<FastifyRequest, ReturnType<typeof setTimeout>>()
  const settle = (request: FastifyRequest): void => clearTimeout(timers.get(request))
  app.addHook('preParsing', async (request, reply) => {
    const { url = '', config } = request.routeOptions
    if (config.body !== undefined) return
    const late = (): void => sendProblem(request, reply, new Problem('request-timeout'))
    timers.set(request, setTimeout(late, url.endsWith('/whole') ? WHOLE_BODY_MS : BODY_MS))
  })
  app.addHook('preValidation', async (request) => settle(request))
  app.addHook('onError', async (request) => settle(request))
  app.addHook('onRequestAbort', async (request) => settle(request))
  app.addHook('onResponse', async (request) => settle(request))
}

const openapiHead = {
  openapi: '3.1.0',
  info: {
    title: 'GoLooader portal',
    description: 'File delivery with receipts. PROTOCOL.md says what the requests mean together.',
    version: '1',
  },
  components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
  security: [{ token: [] }],
}
