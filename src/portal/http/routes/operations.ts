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
import { offeredDigestAlgorithms } from '../../options.ts'
import type { App, Services } from '../app.ts'

export function operationRoutes(app: App, { context, stop }: Services): void {
  const { options, ledger, store, metrics } = context

  app.get('/healthz', { schema: { summary: 'Whether the process lives', tags: ['operations'] } }, async () => ({
    status: 'ok',
  }))

  app.get('/readyz', { schema: { summary: 'Whether ledger and store answer', tags: ['operations'] } }, async () => {
    if (stop.aborted) throw new Problem('unavailable', { detail: 'the portal is stopping' })
    try {
      await ledger.totals()
      await store.freeBytes()
    } catch (cause) {
      throw new Problem('unavailable', {}, { cause })
    }
    return { status: 'ready' }
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
