/** The receipt: the receiver signs what it has got, from whom, and when. */
import * as Type from 'typebox'
import { AccountName, DigestHex, type PublicKeys, TransferId } from '../protocol/index.ts'
import type { AccountKeys } from './keys.ts'
import { readToken, signToken, verifyToken } from './tokens.ts'

const SECOND_MS = 1000
const WHOLE_SECONDS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
/** The last second of the year 9999, up to which RFC 3339 has times. */
const SECONDS_MAX = 253_402_300_799

/** What a receipt says. Sizes are those of the file itself. */
export interface ReceiptClaims {
  readonly transferId: string
  readonly from: string
  readonly receiver: string
  readonly sizeBytes: number
  readonly partSizeBytes: number
  readonly digestAlgorithm: string
  readonly manifestDigest: string
  readonly contentDigest: string
  readonly disposition: 'received'
  /** RFC 3339 in UTC, whole seconds, by the receiver's clock. */
  readonly at: string
}

/** As it travels: the registered names of RFC 7519 section 4.1 where there are any. */
const ReceiptPayload = Type.Object(
  {
    iss: AccountName,
    aud: AccountName,
    sub: TransferId,
    iat: Type.Integer({ minimum: 0, maximum: SECONDS_MAX }),
    sizeBytes: Type.Integer({ minimum: 0 }),
    partSizeBytes: Type.Integer({ minimum: 1 }),
    digestAlgorithm: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
    manifestDigest: DigestHex,
    contentDigest: DigestHex,
    disposition: Type.Literal('received'),
  },
  { additionalProperties: false },
)
type ReceiptPayload = Type.Static<typeof ReceiptPayload>

const kind = { typ: 'delivery-receipt+jwt', schema: ReceiptPayload, problem: 'receipt-invalid' } as const

/** @returns a compact JWS, the same for the same claims */
export async function signReceipt(claims: ReceiptClaims, keys: AccountKeys): Promise<string> {
  if (!WHOLE_SECONDS.test(claims.at)) throw new Error('a receipt has a time in whole seconds')
  // Member by member: the order in which the caller has them must not change the token.
  const payload: ReceiptPayload = {
    iss: claims.receiver,
    aud: claims.from,
    sub: claims.transferId,
    iat: Date.parse(claims.at) / SECOND_MS,
    sizeBytes: claims.sizeBytes,
    partSizeBytes: claims.partSizeBytes,
    digestAlgorithm: claims.digestAlgorithm,
    manifestDigest: claims.manifestDigest,
    contentDigest: claims.contentDigest,
    disposition: claims.disposition,
  }
  return signToken(kind, payload, keys)
}

/** @throws Problem `receipt-invalid` */
export async function verifyReceipt(token: string, receiver: PublicKeys): Promise<ReceiptClaims> {
  return claimsOf(await verifyToken(kind, token, receiver))
}

/** Reads without verifying: to show what a receipt claims. @throws Problem `receipt-invalid` when it is none */
export function readReceipt(token: string): ReceiptClaims {
  return claimsOf(readToken(kind, token))
}

function claimsOf({ iss, aud, sub, iat, ...rest }: ReceiptPayload): ReceiptClaims {
  const at = new Date(iat * SECOND_MS).toISOString().replace('.000Z', 'Z')
  return { transferId: sub, from: aud, receiver: iss, at, ...rest }
}
