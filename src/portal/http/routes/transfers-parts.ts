/** `PUT /v1/transfers/{transferId}/parts/{partNumber}`: one part of a file, as a raw body. */
import { Type } from 'typebox'
import { TransferId } from '../../../protocol/index.ts'
import { topics } from '../../signals/index.ts'
import { type App, accountOf, goneSignal, prefersInterim, type Services } from '../app.ts'
import { carriesInterimAnswers, sendProcessing } from '../interim.ts'
import { contentDigestOfPart, preferInterim } from '../openapi/headers.ts'
import { PartNumberText } from '../openapi/parameters.ts'
import { poolBody } from '../pooled-reads.ts'
import { dropRest } from '../problems.ts'

const Params = Type.Object({ transferId: TransferId, partNumber: PartNumberText })

/** How often a sender is told that its bytes arrive. */
const SIGN_OF_LIFE_MS = 2_000

export function partRoute(app: App, { context: { signals }, transfers, stop }: Services): void {
  app.put(
    '/v1/transfers/:transferId/parts/:partNumber',
    {
      config: { guests: ['sending'], body: 'streamed' },
      schema: {
        operationId: 'putPart',
        summary: 'Send one part; Content-Length and Content-Digest are required. 204: held, verified, durable',
        tags: ['sender'],
        params: Params,
        requestHeaders: { 'Content-Digest': contentDigestOfPart, Prefer: preferInterim },
        requestBody: {
          description: 'The bytes of the part. `Content-Length` is required, and is exactly the length of that part',
          content: { 'application/octet-stream': {} },
        },
        answers: { 204: { description: 'The part is held: verified and durable' } },
        problems: [
          'length-required',
          'transfer-closed',
          'transfer-too-large',
          'storage-full',
          'request-closed',
          'request-full',
          'store-failed',
          'part-unknown',
          'part-length-wrong',
          'part-conflict',
          'part-incomplete',
          'digest-required',
          'digest-unsupported-algorithm',
          'digest-invalid-value',
          'digest-mismatching-value',
        ],
      },
    },
    async (request, reply) => {
      const account = accountOf(request)
      const { transferId } = request.params
      const partNumber = Number(request.params.partNumber)
      // By an interim answer if the connection can carry one, otherwise by the sender's event stream, perhaps at another node.
      const tell =
        prefersInterim(request) && carriesInterimAnswers(request)
          ? () => sendProcessing(reply)
          : () => signals.publish(topics.arriving(account.accountId), JSON.stringify({ transferId, partNumber }))
      await transfers.receivePart(account, transferId, {
        partNumber,
        contentLength: request.headers['content-length'],
        contentDigest: request.headers['content-digest']?.toString(),
        body: poolBody(request.raw),
        signal: goneSignal(reply, stop),
        onBytes: nowAndThen(tell),
      })
      // The body of a part that was already held has not been read.
      dropRest(request)
      return reply.code(204).send(null)
    },
  )
}

/**
 * Tells the sender from time to time that its bytes arrive. On a slow link sent bytes may lie in buffers for minutes, and only the
 * portal knows that they get through.
 */
function nowAndThen(tell: () => void): () => void {
  let saidAtMs = performance.now()
  return () => {
    if (performance.now() - saidAtMs < SIGN_OF_LIFE_MS) return
    saidAtMs = performance.now()
    tell()
  }
}
