/** `POST /v1/inbox/dispositions`: many answers of a receiver in one request. Each gets the same response as in a request of its own. */
import { BatchedDispositions, batchBytesMax, DispositionResults } from '../../../protocol/index.ts'
import { type App, accountOf, goneSignal, type Services } from '../app.ts'
import { refusedItem } from '../refusals.ts'
import { requirePassable } from './inbox.ts'

export function dispositionsRoute(app: App, { context, deliveries, stop }: Services): void {
  app.post(
    '/v1/inbox/dispositions',
    {
      bodyLimit: batchBytesMax,
      schema: {
        operationId: 'disposeOffers',
        summary: 'Several dispositions in one request. The answer has for each what `disposeOffer` would answer',
        tags: ['receiver'],
        body: BatchedDispositions,
        response: { 200: DispositionResults },
      },
      config: { guests: ['receiving'] },
    },
    async (request, reply): Promise<DispositionResults> => {
      const account = accountOf(request)
      const { dispositions } = request.body
      request.countItems(dispositions.length - 1)
      const gone = goneSignal(reply, stop)
      const answers = dispositions.map(
        async ({ transferId, answer }): Promise<DispositionResults['answers'][number]> => {
          try {
            requirePassable(answer)
            return { transferId, state: await deliveries.dispose(account, transferId, answer, gone) }
          } catch (error) {
            return refusedItem(context, request, transferId, error)
          }
        },
      )
      return { answers: await Promise.all(answers) }
    },
  )
}
