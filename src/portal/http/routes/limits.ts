/** `GET /v1/limits`. */
import {
  batchBytesMax,
  batchItemsMax,
  heartbeatMs,
  Limits,
  partSizeBytesMax,
  partSizeBytesMin,
  partsPerTransferMax,
  receiversPerTransferMax,
} from '../../../protocol/index.ts'
import { guestLimits, offeredDigestAlgorithms } from '../../options.ts'
import type { App, Services } from '../app.ts'

export function limitsRoute(app: App, { context: { options, ledger } }: Services): void {
  app.get(
    '/v1/limits',
    {
      schema: {
        operationId: 'getLimits',
        summary: 'What this portal takes',
        tags: ['operations'],
        response: { 200: Limits },
      },
    },
    async (): Promise<Limits> => ({
      at: new Date(ledger.nowMs()).toISOString(),
      digestAlgorithms: [...offeredDigestAlgorithms(options)],
      partSizeBytesMin,
      partSizeBytesMax,
      partsPerTransferMax,
      transferSizeBytesMax: options.transferSizeBytesMax,
      wholeSizeBytesMax: options.wholeSizeBytesMax,
      streams: true,
      offerContentBytes: true,
      batchItemsMax,
      batchBytesMax,
      receiversPerTransferMax,
      attemptsMax: options.attemptsMax,
      uploadTimeoutMs: options.uploadTimeoutMs,
      leaseMs: options.leaseMs,
      expiryMs: options.expiryMs,
      heartbeatMs,
      sealedOnly: options.sealedOnly,
      guests: guestLimits(options),
    }),
  )
}
