/** The refusal of a transfer for which there is no room. It tells whether the transfer could fit later. */
import { Problem } from '../../protocol/index.ts'
import type { Admission } from './contract.ts'

export type StorageBounds = Pick<Admission, 'accountBytesMax' | 'storageBytesMax'>

/** `limitBytes` for a refusal of a transfer that does not fit even into an empty storage. */
export function limitOf(
  sizeBytes: number,
  { accountBytesMax, storageBytesMax }: StorageBounds,
): { limitBytes?: number } {
  const limitBytes = Math.min(accountBytesMax, storageBytesMax)
  return sizeBytes > limitBytes ? { limitBytes } : {}
}

/** `storage-full` for a transfer whose size is known. */
export function storageFull(neededBytes: number, freeBytes: number, bounds: StorageBounds): Problem {
  return new Problem('storage-full', { neededBytes, freeBytes, ...limitOf(neededBytes, bounds) })
}
