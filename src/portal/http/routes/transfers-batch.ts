/**
 * `POST /v1/transfers/batch`: many small files in one request. Each is accepted or refused by itself. One transaction makes all
 * accepted files durable.
 */
import { Compile } from 'typebox/compile'
import {
  BatchAnswers,
  BatchedTransfer,
  batchBytesMax,
  batchItemsMax,
  isTransferId,
  Problem,
} from '../../../protocol/index.ts'
import { admissionOf } from '../../uploads/admission.ts'
import { receiveInline } from '../../uploads/inline-uploads.ts'
import { type App, accountOf, type Services } from '../app.ts'
import { bytesOf } from '../openapi/operation.ts'
import { refusedItem } from '../refusals.ts'
import { faultsOf } from '../validation.ts'
import { lineAndRest } from './transfers-whole.ts'

const validator = Compile(BatchedTransfer)

export function batchRoute(app: App, { context, transfers }: Services): void {
  app.post(
    '/v1/transfers/batch',
    {
      bodyLimit: batchBytesMax,
      schema: {
        operationId: 'sendBatch',
        summary:
          'Send small files in one request: for each a line of JSON that announces and completes it, a line feed, the content. The answer has for each what `sendWhole` would answer',
        tags: ['sender'],
        requestBody: {
          description: `At most ${batchItemsMax} times: one line of JSON, a line feed (0x0a), and the bytes of the file`,
          content: { 'application/octet-stream': bytesOf([BatchedTransfer, {}]) },
        },
        response: { 200: BatchAnswers },
      },
      config: { guests: ['sending'] },
    },
    async (request): Promise<BatchAnswers> => {
      const account = accountOf(request)
      const items = itemsIn(request.body)
      request.countItems(items.length - 1)
      // Read once, because the free space changes little during one batch.
      const admission = await admissionOf(context)
      const answers = items.map(async ({ transferId, line, content }): Promise<BatchAnswers['answers'][number]> => {
        try {
          const whole = wholeOf(line)
          const notification = await receiveInline(context, transfers, {
            account,
            transferId,
            whole,
            content,
            admission,
          })
          return { transferId, notification }
        } catch (error) {
          return refusedItem(context, request, transferId, error)
        }
      })
      return { answers: await Promise.all(answers) }
    },
  )
}

/** One file of a batch, parsed as far as needed to find the next one. */
interface Item {
  readonly transferId: string
  readonly line: Record<string, unknown>
  readonly content: Uint8Array
}

/** @throws Problem `request-invalid` for a body in which the boundaries of the files cannot be found */
function itemsIn(body: unknown): Item[] {
  if (!Buffer.isBuffer(body)) throw new Problem('request-invalid', { detail: 'there is no file' })
  const items: Item[] = []
  let rest = body
  while (rest.length > 0) {
    if (items.length === batchItemsMax)
      throw new Problem('request-invalid', { detail: 'too many files', batchItemsMax })
    const { line, rest: behind } = lineAndRest(rest)
    const { transferId, sizeBytes } = isRecord(line) ? line : {}
    if (!isRecord(line) || typeof transferId !== 'string' || !isTransferId(transferId)) {
      throw new Problem('request-invalid', { detail: `line ${items.length + 1} names no transfer` })
    }
    if (typeof sizeBytes !== 'number' || !Number.isInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > behind.length) {
      throw new Problem('request-invalid', { detail: `line ${items.length + 1} does not say how long its content is` })
    }
    items.push({ transferId, line, content: behind.subarray(0, sizeBytes) })
    rest = behind.subarray(sizeBytes)
  }
  if (items.length === 0) throw new Problem('request-invalid', { detail: 'there is no file' })
  return items
}

/** @throws Problem `request-invalid` */
function wholeOf(line: Record<string, unknown>): Omit<BatchedTransfer, 'transferId'> {
  if (!validator.Check(line)) throw new Problem('request-invalid', { detail: faultsOf(validator, line, 'its line') })
  const { transferId: _transferId, ...whole } = line
  return whole
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
