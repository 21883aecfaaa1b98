/** `PUT /v1/transfers/{transferId}/parts/{partNumber}`: one part of a file, as a raw body. */
import { Type } from 'typebox'
import { TransferId } from '../../../protocol/index.ts'
import { type App, accountOf, goneSignal, type Services } from '../app.ts'
import { dropRest } from '../problems.ts'

const Params = Type.Object({ transferId: TransferId, partNumber: Type.String({ pattern: '^[1-9][0-9]{0,5}$' }) })

export function partRoute(app: App, { transfers, stop }: Services): void {
  app.put(
    '/v1/transfers/:transferId/parts/:partNumber',
    {
      schema: {
        summary: 'Send one part; Content-Length and Content-Digest are required. 204: held, verified, durable',
        tags: ['sender'],
        params: Params,
        headers: Type.Object({
          'content-length': Type.Optional(Type.String()),
          'content-digest': Type.Optional(Type.String({ description: 'RFC 9530, e.g. sha-256=:base64:' })),
        }),
        consumes: ['application/octet-stream'],
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await transfers.takePart(accountOf(request), request.params.transferId, {
        partNumber: Number(request.params.partNumber),
        contentLength: request.headers['content-length'],
        contentDigest: request.headers['content-digest'],
        body: request.raw,
        signal: goneSignal(reply, stop),
      })
      // A part that was held already has not been read.
      dropRest(request)
      return reply.code(204).send(null)
    },
  )
}
