/** The manifest, which the sender signs: sender, receivers, metadata and manifestDigest of a transfer. */
import * as Type from 'typebox'
import { digestOf } from '../digests/index.ts'
import {
  AccountName,
  DigestHex,
  digestAlgorithmLengthMax,
  PlainMetadata,
  Problem,
  type PublicKeys,
  receiversPerTransferMax,
  TransferId,
} from '../protocol/index.ts'
import { utf8 } from './encoding.ts'
import type { AccountKeys } from './keys.ts'
import { signToken, verifyToken } from './tokens.ts'

const closed = { additionalProperties: false } as const

/** Sizes are those of the parts as they travel. */
export const ManifestClaims = Type.Object(
  {
    transferId: TransferId,
    from: AccountName,
    /** In ascending order and each once; `verifyManifest` checks that. */
    to: Type.Array(AccountName, { minItems: 1, maxItems: receiversPerTransferMax }),
    sizeBytes: Type.Integer({ minimum: 0 }),
    partSizeBytes: Type.Integer({ minimum: 1 }),
    digestAlgorithm: Type.String({ pattern: `^[a-z0-9-]{1,${digestAlgorithmLengthMax}}$` }),
    manifestDigest: DigestHex,
    /** For sealed metadata, the SHA-256 of the text `metadata.sealed`, in hex. */
    metadata: Type.Union([PlainMetadata, Type.Object({ sealedDigest: DigestHex }, closed)]),
  },
  closed,
)
export type ManifestClaims = Readonly<Type.Static<typeof ManifestClaims>>

const kind = { typ: 'transfer-manifest+jwt', schema: ManifestClaims, problem: 'signature-invalid' } as const

/** @returns a compact JWS */
export async function signManifest(claims: ManifestClaims, keys: AccountKeys): Promise<string> {
  // Written member by member, because the order of the caller's members must not change the token.
  const payload: ManifestClaims = {
    transferId: claims.transferId,
    from: claims.from,
    to: claims.to,
    sizeBytes: claims.sizeBytes,
    partSizeBytes: claims.partSizeBytes,
    digestAlgorithm: claims.digestAlgorithm,
    manifestDigest: claims.manifestDigest,
    metadata: claims.metadata,
  }
  if (!isAscending(payload.to)) throw new Error('the receivers of a manifest stand in ascending order')
  return signToken(kind, payload, keys)
}

/** @throws Problem `signature-invalid` */
export async function verifyManifest(token: string, sender: PublicKeys): Promise<ManifestClaims> {
  const claims = await verifyToken(kind, token, sender)
  if (!isAscending(claims.to)) throw new Problem('signature-invalid', { detail: 'its receivers are not in order' })
  return claims
}

function isAscending(names: readonly string[]): boolean {
  return names.every((name, index) => index === 0 || (names[index - 1] ?? '') < name)
}

/** The SHA-256 of the text of sealed metadata, in hex. */
export function sealedDigestOf(sealed: string): string {
  return digestOf('sha-256', utf8(sealed))
}
