/** Messages that only inform people: the deliveries of a receiver, and the state of the whole portal. */
import * as Type from 'typebox'
import { AccountName, Metadata, ProblemBody, RequestOfTransfer, Timestamp, TransferId } from './messages.ts'
import { deliveryStates, transferStates } from './states.ts'

const Count = Type.Integer({ minimum: 0 })

/** A delivery as its receiver sees it. It waits, or was offered at some time. */
export const ReceivedDelivery = Type.Object({
  transferId: TransferId,
  from: AccountName,
  /** The metadata of the offer. Of the wrapped keys it has only the receiver's. */
  metadata: Metadata,
  sizeBytes: Count,
  /** The same as in the status of a transfer. */
  isSizeKnown: Type.Optional(Type.Boolean()),
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
  /** When it was first offered. */
  offeredAt: Type.Optional(Timestamp),
  /** When it was delivered, or failed. */
  endedAt: Type.Optional(Timestamp),
  /** Only from a sending guest. */
  request: Type.Optional(RequestOfTransfer),
})
export type ReceivedDelivery = Type.Static<typeof ReceivedDelivery>

/** Answer of `GET /v1/deliveries`; `before` is where the next page starts. */
export const DeliveryPage = Type.Object({
  deliveries: Type.Array(ReceivedDelivery),
  before: Type.Union([TransferId, Type.Null()]),
})
export type DeliveryPage = Type.Static<typeof DeliveryPage>

/** Figures of one minute, of all portals together. */
export const OperationsMinute = Type.Object({
  /** When the minute began. */
  at: Timestamp,
  storedBytes: Count,
  deliveredBytes: Count,
  storedCount: Count,
  deliveredCount: Count,
})
export type OperationsMinute = Type.Static<typeof OperationsMinute>

/** A notification with a problem. Of a receiver's own words only the code is shown. */
export const OperationsProblem = Type.Object({
  at: Timestamp,
  transferId: TransferId,
  from: AccountName,
  /** Null for the first hop. */
  receiver: Type.Union([AccountName, Type.Null()]),
  notification: Type.String(),
  code: Type.String(),
  title: Type.String(),
})
export type OperationsProblem = Type.Static<typeof OperationsProblem>

/** Written out, because `Type.Record` would make the page load half of TypeBox. */
const countsOf = <State extends string>(states: readonly State[]) =>
  Type.Object(Object.fromEntries(states.map((state) => [state, Count])) as Record<State, typeof Count>)

/** Answer of `GET /v1/operations`, for operators only. */
export const Operations = Type.Object({
  at: Timestamp,
  storage: Type.Object({
    /** The sum of all transfers that have not ended. */
    usedBytes: Count,
    limitBytes: Type.Union([Count, Type.Null()]),
    /** Null where the store cannot know. */
    freeBytes: Type.Union([Count, Type.Null()]),
  }),
  /** The number of remembered transfers in each state. */
  transfers: countsOf(transferStates),
  deliveries: countsOf(deliveryStates),
  /** The last sixty minutes, oldest first; the last one is still running. */
  throughput: Type.Array(OperationsMinute),
  /** Sorted by connection time, the oldest first. */
  receiversOnline: Type.Array(Type.Object({ account: AccountName, since: Timestamp })),
  /** The number of all of them. The list above is cut when there are very many. */
  receiversOnlineCount: Count,
  accounts: Count,
  /** Guests whose tokens are valid, and open requests for files. A portal that does not know guests says nothing. */
  guests: Type.Optional(Type.Object({ receiving: Count, sending: Count, requests: Count })),
  /** Transfers on their way to the portal that later requests may continue. A portal that does not know such uploads says nothing. */
  uploads: Type.Optional(Type.Object({ resumable: Count })),
  /** Webhooks by state, and messages to them without an outcome. A portal that does not know webhooks says nothing. */
  webhooks: Type.Optional(Type.Object({ active: Count, failing: Count, disabled: Count, waiting: Count })),
  /** The newest come first. */
  problems: Type.Array(OperationsProblem),
  portals: Type.Array(
    Type.Object({
      portalId: Type.String(),
      /** The machine that the portal runs on. */
      node: Type.String(),
      since: Timestamp,
      seenAt: Timestamp,
      receiversOnlineCount: Count,
    }),
  ),
})
export type Operations = Type.Static<typeof Operations>
