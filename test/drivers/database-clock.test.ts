import { expect, onTestFinished, test, vi } from 'vitest'
import { type DatabaseClock, type DatabaseClockOptions, databaseClock } from '../../src/portal/ledger/database-clock.ts'

const BASE_MS = Date.UTC(2026, 10, 26)

/** A process and a database whose clocks a test sets, and a way between them that takes as long as it says. */
async function begin(settings: Partial<DatabaseClockOptions> = {}) {
  const world = {
    processMs: 5_000,
    databaseMs: BASE_MS,
    /** One way, for each question in turn: there and back. */
    ways: [] as (readonly [number, number])[],
    questions: 0,
    isGone: false,
  }
  const pass = (ms: number) => {
    world.processMs += ms
    world.databaseMs += ms
  }
  const clock: DatabaseClock = await databaseClock({
    measure: (act) =>
      act(async () => {
        world.questions++
        if (world.isGone) throw new Error('the database is gone')
        const [there, back] = world.ways.shift() ?? [0, 0]
        pass(there)
        const answer = world.databaseMs
        pass(back)
        return answer
      }),
    monotonicMs: () => world.processMs,
    everyMs: 5,
    ...settings,
  })
  onTestFinished(() => clock.close())
  /** Waits until the database has been asked anew, from here on. */
  const asked = async () => {
    const { questions } = world
    await vi.waitUntil(() => world.questions >= questions + 10, { timeout: 10_000, interval: 1 })
  }
  return { world, clock, pass, asked }
}

test('the clock says what the database says, and goes on by itself', async () => {
  const { world, clock, pass } = await begin({ everyMs: 1e6 })
  expect(clock.now()).toBe(BASE_MS)
  pass(1234.4)
  expect(clock.now()).toBe(Math.round(world.databaseMs))
  expect(world.questions).toBe(5)
})

test('the fastest answer counts, and half of its way', async () => {
  const ways = [
    [900, 0],
    [0, 900],
    [10, 14],
    [700, 20],
    [300, 300],
  ] as const
  const world = { processMs: 0, databaseMs: BASE_MS, question: 0 }
  const clock = await databaseClock({
    measure: (act) =>
      act(async () => {
        const [there = 0, back = 0] = ways[world.question++] ?? []
        world.processMs += there
        world.databaseMs += there
        const answer = world.databaseMs
        world.processMs += back
        world.databaseMs += back
        return answer
      }),
    monotonicMs: () => world.processMs,
  })
  onTestFinished(() => clock.close())
  expect(Math.abs(clock.now() - world.databaseMs)).toBe(2)
})

test('a clock that drifts is put right, forwards at once', async () => {
  const { world, clock, asked } = await begin()
  clock.now()
  world.databaseMs += 3_000
  await asked()
  expect(clock.now()).toBe(BASE_MS + 3_000)
})

test('it never runs backwards: it stands until the time has come again', async () => {
  const { world, clock, pass, asked } = await begin()
  pass(2_000)
  const before = clock.now()
  world.databaseMs -= 1_500
  await asked()
  expect(clock.now()).toBe(before)
  pass(1_000)
  expect(clock.now()).toBe(before)
  pass(600)
  expect(clock.now()).toBe(before + 100)
})

test('while the database is gone it goes on, and is put right afterwards', async () => {
  const { world, clock, pass, asked } = await begin()
  world.isGone = true
  await vi.waitUntil(() => world.questions > 12, { timeout: 10_000, interval: 1 })
  pass(1_000)
  expect(clock.now()).toBe(BASE_MS + 1_000)
  world.isGone = false
  world.databaseMs += 500
  await asked()
  expect(clock.now()).toBe(BASE_MS + 1_500)
})

test('without a first answer there is no clock', async () => {
  const measure = () => Promise.reject(new Error('the database is gone'))
  await expect(databaseClock({ measure })).rejects.toThrow('the database is gone')
})
