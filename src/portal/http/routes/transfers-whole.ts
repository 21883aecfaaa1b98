/** `PUT /v1/transfers/{transferId}/whole`: a small file in one request, announced, sent and completed. */
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import {
  jsonBodyBytesMax,
  Notification,
  Problem,
  TransferId,
  WholeTransfer,
  wholeSizeBytesMax,
} from '../../../protocol/index.ts'
import { receiveInline } from '../../uploads/inline-uploads.ts'
import { type App, accountOf, type Services } from '../app.ts'
import { bytesOf } from '../openapi/operation.ts'
import { faultsOf } from '../validation.ts'
import { announcementProblems } from './transfers.ts'

const LINE_FEED = 0x0a
const validator = Compile(WholeTransfer)

export function inlineUploadRoute(app: App, { context, transfers }: Services): void {
  app.put(
    '/v1/transfers/:transferId/whole',
    {
      bodyLimit: jsonBodyBytesMax + wholeSizeBytesMax,
      schema: {
        operationId: 'sendWhole',
        summary:
          'Send a small file in one request: a line of JSON that announces and completes it, a line feed, the content. The answer is the first notification',
        tags: ['sender'],
        params: Type.Object({ transferId: TransferId }),
        requestBody: {
          description: 'One line of JSON, a line feed (0x0a), and the bytes of the file',
          content: { 'application/octet-stream': bytesOf([WholeTransfer, {}]) },
        },
        response: { 200: Notification },
        problems: [
          ...announcementProblems,
          'transfer-closed',
          'length-required',
          'part-incomplete',
          'digest-mismatching-value',
        ],
      },
      config: { guests: ['sending'] },
    },
    (request) => {
      const { whole, content } = parse(request.body)
      const account = accountOf(request)
      return receiveInline(context, transfers, { account, transferId: request.params.transferId, whole, content })
    },
  )
}

/** @throws Problem `request-invalid` */
function parse(body: unknown): { whole: WholeTransfer; content: Uint8Array } {
  if (!Buffer.isBuffer(body)) throw new Problem('length-required')
  const { line: whole, rest: content } = lineAndRest(body)
  if (!validator.Check(whole)) {
    throw new Problem('request-invalid', { detail: faultsOf(validator, whole, 'the first line') })
  }
  return { whole, content }
}

/**
 * The line of JSON that a body begins with, and what follows its line feed.
 *
 * @throws Problem `body-too-large`, `request-invalid`
 */
export function lineAndRest(body: Buffer): { line: unknown; rest: Buffer } {
  // Looks for the end of the line only within the longest JSON of a request, not in the content.
  const end = body.subarray(0, jsonBodyBytesMax + 1).indexOf(LINE_FEED)
  if (end < 0 && body.length > jsonBodyBytesMax) throw new Problem('body-too-large', { lineBytesMax: jsonBodyBytesMax })
  if (end < 0) throw new Problem('request-invalid', { detail: 'there is no line of JSON before the content' })
  try {
    return { line: JSON.parse(body.toString('utf8', 0, end)), rest: body.subarray(end + 1) }
  } catch (cause) {
    throw new Problem('request-invalid', { detail: 'the first line is not JSON' }, { cause })
  }
}
