/** Checks that must hold after every command. */
import { expect } from 'vitest'
import {
  deliveryStates,
  isFinalTransfer,
  type Notification,
  type TransferState,
  transferMoves,
  transferStates,
} from '../../../src/protocol/index.ts'
import { type Model, type ModelTransfer, shortOf } from './model.ts'
import { files, type System } from './system.ts'

const firstKinds: readonly string[] = ['stored', 'resend', 'refused']

/** Whether the state table allows a way from one state to another, in any number of moves. */
function leadsTo(from: TransferState, to: TransferState): boolean {
  const reached = new Set<TransferState>([from])
  for (const state of reached) for (const next of transferMoves[state]) reached.add(next)
  return reached.has(to)
}

function noneOf<State extends string>(states: readonly State[]): Record<State, number> {
  return Object.fromEntries(states.map((state) => [state, 0])) as Record<State, number>
}

export class Checks {
  /** The state of each transfer at the last check. */
  readonly #seen = new Map<string, TransferState>()

  /** @param isSwept whether the sweeper has just processed everything that is due */
  async check(model: Model, system: System, { isSwept = false } = {}): Promise<void> {
    const { ledger } = system.context
    const census = { transfers: noneOf(transferStates), deliveries: noneOf(deliveryStates) }
    let openTransfers = 0
    let openBytes = 0
    for (const transfer of model.transfers) {
      await this.#checkTransfer(transfer, system, isSwept)
      census.transfers[transfer.state] += 1
      for (const { state } of transfer.deliveries.values()) census.deliveries[state] += 1
      if (isFinalTransfer(transfer.state)) continue
      openTransfers += 1
      openBytes += files[transfer.fileIndex]?.sizeBytes ?? 0
    }
    expect(await ledger.totals()).toEqual({ openTransfers, openBytes })
    expect(await ledger.census()).toMatchObject({ ...census, openBytes })
  }

  async #checkTransfer(transfer: ModelTransfer, system: System, isSwept: boolean): Promise<void> {
    const { ledger, store } = system.context
    const { transferId } = transfer
    const real = await ledger.transfer(transferId)
    if (real === null) throw new Error('the ledger has forgotten a transfer')
    const before = this.#seen.get(transferId) ?? 'receiving'
    if (!leadsTo(before, real.state)) throw new Error(`a transfer went from ${before} to ${real.state}`)
    this.#seen.set(transferId, real.state)

    const events = await notificationsOf(system, transferId)
    checkNotifications(events, real.attempt)
    const held = await store.list(real)
    if (real.state === 'receiving') expect(new Map(held)).toEqual(transfer.held)
    if (real.state === 'stored') {
      expect([...held.keys()].sort((a, b) => a - b)).toEqual(files[transfer.fileIndex]?.parts.map((_, at) => at + 1))
    }
    if (isSwept && isFinalTransfer(real.state)) expect(held.size, 'parts of what is over').toBe(0)

    expect({
      state: real.state,
      attempt: real.attempt,
      told: events.map(shortOf),
      deliveries: real.deliveries.map((one) => ({
        receiver: one.receiver,
        state: one.state,
        offers: one.offers,
        resends: one.resends,
        code: one.state === 'failed' ? one.problem.code : null,
      })),
    }).toEqual({
      state: transfer.state,
      attempt: transfer.attempt,
      told: transfer.told,
      deliveries: [...transfer.deliveries]
        .sort(([a], [b]) => system.account(a).accountId - system.account(b).accountId)
        .map(([receiver, { state, offers, resends, code }]) => ({
          receiver,
          state,
          offers,
          resends,
          code: state === 'failed' ? code : null,
        })),
    })
  }
}

export async function notificationsOf(system: System, transferId: string): Promise<Notification[]> {
  const { accountId } = system.account('alice')
  return system.context.ledger.events(accountId, { after: '0', limit: 500, transferId })
}

/** Checks the promises about notifications against the notification log alone. */
function checkNotifications(events: readonly Notification[], attempt: number): void {
  const firsts = events.filter((one) => firstKinds.includes(one.notification))
  const seconds = events.filter((one) => !firstKinds.includes(one.notification))
  expect(
    firsts.map((one) => one.attempt),
    'one first notification for each attempt, in order',
  ).toEqual(firsts.map((_, index) => index + 1))
  expect(
    firsts.slice(0, -1).every((one) => one.notification === 'resend'),
    'nothing after the last word',
  ).toBe(true)
  const last = firsts.at(-1)
  const isOver = last !== undefined && last.notification !== 'resend'
  expect(firsts.length).toBe(isOver ? attempt : attempt - 1)

  const told = seconds.map((one) => ('receiver' in one ? one.receiver : ''))
  expect(new Set(told).size, 'one second notification for each receiver at most').toBe(told.length)
  const storedAt = events.findIndex((one) => one.notification === 'stored')
  for (const second of seconds) expect(storedAt >= 0 && storedAt < events.indexOf(second)).toBe(true)
}
