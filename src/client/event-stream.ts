import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { unstalled } from './answers.ts'
import { type HttpResponse, NoResponseError } from './transport.ts'

/** Longest line or message that is accepted from an event stream. */
const MESSAGE_BYTES_MAX = 1024 * 1024

/**
 * The messages of a `text/event-stream` answer, as they come.
 *
 * @param silenceMs a stream that is silent for this time counts as dead; the portal writes heartbeats far more often
 * @throws NoResponseError when the stream breaks, goes silent or grows beyond bounds
 */
export async function* eventStream(
  response: HttpResponse<AsyncIterable<Uint8Array>>,
  silenceMs: number,
): AsyncGenerator<EventSourceMessage> {
  let messages: EventSourceMessage[] = []
  let isTooLong = false
  const parser = createParser({
    onEvent: (message) => messages.push(message),
    onError: ({ type }) => {
      isTooLong ||= type === 'max-buffer-size-exceeded'
    },
    maxBufferSize: MESSAGE_BYTES_MAX,
  })
  const decoder = new TextDecoder()
  for await (const bytes of unstalled(response, silenceMs)) {
    parser.feed(decoder.decode(bytes, { stream: true }))
    if (isTooLong) throw new NoResponseError('a message of the stream is too long')
    const ready = messages
    messages = []
    yield* ready
  }
  throw new NoResponseError('the portal closed the stream')
}
