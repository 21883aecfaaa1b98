/**
 * Opening a sealed part on its way into the file. What is written before the tag has been verified does not count: the
 * part is entered in the list of parts only by `commit`, and until then its bytes are anybody's.
 */
import { digestDriver } from '../digests/index.ts'
import { type PartSink, release } from '../hop/index.ts'
import { type DigestAlgorithm, Problem } from '../protocol/index.ts'
import { sealTagBytes } from '../trust/index.ts'
import { type PartPosition, partOpener } from '../trust/node-part-cipher.ts'

/** One sealed part. */
export interface SealedPart {
  readonly partKey: Uint8Array
  readonly position: PartPosition
  /** Of what travels, the tag included. */
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
}

/**
 * A sink for what travels, in front of one for what the file holds.
 *
 * @param sinkFor gets the way to ask for the digest of the opened content, before its commit
 * @throws Problem `seal-broken` from `commit`
 */
export function openingSink(
  { partKey, position, lengthBytes, digestAlgorithm }: SealedPart,
  sinkFor: (contentDigest: () => string) => PartSink,
): PartSink {
  const opener = partOpener(partKey, position)
  const hasher = digestDriver(digestAlgorithm).create()
  const tag = new Uint8Array(sealTagBytes)
  const tagAtByte = lengthBytes - sealTagBytes
  let contentDigest = ''
  let atByte = 0
  const inner = sinkFor(() => contentDigest)
  return {
    async write(buffers) {
      const opened: Buffer[] = []
      for (const bytes of buffers) {
        const content = bytes.subarray(0, Math.max(0, tagAtByte - atByte))
        if (content.length > 0) {
          const plain = opener.update(content)
          hasher.update(plain)
          opened.push(plain)
        }
        if (content.length < bytes.length) tag.set(bytes.subarray(content.length), atByte + content.length - tagAtByte)
        atByte += bytes.length
      }
      if (opened.length > 0) await inner.write(opened)
      if (inner.isKeeping !== true) opened.forEach(release)
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
