/** Stored content as the body of an answer. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { releaseBuffer } from '../../buffers/index.ts'
import { answerHeaders } from './security-headers.ts'

/**
 * The bytes that the socket holds before the answer waits for it. Node's own mark is 64 KiB, which is one buffer: each would cost a system
 * call and a turn of the event loop.
 */
const AHEAD_BYTES = 512 * 1024

/**
 * Answers with a stream that has no other reader. The memory of each buffer is freed as soon as the buffer has been sent. When the
 * stream breaks, the connection is closed, so that the answer is incomplete.
 *
 * @param head has the `content-length`
 */
export async function answerWithContent(
  reply: FastifyReply,
  status: number,
  head: OutgoingHttpHeaders,
  content: Readable,
): Promise<void> {
  const { raw } = reply
  reply.hijack()
  raw.writeHead(status, { ...answerHeaders, ...head })
  const closed = new Promise<void>((resolve) => raw.once('close', resolve))
  try {
    for await (const bytes of content as AsyncIterable<Uint8Array>) {
      if (raw.destroyed) break
      // Called after an error, too: the answer no longer uses the buffer then.
      const hasRoom = raw.write(bytes, () => releaseBuffer(bytes))
      if (hasRoom || raw.writableLength < AHEAD_BYTES) continue
      await Promise.race([new Promise<void>((resolve) => raw.once('drain', resolve)), closed])
    }
    raw.end()
  } catch {
    // The opener of the stream handles the error. Here only the connection is closed.
    raw.destroy()
  }
}
