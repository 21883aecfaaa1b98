/** The portal keeps only the newest connection of one receiving process, on any node. Of two processes it keeps the first. */
import pino from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { ConnectionTakeover } from '../../../src/portal/deliveries/connection-takeover.ts'
import { localSignals, type Signals } from '../../../src/portal/signals/index.ts'
import { postgresSignals } from '../../../src/portal/signals/postgres.ts'
import { Gate } from '../../servers/gate.ts'
import { testDatabase } from '../../servers/postgres.ts'

const soon = { timeout: 90_000, interval: 20 }
const topic = 'takeover'

/** Opens a connection of the only receiving process. */
function connect(
  signals: Signals,
  wake = (): void => {},
  processId: string | null = null,
  options: { readonly contestMs?: number } = {},
): ConnectionTakeover {
  const present = new ConnectionTakeover(signals, topic, { atMs: Date.now(), processId, ...options }, wake)
  onTestFinished(() => present[Symbol.dispose]())
  return present
}

/** Starts a node's signals. Resolves when it receives those of the other nodes. */
async function node(url: string): Promise<Signals> {
  const signals = await postgresSignals({ url, log: pino({ level: 'silent' }) })
  onTestFinished(() => signals[Symbol.asyncDispose]())
  await new Promise<void>((resolve) => signals.subscribe('begun', () => {}, resolve))
  return signals
}

test('in one process the newest connection ends all others at once', () => {
  const signals = localSignals()
  const wake = vi.fn()
  const [first, second] = [connect(signals, wake), connect(signals)]
  expect([first.isOver, second.isOver, wake.mock.calls.length]).toEqual([true, false, 1])
  const third = connect(signals)
  expect([second.isOver, third.isOver]).toEqual([true, false])
})

test('the newest connection ends those on other nodes', async () => {
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
    const begunAtMs = Date.now()
    gate.close()
    // The portal orders connections by the millisecond in which they began.
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(begunAtMs), soon)
    const newer = connect(newerNode)
    // The older connection cannot know of the newer one yet.
    expect(older.isOver).toBe(false)
    gate.reopen()
    await vi.waitFor(() => expect(older.isOver).toBe(true), soon)
    expect([hasGap, newer.isOver]).toEqual([true, false])
  },
)

/** Waits for the next millisecond, because the portal orders connections by the millisecond. */
async function later(): Promise<void> {
  const nowMs = Date.now()
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(nowMs), soon)
}

test('of two live processes the second is refused, and the first one is notified', async () => {
  const signals = localSignals()
  const first = connect(signals, undefined, 'process-1')
  await later()
  const second = connect(signals, undefined, 'process-2')
  expect([first.isOver, first.notice?.type, first.notice?.problem.code]).toEqual([true, 'contested', 'instance-in-use'])
  expect([second.isOver, second.contestedMs > 0]).toEqual([false, true])
  await later()
  const firstAgain = connect(signals, undefined, 'process-1')
  expect([second.isOver, second.notice?.type, second.notice?.problem.code]).toEqual([
    true,
    'refused',
    'instance-in-use',
  ])
  expect([firstAgain.isOver, firstAgain.contestedMs]).toEqual([false, 0])
})

test('a process that connects without a rival does not wait', () => {
  const signals = localSignals()
  connect(signals, undefined, 'process-1')[Symbol.dispose]()
  const second = connect(signals, undefined, 'process-2')
  expect([second.isOver, second.contestedMs]).toEqual([false, 0])
})

test('a process that does not come back counts as dead: the newer one continues, and counts as the first from then on', async () => {
  const signals = localSignals()
  connect(signals, undefined, 'process-1')
  await later()
  const second = connect(signals, undefined, 'process-2')
  await vi.waitFor(() => expect(second.contestedMs).toBe(0), soon)
  expect(second.isOver).toBe(false)
  const late = connect(signals, undefined, 'process-1')
  expect([second.notice?.type, late.contestedMs > 0]).toEqual(['contested', true])
})

test('a receiver that does not name its process ends its older connection, and notifies nobody', async () => {
  const signals = localSignals()
  for (const [older, newer] of [
    [null, 'process-1'],
    ['process-1', null],
    ['process-1', 'process-1'],
  ] as const) {
    const present = connect(signals, undefined, older)
    await later()
    const next = connect(signals, undefined, newer)
    expect([present.isOver, present.notice, next.isOver, next.contestedMs]).toEqual([true, null, false, 0])
    next[Symbol.dispose]()
  }
})

test('the second process is refused, too, where the two are connected to different nodes', async () => {
  const { url } = await testDatabase()
  const [here, there] = [await node(url), await node(url)]
  // On a busy machine a signal can take seconds.
  const patient = { contestMs: 60_000 }
  // Signals reach other nodes in batches. The test begins the second connection once the other node knows the first.
  const heard = vi.fn()
  there.subscribe(topic, heard, () => {})
  const first = connect(here, undefined, 'process-1')
  await vi.waitFor(() => expect(heard).toHaveBeenCalled(), soon)
  await later()
  const second = connect(there, undefined, 'process-2', patient)
  await vi.waitFor(() => expect([first.notice?.type, second.contestedMs > 0]).toEqual(['contested', true]), soon)
  await later()
  const firstAgain = connect(here, undefined, 'process-1')
  await vi.waitFor(() => expect(second.notice?.type).toBe('refused'), soon)
  expect([firstAgain.isOver, firstAgain.contestedMs]).toEqual([false, 0])
})
