import * as Type from 'typebox'
import {
  batchBytesMax,
  batchItemsMax,
  partSizeBytesMax,
  partSizeBytesMin,
  partsPerTransferMax,
  wholeSizeBytesMax,
} from './limits.ts'
import { Timestamp } from './messages.ts'
import { intervalMs, within } from './timers.ts'

/** Answer of `GET /v1/limits`. */
export const Limits = Type.Object({
  /** The time of the portal's clock. */
  at: Type.Optional(Timestamp),
  digestAlgorithms: Type.Array(Type.String()),
  partSizeBytesMin: Type.Integer(),
  partSizeBytesMax: Type.Integer(),
  partsPerTransferMax: Type.Integer(),
  transferSizeBytesMax: Type.Integer(),
  /** A file up to this size can be sent in one request. */
  wholeSizeBytesMax: Type.Integer(),
  /** Whether a transfer may be announced without its size. A portal without streams says nothing. */
  streams: Type.Optional(Type.Boolean()),
  /** Whether a receiver may limit the content that comes with offers (`contentBytes`). A portal without that says nothing. */
  offerContentBytes: Type.Optional(Type.Boolean()),
  /** Small files in one batch, and bytes of its body. A portal without batches says nothing, or 0. */
  batchItemsMax: Type.Optional(Type.Integer()),
  batchBytesMax: Type.Optional(Type.Integer()),
  receiversPerTransferMax: Type.Integer(),
  attemptsMax: Type.Integer(),
  uploadTimeoutMs: Type.Integer(),
  leaseMs: Type.Integer(),
  expiryMs: Type.Integer(),
  heartbeatMs: Type.Integer(),
  /** Whether transfers that are not sealed are refused. */
  sealedOnly: Type.Boolean(),
  /** What an account may do with guests; null where the portal allows none. A portal that does not know guests says nothing. */
  guests: Type.Optional(
    Type.Union([
      Type.Object({
        /** Longest time from now until the end of a guest or a request. */
        expiryMsMax: Type.Integer(),
        /** Guests and requests of an account that are open at a time. */
        openMax: Type.Integer(),
        /** Guests and requests that an account may make in 24 hours. */
        perDayMax: Type.Integer(),
        /** Announced bytes of an account's open transfers to and from guests. */
        openBytesMax: Type.Integer(),
      }),
      Type.Null(),
    ]),
  ),
})
export type Limits = Type.Static<typeof Limits>

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
