import {
  batchBytesMax,
  batchItemsMax,
  partSizeBytesMax,
  partSizeBytesMin,
  partsPerTransferMax,
  wholeSizeBytesMax,
} from './limits.ts'
import type { Limits } from './messages.ts'
import { intervalMs, within } from './timers.ts'

/** A sender makes at most this many attempts at a transfer, even if the portal allows more. */
const attemptsKnownMax = 100

/** The limits that a portal announces, brought within those of the protocol. */
export function boundedLimits(limits: Limits): Limits {
  return {
    ...limits,
    partSizeBytesMin: within(1, limits.partSizeBytesMin, partSizeBytesMax),
    partSizeBytesMax: within(partSizeBytesMin, limits.partSizeBytesMax, partSizeBytesMax),
    partsPerTransferMax: within(1, limits.partsPerTransferMax, partsPerTransferMax),
    wholeSizeBytesMax: within(0, limits.wholeSizeBytesMax, wholeSizeBytesMax),
    batchItemsMax: within(0, limits.batchItemsMax ?? 0, batchItemsMax),
    batchBytesMax: within(0, limits.batchBytesMax ?? 0, batchBytesMax),
    attemptsMax: within(1, limits.attemptsMax, attemptsKnownMax),
    uploadTimeoutMs: intervalMs(limits.uploadTimeoutMs),
    leaseMs: intervalMs(limits.leaseMs),
    heartbeatMs: intervalMs(limits.heartbeatMs),
  }
}
