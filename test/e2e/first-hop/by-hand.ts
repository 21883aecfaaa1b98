/** A transfer that a test sends request by request, to do what the real sender never does. */
import { randomBytes } from 'node:crypto'
import type { PortalClient } from '../../../src/client/index.ts'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { defaultDigestAlgorithm, newTransferId, partSizeBytesMin } from '../../../src/protocol/index.ts'

export interface ByHand {
  readonly transferId: string
  readonly partSizeBytes: number
  readonly digestAlgorithm: typeof defaultDigestAlgorithm
  readonly parts: readonly Buffer[]
  readonly digests: readonly string[]
  readonly manifestDigest: string
}

/** Announces a transfer with that many parts of the smallest allowed size. */
export async function announceByHand(client: PortalClient, to: string, partCount: number): Promise<ByHand> {
  const parts = Array.from({ length: partCount }, () => randomBytes(partSizeBytesMin))
  const digests = parts.map((bytes) => digestOf(defaultDigestAlgorithm, bytes))
  const transferId = newTransferId()
  await client.announce(transferId, {
    to: [to],
    metadata: { name: 'by-hand.bin' },
    sizeBytes: partCount * partSizeBytesMin,
    partSizeBytes: partSizeBytesMin,
    digestAlgorithm: defaultDigestAlgorithm,
  })
  return {
    transferId,
    partSizeBytes: partSizeBytesMin,
    digestAlgorithm: defaultDigestAlgorithm,
    parts,
    digests,
    manifestDigest: manifestDigestOf(defaultDigestAlgorithm, digests),
  }
}

/** Sends the parts with these numbers. */
export async function putParts(client: PortalClient, byHand: ByHand, partNumbers: readonly number[]): Promise<void> {
  for (const partNumber of partNumbers) {
    const bytes = byHand.parts[partNumber - 1]
    const digest = byHand.digests[partNumber - 1]
    if (bytes === undefined || digest === undefined) throw new Error(`there is no part ${partNumber}`)
    await client.putPart(byHand.transferId, partNumber, { bytes, digest, digestAlgorithm: byHand.digestAlgorithm })
  }
}
