/** The receipt: the receiver signs which content it received, from which sender, and when. */
import * as Type from 'typebox'
import {
  AccountName,
  conforms,
  DigestHex,
  digestAlgorithmLengthMax,
  Problem,
  PublicKeys,
  SignedToken,
  TransferId,
} from '../protocol/index.ts'
import type { ContentKey } from './content-key.ts'
import { toBase64Url } from './encoding.ts'
import type { AccountKeys } from './keys.ts'
import { readToken, signToken, verifyToken } from './tokens.ts'

const SECOND_MS = 1000
const WHOLE_SECONDS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
/** The last second of the year 9999, the last time that RFC 3339 can write. */
const SECONDS_MAX = 253_402_300_799

/** The claims of a receipt. Sizes are those of the file itself. */
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

/** The claims as they travel, with the registered names of RFC 7519 section 4.1 where those exist. */
const ReceiptPayload = Type.Object(
  {
    iss: AccountName,
    aud: AccountName,
    sub: TransferId,
    iat: Type.Integer({ minimum: 0, maximum: SECONDS_MAX }),
    sizeBytes: Type.Integer({ minimum: 0 }),
    partSizeBytes: Type.Integer({ minimum: 1 }),
    digestAlgorithm: Type.String({ pattern: `^[a-z0-9-]{1,${digestAlgorithmLengthMax}}$` }),
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
  // Written member by member, because the order of the caller's members must not change the token.
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
export async function verifyReceiptToken(token: string, receiver: PublicKeys): Promise<ReceiptClaims> {
  return claimsOf(await verifyToken(kind, token, receiver))
}

/** Reads the claims of a receipt without verifying it, to show them. @throws Problem `receipt-invalid` when it is not a receipt */
export function readReceipt(token: string): ReceiptClaims {
  return claimsOf(readToken(kind, token))
}

function claimsOf({ iss, aud, sub, iat, ...rest }: ReceiptPayload): ReceiptClaims {
  const at = new Date(iat * SECOND_MS).toISOString().replace('.000Z', 'Z')
  return { transferId: sub, from: aud, receiver: iss, at, ...rest }
}

/** A receipt with all data needed to check it against the file. */
export const ReceiptFile = Type.Object({
  transferId: TransferId,
  receiver: AccountName,
  /** The token that the receiver signed. */
  receipt: SignedToken,
  /** The keys that verify its signature. */
  keys: PublicKeys,
  /** The salt of the content digest, base64url; null for a transfer that was not sealed. */
  salt: Type.Union([Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }), Type.Null()]),
})
export interface ReceiptFile {
  readonly transferId: string
  readonly receiver: string
  readonly receipt: string
  readonly keys: PublicKeys
  readonly salt: string | null
}

/** Longer texts are not receipt files. */
const RECEIPT_LENGTH_MAX = 64 * 1024

/** Reads a receipt file. @throws Problem `receipt-invalid` when the text is not one */
export function parseReceiptFile(text: string): ReceiptFile {
  try {
    const value: unknown = text.length > RECEIPT_LENGTH_MAX ? null : JSON.parse(text)
    if (conforms(ReceiptFile, value)) return value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Problem('receipt-invalid', { detail: 'it is not a receipt as golooader writes it' })
}

/** The salt of a sealed file's content digest, as a receipt file has it. */
export function saltText({ contentSalt }: ContentKey): string {
  return toBase64Url(contentSalt)
}

/** The text of a receipt file. */
export function receiptText(receipt: ReceiptFile): string {
  return `${JSON.stringify(receipt, null, 2)}\n`
}
