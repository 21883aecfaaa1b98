/** A stored content as the body of an answer. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { release } from '../../hop/index.ts'
import { answerHeaders } from './security-headers.ts'

/**
 * Answers with a stream that nobody else reads. The memory of what it brings is given back as soon as that has left; a
 * stream that breaks breaks the answer off.
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
      // With an error or without: the answer has done with it.
      const hasRoom = raw.write(bytes, () => release(bytes))
      if (!hasRoom) await Promise.race([new Promise<void>((resolve) => raw.once('drain', resolve)), closed])
    }
    raw.end()
  } catch {
    // Whoever opened the stream is told by the stream itself. All that is left here is to end what was begun.
    raw.destroy()
  }
}
