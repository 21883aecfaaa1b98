/** What travels only to be looked at: what came for a receiver, and how the whole portal does. */
import * as Type from 'typebox'
import { AccountName, Metadata, ProblemBody, Timestamp, TransferId } from './messages.ts'
import { deliveryStates, transferStates } from './states.ts'

const Count = Type.Integer({ minimum: 0 })

/** A delivery as its receiver sees it: what waits for it, or was ever offered to it. */
export const ReceivedDelivery = Type.Object({
  transferId: TransferId,
  from: AccountName,
  /** As in the offer; of the wrapped keys only one's own. */
  metadata: Metadata,
  sizeBytes: Count,
  partSizeBytes: Type.Integer({ minimum: 1 }),
  digestAlgorithm: Type.String(),
  state: Type.Enum(deliveryStates),
  /** How often it was offered. */
  offers: Count,
  fetchedBytes: Count,
  problem: Type.Optional(ProblemBody),
  createdAt: Timestamp,
  expiresAt: Timestamp,
  /** When the portal held all of it. */
  storedAt: Type.Optional(Timestamp),
  /** When it was offered first. */
  offeredAt: Type.Optional(Timestamp),
  /** When it was delivered, or failed. */
  endedAt: Type.Optional(Timestamp),
})
export type ReceivedDelivery = Type.Static<typeof ReceivedDelivery>

/** Answer of `GET /v1/deliveries`; `before` is where the next page starts. */
export const DeliveryPage = Type.Object({
  deliveries: Type.Array(ReceivedDelivery),
  before: Type.Union([TransferId, Type.Null()]),
})
export type DeliveryPage = Type.Static<typeof DeliveryPage>

/** What one minute brought, of all portals together. */
export const OperationsMinute = Type.Object({
  /** When it began. */
  at: Timestamp,
  storedBytes: Count,
  deliveredBytes: Count,
  storedCount: Count,
  deliveredCount: Count,
})
export type OperationsMinute = Type.Static<typeof OperationsMinute>

/** A notification that had a problem. Of what a receiver says in its own words there is only the code. */
export const OperationsProblem = Type.Object({
  at: Timestamp,
  transferId: TransferId,
  from: AccountName,
  /** Null where it is about the first hop. */
  receiver: Type.Union([AccountName, Type.Null()]),
  notification: Type.String(),
  code: Type.String(),
  title: Type.String(),
})
export type OperationsProblem = Type.Static<typeof OperationsProblem>

/** Not by `Type.Record`, which would make a page load half of TypeBox. */
const countsOf = <State extends string>(states: readonly State[]) =>
  Type.Object(Object.fromEntries(states.map((state) => [state, Count])) as Record<State, typeof Count>)

/** Answer of `GET /v1/operations`, for operators alone. */
export const Operations = Type.Object({
  at: Timestamp,
  storage: Type.Object({
    /** What the transfers that have not ended add up to. */
    usedBytes: Count,
    limitBytes: Type.Union([Count, Type.Null()]),
    /** Null where the store cannot know. */
    freeBytes: Type.Union([Count, Type.Null()]),
  }),
  /** How many are in which state, of those that are remembered. */
  transfers: countsOf(transferStates),
  deliveries: countsOf(deliveryStates),
  /** The last sixty minutes, oldest first; the last one is still running. */
  throughput: Type.Array(OperationsMinute),
  /** Those that have been connected for longest come first. */
  receiversOnline: Type.Array(Type.Object({ account: AccountName, since: Timestamp })),
  /** Of them all: where there are very many, not all of them are named. */
  receiversOnlineCount: Count,
  accounts: Count,
  /** The newest come first. */
  problems: Type.Array(OperationsProblem),
  portals: Type.Array(
    Type.Object({
      portalId: Type.String(),
      /** The machine it runs on. */
      node: Type.String(),
      since: Timestamp,
      seenAt: Timestamp,
      receiversOnlineCount: Count,
    }),
  ),
})
export type Operations = Type.Static<typeof Operations>
