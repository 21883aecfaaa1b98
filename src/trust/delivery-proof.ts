/** Checks the claims of tokens: a manifest against the offered transfer, a receipt against the sent one. */
import { type Metadata, type PlainMetadata, Problem, type PublicKeys } from '../protocol/index.ts'
import { type ManifestClaims, sealedDigestOf, verifyManifest } from './manifest.ts'
import { openedLayout } from './part-position.ts'
import { type ReceiptClaims, verifyReceiptToken } from './receipt.ts'

/** The metadata as a signed manifest has it: itself, or the digest of sealed metadata. */
export async function metadataClaimOf(metadata: Metadata): Promise<PlainMetadata | { readonly sealedDigest: string }> {
  return 'sealed' in metadata ? { sealedDigest: await sealedDigestOf(metadata.sealed) } : metadata
}

/** The data of an offer that its manifest must confirm. */
export interface ClaimedTransfer {
  readonly transferId: string
  readonly from: string
  readonly sizeBytes: number
  readonly partSizeBytes: number
  readonly digestAlgorithm: string
  readonly manifestDigest: string
  readonly metadata: Metadata
}

/**
 * Verifies that the sender signed the manifest of this very transfer, with this receiver among its receivers.
 *
 * @throws Problem `signature-invalid`
 */
export async function requireManifest(
  token: string,
  { sender, receiver }: { readonly sender: PublicKeys; readonly receiver: string },
  transfer: ClaimedTransfer,
): Promise<ManifestClaims> {
  const claims = await verifyManifest(token, sender)
  const { metadata, to, ...own } = claims
  const expected = {
    transferId: transfer.transferId,
    from: transfer.from,
    sizeBytes: transfer.sizeBytes,
    partSizeBytes: transfer.partSizeBytes,
    digestAlgorithm: transfer.digestAlgorithm,
    manifestDigest: transfer.manifestDigest,
  }
  for (const [member, value] of Object.entries(expected)) {
    if (own[member as keyof typeof own] !== value) throw otherThanSigned(member)
  }
  if (!to.includes(receiver)) throw otherThanSigned('to')
  if (textOf(metadata) !== textOf(await metadataClaimOf(transfer.metadata))) throw otherThanSigned('metadata')
  return claims
}

/**
 * Verifies the sender's own manifest as the portal kept it: it must be about this transfer and have this metadata.
 *
 * @throws Problem `signature-invalid`; `receipt-invalid` for the manifest of another transfer
 */
export async function ownManifest(
  token: string,
  keys: PublicKeys,
  { transferId, from, metadata }: Pick<ClaimedTransfer, 'transferId' | 'from' | 'metadata'>,
): Promise<ManifestClaims> {
  const claims = await verifyManifest(token, keys)
  const isOwn = claims.transferId === transferId && claims.from === from
  if (!isOwn || textOf(claims.metadata) !== textOf(await metadataClaimOf(metadata))) {
    throw new Problem('receipt-invalid', { detail: 'the portal shows the manifest of another transfer' })
  }
  return claims
}

/** The values that a receipt must prove. `manifest` is the one that the sender itself signed. */
export interface ExpectedReceipt {
  readonly manifest: ManifestClaims
  readonly receiver: string
  readonly keys: PublicKeys
  /** The digest of the sent content; null when the caller does not have it. */
  readonly contentDigest: string | null
}

/**
 * Verifies a receipt: the receiver signed that it received exactly what the sender signed in the manifest.
 *
 * @throws Problem `receipt-invalid`
 */
export async function proveDelivery(
  token: string,
  { manifest, receiver, keys, contentDigest }: ExpectedReceipt,
): Promise<ReceiptClaims> {
  const claims = await verifyReceiptToken(token, keys)
  const isSealed = 'sealedDigest' in manifest.metadata
  const { sizeBytes, partSizeBytes } = isSealed ? openedLayout(manifest) : manifest
  const expected: Partial<ReceiptClaims> = {
    transferId: manifest.transferId,
    from: manifest.from,
    receiver,
    sizeBytes,
    partSizeBytes,
    digestAlgorithm: manifest.digestAlgorithm,
    manifestDigest: manifest.manifestDigest,
    // Without a seal, the content digest is the manifestDigest. With a seal, only a holder of the file can compute it.
    ...(isSealed ? {} : { contentDigest: manifest.manifestDigest }),
    ...(contentDigest === null ? {} : { contentDigest }),
  }
  for (const [member, value] of Object.entries(expected)) {
    if (claims[member as keyof ReceiptClaims] === value) continue
    throw new Problem('receipt-invalid', { detail: `it is about another ${member} than what was sent` })
  }
  return claims
}

function otherThanSigned(member: string): Problem {
  return new Problem('signature-invalid', { detail: `the sender signed another ${member} than the one offered` })
}

function textOf(claim: PlainMetadata | { readonly sealedDigest: string }): string {
  return 'sealedDigest' in claim ? claim.sealedDigest : JSON.stringify([claim.name, claim.mediaType ?? null])
}
