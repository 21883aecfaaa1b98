/** Taking a part in from a stream of Node, without ever holding the whole of it. */
import { Readable } from 'node:stream'
import type { PartSink } from '../hop/index.ts'
import { takePart } from '../hop/node.ts'
import type { ArrivingPart, TakeLimits } from './incoming-file.ts'
import { openingSink } from './node-opening-sink.ts'

/**
 * @param sinkFor where what the file holds goes; gets the way to ask for its digest, before the commit, where that is
 *   not the one of what travels
 * @throws like `IncomingFile.takePart`
 */
export async function takeIn(
  part: ArrivingPart<Readable>,
  limits: TakeLimits,
  sinkFor: (contentDigest?: () => string) => PartSink,
): Promise<void> {
  const { body, seal, lengthBytes, digestAlgorithm } = part
  const openSink = async () =>
    seal === null ? sinkFor() : openingSink({ ...seal, lengthBytes, digestAlgorithm }, sinkFor)
  if (body instanceof Uint8Array) return takePart(Readable.from([body]), part, openSink, limits)
  // The connection may break at a moment when nobody reads, and an error without a listener would end the process.
  body.on('error', () => {})
  await takePart(body, part, openSink, { ...limits, isOwner: true })
}
