/** `GET /healthz` and `GET /readyz`. */
import { Type } from 'typebox'
import { Problem } from '../../../protocol/index.ts'
import type { PortalContext } from '../../context.ts'
import { plainReason } from '../../monitoring/log.ts'
import type { App, Services } from '../app.ts'
import { sendProblem } from '../problems.ts'

const tags = ['operations']

/** Whether the portal lives, and whether it can serve: for load balancers and supervisors. */
export function healthRoutes(app: App, { context, stop }: Services): void {
  const healthz = {
    operationId: 'getHealth',
    summary: 'Whether the process lives',
    tags,
    response: { 200: Type.Object({ status: Type.Literal('ok') }) },
  }
  app.get('/healthz', { schema: healthz }, async () => ({ status: 'ok' as const }))

  const readiness = new Readiness(context)
  // S3 is not asked: while it is away small files still get through, and another node would have the same problem.
  const readyz = {
    operationId: 'getReadiness',
    summary: 'Whether it can serve: its ledger answers, and its folder where it has one',
    tags,
    response: { 200: Type.Object({ status: Type.Literal('ready') }) },
  }
  app.get('/readyz', { schema: readyz }, async (request, reply) => {
    const isStopping = stop.aborted
    const problem = isStopping
      ? new Problem('unavailable', { detail: 'the portal is stopping' })
      : await readiness.problem()
    if (problem === null) return { status: 'ready' as const }
    sendProblem(request, reply, problem)
    return reply
  })
}

/** Whether the portal can serve. A load balancer asks every few seconds, so only changes are logged. */
class Readiness {
  readonly #context: PortalContext
  #isReady = true

  constructor(context: PortalContext) {
    this.#context = context
  }

  /** Why it cannot serve; null when it can. */
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
      if (wasReady) log.error({ reason: plainReason(cause) }, 'not ready to serve; /readyz answers 503 meanwhile')
      return new Problem('unavailable', {}, { cause })
    }
  }
}
