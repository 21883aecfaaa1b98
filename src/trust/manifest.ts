/** The manifest, signed by its sender: who sends what to whom. */
import * as Type from 'typebox'
import {
  AccountName,
  DigestHex,
  PlainMetadata,
  Problem,
  type PublicKeys,
  receiversPerTransferMax,
  TransferId,
  toHex,
} from '../protocol/index.ts'
import { utf8 } from './encoding.ts'
import type { AccountKeys } from './keys.ts'
import { signToken, verifyToken } from './tokens.ts'

const closed = { additionalProperties: false } as const

/** Sizes are of what travels. */
export const ManifestClaims = Type.Object(
  {
    transferId: TransferId,
    from: AccountName,
    /** In ascending order. */
    to: Type.Array(AccountName, { minItems: 1, maxItems: receiversPerTransferMax, uniqueItems: true }),
    sizeBytes: Type.Integer({ minimum: 0 }),
    partSizeBytes: Type.Integer({ minimum: 1 }),
    digestAlgorithm: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
    manifestDigest: DigestHex,
    /** Where it is sealed: the SHA-256 of the text `metadata.sealed`, in hex. */
    metadata: Type.Union([PlainMetadata, Type.Object({ sealedDigest: DigestHex }, closed)]),
  },
  closed,
)
export type ManifestClaims = Readonly<Type.Static<typeof ManifestClaims>>

const kind = { typ: 'transfer-manifest+jwt', schema: ManifestClaims, problem: 'signature-invalid' } as const

/** @returns a compact JWS */
export async function signManifest(claims: ManifestClaims, keys: AccountKeys): Promise<string> {
  // Member by member: the order in which the caller has them must not change the token.
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
export async function sealedDigestOf(sealed: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', utf8(sealed))))
}
