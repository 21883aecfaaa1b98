/**
 * The states of a transfer and of a delivery, and the only moves between them. Two methods of the ledger make every move
 * and check it against these tables; a move that is not listed is a programming error.
 *
 *     transfer:  receiving -> stored -> ended         receiving -> refused | cancelled | expired
 *     delivery:  waiting <-> offered (lease) -> delivered | failed
 *
 * `receiving -> receiving` starts a new attempt after a `resend`. `offered -> offered` repeats an offer under a new lease,
 * or keeps it after the receiver asked for parts again.
 */
export const transferMoves = {
  receiving: ['receiving', 'stored', 'refused', 'cancelled', 'expired'],
  stored: ['ended'],
  ended: [],
  refused: [],
  cancelled: [],
  expired: [],
} as const

const deliveryMoves = {
  waiting: ['offered', 'failed'],
  offered: ['waiting', 'offered', 'delivered', 'failed'],
  delivered: [],
  failed: [],
} as const

export type TransferState = keyof typeof transferMoves
export type DeliveryState = keyof typeof deliveryMoves

export const transferStates = Object.keys(transferMoves) as TransferState[]
export const deliveryStates = Object.keys(deliveryMoves) as DeliveryState[]

/** Whether a transfer is over, so that its parts can be removed. */
export function isFinalTransfer(state: TransferState): boolean {
  return transferMoves[state].length === 0
}

/** Whether a delivery has its outcome. */
export function isFinalDelivery(state: DeliveryState): boolean {
  return deliveryMoves[state].length === 0
}

/** @throws Error when the table of transfers does not allow the move */
export function assertTransferMove(from: TransferState, to: TransferState): void {
  const allowed: readonly TransferState[] = transferMoves[from]
  if (!allowed.includes(to)) throw new Error(`a transfer cannot go from ${from} to ${to}`)
}

/** @throws Error when the table of deliveries does not allow the move */
export function assertDeliveryMove(from: DeliveryState, to: DeliveryState): void {
  const allowed: readonly DeliveryState[] = deliveryMoves[from]
  if (!allowed.includes(to)) throw new Error(`a delivery cannot go from ${from} to ${to}`)
}
