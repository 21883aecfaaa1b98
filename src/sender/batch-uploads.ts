/** Sends small files with their contents. Files that are ready at the same time share a request. All are in the journal before. */
import { type BatchedFile, Batcher, lineOf, type PortalClient, sendBatch } from '../client/index.ts'
import type { Limits, Notification, WholeTransfer } from '../protocol/index.ts'

/** A small file, announced and completed at once. */
export interface BatchItem {
  readonly transferId: string
  readonly whole: WholeTransfer
  readonly content: Uint8Array
}

/** Resolves with the first notification of a file. It throws like `PortalClient.putWhole`. */
export type BatchUploads = Batcher<BatchItem & BatchedFile, Notification>

export function batchUploads(client: PortalClient, { batchItemsMax = 0, batchBytesMax = 0 }: Limits): BatchUploads {
  return new Batcher({
    itemsMax: batchItemsMax,
    bytesMax: batchBytesMax,
    bytesOf: ({ line, content }) => line.length + content.length,
    sendAlone: ({ transferId, whole, content }, options) => client.putWhole(transferId, whole, content, options),
    sendTogether: (files, options) => sendBatch(client, files, options),
  })
}

export function batchedFile({ transferId, whole, content }: BatchItem): BatchItem & BatchedFile {
  return { transferId, whole, content, line: lineOf({ transferId, ...whole }) }
}
