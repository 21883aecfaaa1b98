/** A receipt as a file: with all that it takes to check it against what was sent, without any portal. */
import * as Type from 'typebox'
import { AccountName, conforms, Problem, PublicKeys, SignedToken, TransferId } from '../protocol/index.ts'

/** A receipt with what it takes to check it against the file. */
export const ReceiptFile = Type.Object({
  transferId: TransferId,
  receiver: AccountName,
  /** As the receiver signed it. */
  receipt: SignedToken,
  /** By which its signature is verified. */
  keys: PublicKeys,
  /** What the content digest is salted with, base64url; null for a transfer that was not sealed. */
  salt: Type.Union([Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }), Type.Null()]),
})
export interface ReceiptFile {
  readonly transferId: string
  readonly receiver: string
  readonly receipt: string
  readonly keys: PublicKeys
  readonly salt: string | null
}

/** Nothing that is a receipt is longer. */
const RECEIPT_LENGTH_MAX = 64 * 1024

/** Reads what a receipt file holds. @throws Problem `receipt-invalid` when it is none */
export function parseReceiptFile(text: string): ReceiptFile {
  try {
    const value: unknown = text.length > RECEIPT_LENGTH_MAX ? null : JSON.parse(text)
    if (conforms(ReceiptFile, value)) return value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Problem('receipt-invalid', { detail: 'it is not a receipt as golooader writes it' })
}

/** As it is written. */
export function receiptText(receipt: ReceiptFile): string {
  return `${JSON.stringify(receipt, null, 2)}\n`
}
