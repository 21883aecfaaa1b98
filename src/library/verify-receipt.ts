import { basename, resolve } from 'node:path'
import { digestDriver } from '../digests/index.ts'
import {
  checkOptions,
  guestNameOf,
  isGuestName,
  listOf,
  type OptionRule,
  optionsInvalid,
  Problem,
  parseFingerprint,
  partCount,
  partSpan,
} from '../protocol/index.ts'
import type { OpenSource } from '../sender/index.ts'
import type { NodeSource } from '../sender/node-content.ts'
import {
  contentDigestOf,
  fingerprintOf,
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

export interface VerifyOptions {
  /** That of the keys that must have signed. */
  readonly fingerprint?: string
  /** The name that a folder had when it was sent, if it has another one now. */
  readonly as?: string
  /** Patterns of what was left out of a folder, as in gitignore(5), besides those in files `.golooaderignore`. */
  readonly exclude?: string | readonly string[]
}

const optionRules = {
  fingerprint: 'text?',
  as: 'text?',
  exclude: 'oneOrMore?',
} as const satisfies Record<keyof VerifyOptions, OptionRule>

/**
 * Verifies, without a portal, that a file or a folder has exactly the content for which the receiver signed. Of a folder that includes the
 * names, times and executable bits of all that is in it.
 *
 * @param path of the file or folder
 * @param receipt from `receipts()`, or the text of a receipt file
 * @throws GoLooaderError `receipt-invalid` for other text; `options-invalid`, `source-unreadable`, `source-not-a-file`,
 *   `source-changed`
 */
export function verifyReceipt(
  path: string,
  receipt: Receipt | string,
  options: VerifyOptions = {},
): Promise<ReceiptProof> {
  return asLibraryCall(async () => {
    checkOptions('verifyReceipt()', { path, ...options }, { path: 'text', ...optionRules })
    const text = options.fingerprint ?? null
    const wanted = text === null ? null : parseFingerprint(text)
    if (text !== null && wanted === null) throw optionsInvalid(`'${text}' is not a fingerprint`)
    const parsed = parseReceiptFile(typeof receipt === 'string' ? receipt : String(JSON.stringify(receipt)))
    const fingerprint = await fingerprintOf(parsed.keys)
    let failure: Failure | null = null
    for await (const source of sourcesOf(path, options.as ?? null, listOf(options.exclude))) {
      await using file = await source.open()
      const found = await failureOf(file, parsed, { fingerprint, wanted })
      // A way that gives the right size is the likeliest one, so its reason is told.
      const isOfSize = found.claims?.sizeBytes === file.identity.sizeBytes
      if (failure === null || isOfSize) failure = found
      if (found.reason === null || found.claims === null) break
    }
    if (failure === null) throw new Error('each path has a source')
    const { reason, claims } = failure
    return { isProven: reason === null, reason, fingerprint, claims }
  })
}

interface Failure {
  readonly reason: string | null
  readonly claims: ReceiptClaims | null
}

/** A number that a receiver has added to the name of a folder: `photos (1)`. */
const ADDED_NUMBER = / \(\d{1,3}\)$/

/** A file; or a folder in the ways in which it may have been sent: with its name, without a number, with times and without. */
async function* sourcesOf(path: string, as: string | null, exclude: readonly string[]): AsyncGenerator<NodeSource> {
  const { checkSources, folderSource } = await import('../sender/node-source.ts')
  const name = basename(resolve(path))
  const roots = as === null ? [...new Set([name, name.replace(ADDED_NUMBER, '')])] : [as]
  for (const withTimes of [true, false]) {
    for (const root of roots) {
      const folder = await folderSource(path, { root, withTimes, exclude })
      if (folder === null) return yield* await checkSources([path])
      yield folder
    }
  }
}

/** @returns why the receipt proves nothing, or null; and its claims when the signature is valid */
async function failureOf(
  file: OpenSource,
  { receipt, keys, salt, receiver, transferId }: Receipt,
  { fingerprint, wanted }: { fingerprint: string; wanted: string | null },
): Promise<Failure> {
  let claims: ReceiptClaims | null = null
  try {
    claims = await verifyReceiptToken(receipt, keys)
    if (claims.receiver !== receiver || claims.transferId !== transferId) {
      return { reason: 'the file of the receipt says other things than its receiver signed', claims }
    }
    // The name of a guest is the fingerprint of its keys.
    if (isGuestName(receiver) && guestNameOf(fingerprint) !== receiver) {
      return { reason: `it was signed with the keys ${fingerprint}, which are not those of ${receiver}`, claims }
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
  const isFolder = file.treeProgress !== undefined
  const what = isFolder ? 'the tar of the folder' : 'the file'
  if (sizeBytes !== claims.sizeBytes) return `${what} has ${sizeBytes} bytes, and ${claims.sizeBytes} were received`
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
  if (actual === claims.contentDigest) return null
  return isFolder ? 'something in the folder is not what was received' : 'the file has other content than was received'
}
