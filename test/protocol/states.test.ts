import { describe, expect, test } from 'vitest'
import {
  assertDeliveryMove,
  assertTransferMove,
  type DeliveryState,
  deliveryStates,
  isFinalDelivery,
  isFinalTransfer,
  type TransferState,
  transferStates,
} from '../../src/protocol/index.ts'

/** A copy of the tables, so that a change of the source needs a change here, too. */
const transfers = [
  'receiving -> receiving',
  'receiving -> stored',
  'receiving -> refused',
  'receiving -> cancelled',
  'receiving -> expired',
  'stored -> ended',
]
const deliveries = [
  'waiting -> offered',
  'waiting -> failed',
  'offered -> waiting',
  'offered -> offered',
  'offered -> delivered',
  'offered -> failed',
]

function allowed<State>(states: readonly State[], assertMove: (from: State, to: State) => void): string[] {
  return states.flatMap((from) =>
    states.flatMap((to) => {
      try {
        assertMove(from, to)
        return [`${from} -> ${to}`]
      } catch (error) {
        expect(error).toMatchObject({ message: expect.stringContaining(`cannot go from ${from} to ${to}`) })
        return []
      }
    }),
  )
}

describe('a transfer', () => {
  test('moves as the protocol says, and in no other way', () => {
    expect(allowed<TransferState>(transferStates, assertTransferMove).sort()).toEqual([...transfers].sort())
  })

  test('is final where no move leads on', () => {
    expect(transferStates.filter(isFinalTransfer).sort()).toEqual(['cancelled', 'ended', 'expired', 'refused'])
  })
})

describe('a delivery', () => {
  test('moves as the protocol says, and in no other way', () => {
    expect(allowed<DeliveryState>(deliveryStates, assertDeliveryMove).sort()).toEqual([...deliveries].sort())
  })

  test('is final where no move leads on', () => {
    expect(deliveryStates.filter(isFinalDelivery).sort()).toEqual(['delivered', 'failed'])
  })
})
