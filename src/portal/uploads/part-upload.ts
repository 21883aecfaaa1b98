/** One part of a request that uploads it, and the checks before any of it is read. */
import type { Readable } from 'node:stream'
import { type DigestAlgorithm, isDigestAlgorithm, Problem } from '../../protocol/index.ts'
import type { Transfer } from '../ledger/contract.ts'

export type Receiving = Transfer & { readonly state: 'receiving' }

/** One part of an HTTP request, not checked yet. */
export interface PartUpload {
  readonly partNumber: number
  readonly contentLength: string | undefined
  readonly contentDigest: string | undefined
  readonly body: Readable
  readonly signal: AbortSignal
  /** Called as bytes arrive. */
  readonly onBytes: () => void
}

export function requireReceiving(transfer: Transfer): Receiving {
  if (transfer.state !== 'receiving') throw new Problem('transfer-closed', { state: transfer.state })
  return transfer
}

/** @throws Problem `length-required`, `part-length-wrong` */
export function lengthOf(contentLength: string | undefined): number {
  if (contentLength === undefined) throw new Problem('length-required')
  return Number(contentLength)
}

export function requireLength(contentLength: string | undefined, lengthBytes: number): void {
  if (contentLength === undefined) throw new Problem('length-required')
  if (contentLength !== String(lengthBytes)) throw new Problem('part-length-wrong', { lengthBytes })
}

export function algorithmOf({ digestAlgorithm }: Transfer): DigestAlgorithm {
  if (!isDigestAlgorithm(digestAlgorithm)) throw new Error(`digest algorithm ${digestAlgorithm} was admitted`)
  return digestAlgorithm
}

export function isStorageProblem(error: unknown): error is Problem {
  return error instanceof Problem && (error.code === 'storage-full' || error.code === 'store-failed')
}

const TOO_LARGE: ReadonlySet<string> = new Set(['transfer-too-large', 'request-full', 'request-closed'])

/** Whether a stream may not grow. */
export function isWithoutRoom(error: unknown): error is Problem {
  return isStorageProblem(error) || (error instanceof Problem && TOO_LARGE.has(error.code))
}
