/** What a sender and a receiver ask for, without what ours do around it. */
import type { Readable } from 'node:stream'
import type { PortalClient } from '../src/client/portal-client.ts'
import { digestOf, manifestDigestOf } from '../src/digests/index.ts'
import {
  type Announcement,
  defaultDigestAlgorithm,
  type Offer,
  partSizeBytesDefault,
  type WholeTransfer,
} from '../src/protocol/index.ts'

export type Client = PortalClient<Readable>

/** What is told of a file before its content. */
export function announcementOf(
  to: readonly string[],
  name: string,
  sizeBytes: number,
): Announcement & { sizeBytes: number } {
  return {
    to: [...to],
    metadata: { name },
    sizeBytes,
    partSizeBytes: partSizeBytesDefault,
    digestAlgorithm: defaultDigestAlgorithm,
  }
}

export function digestOfPart(content: Uint8Array): string {
  return digestOf(defaultDigestAlgorithm, content)
}

/** What goes before the content of a small file. */
export function wholeOf(to: readonly string[], name: string, content: Uint8Array): WholeTransfer {
  const manifestDigest = manifestDigestOf(defaultDigestAlgorithm, [digestOfPart(content)])
  return { ...announcementOf(to, name, content.length), manifestDigest }
}

/** Takes what is offered of a file of one part. @throws Error when it is not what was sent */
export async function fetchOnlyPart(
  client: Client,
  { transferId, leaseId }: Pick<Offer, 'transferId' | 'leaseId'>,
  sent: Uint8Array,
): Promise<void> {
  const partBytesMax = sent.length
  const claim = { leaseId, heldBytes: 0, waitSeconds: 0, digestAlgorithm: defaultDigestAlgorithm, partBytesMax }
  const part = await client.incomingPart(transferId, 1, claim)
  const received: Uint8Array[] = []
  for await (const bytes of part.body) received.push(bytes)
  if (!Buffer.concat(received).equals(sent)) throw new Error(`${transferId}: what was delivered is not what was sent`)
}
