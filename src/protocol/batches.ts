/**
 * Batches: many small files, or many answers of a receiver, in one request. Each item gets the answer that it would get in a request
 * of its own.
 */
import * as Type from 'typebox'
import { batchItemsMax } from './limits.ts'
import { Disposition, Notification, ProblemBody, TransferId, WholeTransfer } from './messages.ts'
import { deliveryStates } from './states.ts'

const closed = { additionalProperties: false } as const

/** The JSON before each content in the body of `POST /v1/transfers/batch`. */
export const BatchedTransfer = Type.Object({ transferId: TransferId, ...WholeTransfer.properties }, closed)
export type BatchedTransfer = Type.Static<typeof BatchedTransfer>

/** Answer to a batch of files, with one answer for each file, in their order. */
export const BatchAnswers = Type.Object({
  answers: Type.Array(
    Type.Union([
      Type.Object({ transferId: TransferId, notification: Notification }),
      Type.Object({ transferId: TransferId, problem: ProblemBody }),
    ]),
  ),
})
export type BatchAnswers = Type.Static<typeof BatchAnswers>

/** Body of `POST /v1/inbox/dispositions`: several answers of a receiver. */
export const BatchedDispositions = Type.Object(
  {
    dispositions: Type.Array(Type.Object({ transferId: TransferId, answer: Disposition }, closed), {
      minItems: 1,
      maxItems: batchItemsMax,
    }),
  },
  closed,
)
export type BatchedDispositions = Type.Static<typeof BatchedDispositions>

/** Answer to several dispositions, with one answer for each, in their order. */
export const DispositionResults = Type.Object({
  answers: Type.Array(
    Type.Union([
      Type.Object({ transferId: TransferId, state: Type.Enum(deliveryStates) }),
      Type.Object({ transferId: TransferId, problem: ProblemBody }),
    ]),
  ),
})
export type DispositionResults = Type.Static<typeof DispositionResults>
