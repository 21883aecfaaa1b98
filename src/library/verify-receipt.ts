import { digestDriver } from '../digests/index.ts'
import { checkOptions, optionsInvalid, Problem, partCount, partSpan } from '../protocol/index.ts'
import type { OpenSource } from '../sender/index.ts'
import {
  contentDigestOf,
  fingerprintOf,
  parseFingerprint,
  parseReceiptFile,
  type ReceiptClaims,
  verifyReceiptToken,
} from '../trust/index.ts'
import { asLibraryCall } from './error.ts'
import type { Receipt } from './receipts.ts'

/** Whether a receipt proves that a receiver got this file. */
export interface ReceiptProof {
  readonly isProven: boolean
  /** Why it is not proven; null when it is. */
  readonly reason: string | null
  /** The fingerprint of the signing keys. Compare it with the receiver's: a valid signature alone could come from any keys. */
  readonly fingerprint: string
  /** The signed claims; null when the signature is not valid. */
  readonly claims: ReceiptClaims | null
}

/**
 * Verifies, without a portal, that a file has exactly the content for which the receiver signed.
 *
 * @param path of the file
 * @param receipt from `receipts()`, or the text of a receipt file
 * @param options `fingerprint`: that of the keys that must have signed
 * @throws GoLooaderError `receipt-invalid` for other text; `options-invalid`, `source-unreadable`, `source-not-a-file`,
 *   `source-changed`
 */
export function verifyReceipt(
  path: string,
  receipt: Receipt | string,
  options: { readonly fingerprint?: string } = {},
): Promise<ReceiptProof> {
  return asLibraryCall(async () => {
    checkOptions('verifyReceipt()', { path, ...options }, { path: 'text', fingerprint: 'text?' })
    const text = options.fingerprint ?? null
    const wanted = text === null ? null : parseFingerprint(text)
    if (text !== null && wanted === null) throw optionsInvalid(`'${text}' is not a fingerprint`)
    const parsed = parseReceiptFile(typeof receipt === 'string' ? receipt : String(JSON.stringify(receipt)))
    const { checkSources } = await import('../sender/node-source.ts')
    const [source] = await checkSources([path])
    if (source === undefined) throw new Error('one path is one source')
    await using file = await source.open()
    const fingerprint = await fingerprintOf(parsed.keys)
    const { reason, claims } = await failureOf(file, parsed, { fingerprint, wanted })
    return { isProven: reason === null, reason, fingerprint, claims }
  })
}

/** @returns why the receipt proves nothing, or null; and its claims when the signature is valid */
async function failureOf(
  file: OpenSource,
  { receipt, keys, salt, receiver, transferId }: Receipt,
  { fingerprint, wanted }: { fingerprint: string; wanted: string | null },
): Promise<{ reason: string | null; claims: ReceiptClaims | null }> {
  let claims: ReceiptClaims | null = null
  try {
    claims = await verifyReceiptToken(receipt, keys)
    if (claims.receiver !== receiver || claims.transferId !== transferId) {
      return { reason: 'the file of the receipt says other things than its receiver signed', claims }
    }
    if (wanted !== null && wanted !== fingerprint) {
      return { reason: `it was signed with the keys ${fingerprint}, not with ${wanted}`, claims }
    }
    return { reason: await contentFailureOf(file, claims, salt), claims }
  } catch (error) {
    if (error instanceof Problem) return { reason: error.message, claims }
    throw error
  }
}

async function contentFailureOf(file: OpenSource, claims: ReceiptClaims, salt: string | null): Promise<string | null> {
  const { sizeBytes } = file.identity
  if (sizeBytes !== claims.sizeBytes) return `the file has ${sizeBytes} bytes, and ${claims.sizeBytes} were received`
  const { name: digestAlgorithm } = digestDriver(claims.digestAlgorithm)
  const digests: string[] = []
  const buffer = new Uint8Array(Math.min(claims.partSizeBytes, sizeBytes))
  for (let partNumber = 1; partNumber <= partCount(claims); partNumber++) {
    const { offsetBytes, lengthBytes } = partSpan(claims, partNumber)
    const target = buffer.subarray(0, lengthBytes)
    digests.push((await file.readPart(target, offsetBytes, digestAlgorithm, null)).digest)
  }
  await file.assertUnchanged()
  const actual = contentDigestOf(digestAlgorithm, salt === null ? null : Buffer.from(salt, 'base64url'), digests)
  return actual === claims.contentDigest ? null : 'the file has other content than was received'
}
