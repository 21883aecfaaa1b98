/** Of the connections of one receiving process only the newest stays, on whichever node they are. */
import pino from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Presence } from '../../src/portal/presence.ts'
import { localSignals, type Signals } from '../../src/portal/signals/index.ts'
import { postgresSignals } from '../../src/portal/signals/postgres.ts'
import { Gate } from '../servers/gate.ts'
import { testDatabase } from '../servers/postgres.ts'

const soon = { timeout: 10_000, interval: 20 }
const topic = 'takeover'

/** A connection of the one receiving process there is. */
function connect(signals: Signals, wake = (): void => {}): Presence {
  const present = new Presence(signals, topic, wake)
  onTestFinished(() => present[Symbol.dispose]())
  return present
}

/** A node of a portal. Resolves when it hears the others. */
async function node(url: string): Promise<Signals> {
  const signals = await postgresSignals({ url, log: pino({ level: 'silent' }) })
  onTestFinished(() => signals[Symbol.asyncDispose]())
  await new Promise<void>((resolve) => signals.subscribe('begun', () => {}, resolve))
  return signals
}

test('in one process the newest ends all others at once', () => {
  const signals = localSignals()
  const wake = vi.fn()
  const [first, second] = [connect(signals, wake), connect(signals)]
  expect([first.isOver, second.isOver, wake.mock.calls.length]).toEqual([true, false, 1])
  const third = connect(signals)
  expect([second.isOver, third.isOver]).toEqual([true, false])
})

test('the newest ends those on other nodes', async () => {
  const { url } = await testDatabase()
  const [here, there] = [await node(url), await node(url)]
  const older = connect(here)
  const newer = connect(there)
  await vi.waitFor(() => expect(older.isOver).toBe(true), soon)
  const newest = connect(here)
  await vi.waitFor(() => expect(newer.isOver).toBe(true), soon)
  expect(newest.isOver).toBe(false)
})

test.each(['older', 'newer'])(
  'the older ends when its node, or that of the newer, was cut off meanwhile: the %s',
  async (which) => {
    const { url } = await testDatabase()
    await using gate = await Gate.open(Number(new URL(url).port))
    const cutOff = await node(gate.through(url))
    const other = await node(url)
    let hasGap = false
    cutOff.subscribe(
      'watch',
      () => {},
      () => {
        hasGap = true
      },
    )
    const [olderNode, newerNode] = which === 'older' ? [cutOff, other] : [other, cutOff]
    const older = connect(olderNode)
    gate.close()
    // Of two of the same millisecond chance says which is newer.
    const connectedAtMs = Date.now()
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(connectedAtMs), { interval: 1 })
    const newer = connect(newerNode)
    // It cannot have heard of the other one.
    expect(older.isOver).toBe(false)
    gate.reopen()
    await vi.waitFor(() => expect(older.isOver).toBe(true), soon)
    expect([hasGap, newer.isOver]).toEqual([true, false])
  },
)
