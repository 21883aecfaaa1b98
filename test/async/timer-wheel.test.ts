import { expect, test } from 'vitest'
import { TimerWheel } from '../../src/async/index.ts'

const EVERY_MS = 200
const SLOTS = 10
const TICK_MS = EVERY_MS / SLOTS

/** Resolves with the times of the first calls of a function, in milliseconds since it was added. */
function callsOf(wheel: TimerWheel, count: number): Promise<number[]> {
  const { promise, resolve } = Promise.withResolvers<number[]>()
  const startedAtMs = performance.now()
  const calls: number[] = []
  const adding = wheel.add(() => {
    calls.push(performance.now() - startedAtMs)
    if (calls.length < count) return
    adding[Symbol.dispose]()
    resolve(calls)
  })
  return promise
}

test('a function is called once in each interval, also when another one is added between', async () => {
  const wheel = new TimerWheel(EVERY_MS, SLOTS)
  const first = callsOf(wheel, 3)
  const atMs = performance.now()
  await callsOf(wheel, 1)
  const second = callsOf(wheel, 2)
  const calls = [...(await first), ...(await second)]
  // A timer never comes early; on a busy machine it comes late.
  expect(Math.min(...calls)).toBeGreaterThanOrEqual(EVERY_MS - 2 * TICK_MS)
  expect(performance.now() - atMs).toBeGreaterThanOrEqual(3 * (EVERY_MS - TICK_MS) - 1)
})

test('functions that are added at the same time are called in groups', async () => {
  const wheel = new TimerWheel(EVERY_MS, SLOTS)
  const turns = new Map<number, number>()
  let turn = 0
  const count = 1000
  const { promise, resolve } = Promise.withResolvers<void>()
  let called = 0
  const adding = Array.from({ length: count }, () =>
    wheel.add(() => {
      // All calls of a turn of the event loop are one group.
      turns.set(turn, (turns.get(turn) ?? 0) + 1)
      setImmediate(() => turn++)
      if (++called === count) resolve()
    }),
  )
  await promise
  for (const one of adding) one[Symbol.dispose]()
  expect(Math.max(...turns.values())).toBeLessThan(count / 2)
  expect(turns.size).toBeGreaterThan(2)
})

test('after the last function is gone no timer keeps the process', async () => {
  const wheel = new TimerWheel(EVERY_MS, SLOTS)
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const [one, other] = [wheel.add(() => {}), wheel.add(() => {})]
  one[Symbol.dispose]()
  one[Symbol.dispose]()
  expect(timers()).toBe(before + 1)
  other[Symbol.dispose]()
  expect(timers()).toBe(before)
})
