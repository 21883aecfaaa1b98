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
import { takeWhole } from '../../wholes.ts'
import { type App, accountOf, type Services } from '../app.ts'

const LINE_FEED = 0x0a
const validator = Compile(WholeTransfer)

export function wholeRoute(app: App, { context, transfers }: Services): void {
  app.put(
    '/v1/transfers/:transferId/whole',
    {
      bodyLimit: jsonBodyBytesMax + wholeSizeBytesMax,
      schema: {
        summary:
          'Send a small file in one request: a line of JSON that announces and completes it, a line feed, the content. The answer is the first notification',
        tags: ['sender'],
        params: Type.Object({ transferId: TransferId }),
        consumes: ['application/octet-stream'],
        response: { 200: Notification },
      },
    },
    (request) => {
      const { whole, content } = parse(request.body)
      return takeWhole(context, transfers, accountOf(request), request.params.transferId, whole, content)
    },
  )
}

/** @throws Problem `request-invalid` */
function parse(body: unknown): { whole: WholeTransfer; content: Uint8Array } {
  if (!Buffer.isBuffer(body)) throw new Problem('length-required')
  const end = body.indexOf(LINE_FEED)
  if (end < 0) throw new Problem('request-invalid', { detail: 'there is no line of JSON before the content' })
  let whole: unknown
  try {
    whole = JSON.parse(body.toString('utf8', 0, end))
  } catch (cause) {
    throw new Problem('request-invalid', { detail: 'the first line is not JSON' }, { cause })
  }
  if (!validator.Check(whole)) {
    const [error] = validator.Errors(whole)
    throw new Problem('request-invalid', { detail: `the first line: ${error?.instancePath} ${error?.message}` })
  }
  return { whole, content: body.subarray(end + 1) }
}
