/** `GET /metrics`. */
import { Type } from 'typebox'
import { SharedCalls } from '../../../async/index.ts'
import type { App, Services } from '../app.ts'

/** The metrics of this process. */
export function metricsRoute(app: App, { context: { metrics } }: Services): void {
  const calls = new SharedCalls<string>()
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        summary: 'Figures for Prometheus',
        tags: ['operations'],
        problems: ['rate-limited'],
        answers: { 200: { content: { 'text/plain': Type.String() } } },
      },
    },
    async (_request, reply) => {
      const text = await calls.run('', () => metrics.registry.metrics())
      return reply.type(metrics.registry.contentType).send(Buffer.from(text))
    },
  )
}
