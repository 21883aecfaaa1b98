/** Reading streams of the browser into given buffers (BYOB). */
import { bytesIn } from '../../client/browser-transport.ts'
import type { DirectBody } from './inbox/gather.ts'

/**
 * The body of an answer, or the content of a file. A browser without byte streams brings buffers of its own, which cost a copy.
 *
 * https://streams.spec.whatwg.org/#byob-readers
 */
export function directBody(stream: ReadableStream<Uint8Array<ArrayBuffer>>): DirectBody | AsyncIterable<Uint8Array> {
  const reader = byobReader(stream)
  if (reader === null) return bytesIn(stream)
  return {
    async readInto(buffer, atByte) {
      const { value } = await reader.read(new Uint8Array(buffer, atByte))
      return value === undefined
        ? { buffer: new ArrayBuffer(), readBytes: 0 }
        : { buffer: value.buffer, readBytes: value.length }
    },
  }
}

function byobReader(stream: ReadableStream): ReadableStreamBYOBReader | null {
  try {
    return stream.getReader({ mode: 'byob' })
  } catch (error) {
    if (error instanceof TypeError) return null
    throw error
  }
}
