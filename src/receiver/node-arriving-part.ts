/**
 * Opens a sealed part while it is written to the file. Bytes written before the tag is verified do not count, because only
 * `commit` enters the part in the list of parts.
 */
import type { Readable } from 'node:stream'
import { digestDriver } from '../digests/index.ts'
import type { PartSink } from '../parts/index.ts'
import { replaceInPlace } from '../parts/node-in-place.ts'
import { receivePart } from '../parts/node-part-receiver.ts'
import { Problem } from '../protocol/index.ts'
import { type PartSeal, sealTagBytes } from '../trust/index.ts'
import { partOpener } from '../trust/node-part-cipher.ts'
import type { ArrivingPart, ReceiveLimits } from './incoming-file.ts'

/**
 * A sink for the sealed part, in front of a sink for the opened content.
 *
 * @param sinkFor makes the inner sink; its parameter gives the digest of the opened content when asked at the commit
 * @throws Problem `seal-broken` from `commit`
 */
function openingSink(
  { partKey, position }: PartSeal,
  { lengthBytes, digestAlgorithm }: ArrivingPart<Readable>,
  sinkFor: (contentDigest: () => string) => PartSink,
): PartSink {
  const opener = partOpener(partKey, position)
  const hasher = digestDriver(digestAlgorithm).create()
  const tag = new Uint8Array(sealTagBytes)
  const tagAtByte = lengthBytes - sealTagBytes
  let contentDigest = ''
  let atByte = 0
  const inner = sinkFor(() => contentDigest)
  const open = (slice: Uint8Array): Uint8Array => {
    const plain = opener.update(slice)
    hasher.update(plain)
    return plain
  }
  return {
    retainsBuffers: inner.retainsBuffers === true,
    async write(buffers) {
      const opened: Uint8Array[] = []
      for (const bytes of buffers) {
        const isContent = atByte + bytes.length <= tagAtByte
        // The same object where possible: only that can be released.
        const content = isContent ? bytes : bytes.subarray(0, Math.max(0, tagAtByte - atByte))
        replaceInPlace(content, open)
        if (content.length > 0) opened.push(content)
        if (!isContent) tag.set(bytes.subarray(content.length), atByte + content.length - tagAtByte)
        atByte += bytes.length
      }
      if (opened.length > 0) await inner.write(opened)
    },
    async commit(digest) {
      if (atByte !== lengthBytes) throw new Problem('seal-broken', { partNumber: position.partNumber })
      opener.finish(tag)
      contentDigest = hasher.digest()
      await inner.commit(digest)
    },
    discard: () => inner.discard(),
  }
}

/**
 * @param sinkFor makes the sink for the content; for a sealed part, its parameter gives the digest of the opened content when
 *   asked at the commit
 * @throws like `IncomingFile.receivePart`
 */
export async function receiveArrivingPart(
  part: ArrivingPart<Readable>,
  limits: ReceiveLimits,
  sinkFor: (contentDigest?: () => string) => PartSink,
): Promise<void> {
  const { body, seal } = part
  const openSink = async () => (seal === null ? sinkFor() : openingSink(seal, part, sinkFor))
  if (body instanceof Uint8Array) return receiveHeld(body, part, await openSink())
  // The connection may break before the body is read, and an error without a listener would end the process.
  body.on('error', () => {})
  await receivePart(body, part, openSink, { ...limits, transfersOwnership: true })
}

/** Receives content that is in memory already. Its digest was taken from it, so only the seal and the file as a whole can be wrong. */
async function receiveHeld(
  content: Uint8Array,
  { partNumber, lengthBytes, digest }: ArrivingPart<Readable>,
  sink: PartSink,
): Promise<void> {
  try {
    if (content.length !== lengthBytes) {
      throw new Problem('part-incomplete', { partNumber, arrivedBytes: content.length, lengthBytes })
    }
    if (content.length > 0) await sink.write([content])
    await sink.commit(digest)
  } catch (error) {
    await sink.discard()
    throw error
  }
}
