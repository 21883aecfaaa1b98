/** `/healthz`, `/readyz`, `/metrics`, `/v1/limits`, `/openapi.json`: for operators and for clients that look first. */
import { Type } from 'typebox'
import {
  heartbeatMs,
  Limits,
  Problem,
  partSizeBytesMax,
  partSizeBytesMin,
  partsPerTransferMax,
  receiversPerTransferMax,
} from '../../../protocol/index.ts'
import type { PortalContext } from '../../context.ts'
import { plainReason } from '../../log.ts'
import { offeredDigestAlgorithms } from '../../options.ts'
import type { App, Services } from '../app.ts'
import { sendProblem } from '../problems.ts'

export function operationRoutes(app: App, { context, stop }: Services): void {
  const { options, metrics } = context

  app.get('/healthz', { schema: { summary: 'Whether the process lives', tags: ['operations'] } }, async () => ({
    status: 'ok',
  }))

  const readiness = new Readiness(context)
  // A store elsewhere is not asked: while it is away small files still go, and no other node would do better.
  const summary = 'Whether it can serve: its ledger answers, and its folder where it has one'
  app.get('/readyz', { schema: { summary, tags: ['operations'] } }, async (request, reply) => {
    const isStopping = stop.aborted
    const problem = isStopping
      ? new Problem('unavailable', { detail: 'the portal is stopping' })
      : await readiness.problem()
    if (problem === null) return { status: 'ready' }
    sendProblem(request, reply, problem)
    return reply
  })

  app.get(
    '/metrics',
    { schema: { summary: 'Figures for Prometheus', tags: ['operations'], produces: ['text/plain'] } },
    async (_request, reply) => {
      const text = await metrics.registry.metrics()
      reply.type(metrics.registry.contentType)
      return reply.send(Buffer.from(text))
    },
  )

  app.get(
    '/v1/limits',
    { schema: { summary: 'What this portal takes', tags: ['operations'], response: { 200: Limits } } },
    async (): Promise<Limits> => ({
      digestAlgorithms: [...offeredDigestAlgorithms(options)],
      partSizeBytesMin,
      partSizeBytesMax,
      partsPerTransferMax,
      transferSizeBytesMax: options.transferSizeBytesMax,
      wholeSizeBytesMax: options.wholeSizeBytesMax,
      receiversPerTransferMax,
      attemptsMax: options.attemptsMax,
      uploadTimeoutMs: options.uploadTimeoutMs,
      leaseMs: options.leaseMs,
      expiryMs: options.expiryMs,
      heartbeatMs,
      sealedOnly: options.sealedOnly,
    }),
  )

  app.get(
    '/openapi.json',
    { schema: { summary: 'This description', tags: ['operations'], response: { 200: Type.Object({}) } } },
    async () => app.swagger(),
  )
}

/** Whether the portal can serve. A load balancer asks every few seconds, so that only a change is logged. */
class Readiness {
  readonly #context: PortalContext
  #isReady = true

  constructor(context: PortalContext) {
    this.#context = context
  }

  /** What keeps it from serving; null for nothing. */
  async problem(): Promise<Problem | null> {
    const { ledger, store, log } = this.#context
    const wasReady = this.#isReady
    try {
      await ledger.totals()
      await store.freeBytes()
      this.#isReady = true
      if (!wasReady) log.warn('ready to serve again')
      return null
    } catch (cause) {
      this.#isReady = false
      if (wasReady) log.error({ reason: plainReason(cause) }, 'not ready to serve: /readyz says 503 until that is over')
      return new Problem('unavailable', {}, { cause })
    }
  }
}
