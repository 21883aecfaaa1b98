/** `GET /openapi.json`. */
import { Type } from 'typebox'
import type { App } from '../app.ts'
import type { ApiDescription } from '../openapi/document.ts'

export function openapiRoute(app: App, description: ApiDescription): void {
  app.get(
    '/openapi.json',
    {
      schema: {
        operationId: 'getDescription',
        summary: 'This description',
        tags: ['operations'],
        problems: ['rate-limited'],
        answers: { 200: { content: { 'application/json': Type.Object({}) } } },
      },
    },
    (_request, reply) => reply.type('application/json').send(description.toBytes()),
  )
}
