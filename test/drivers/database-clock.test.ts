import { expect, onTestFinished, test, vi } from 'vitest'
import { type DatabaseClock, type DatabaseClockOptions, databaseClock } from '../../src/portal/ledger/database-clock.ts'

const BASE_MS = Date.UTC(2026, 10, 26)

/** A process and a database with clocks and latencies that the test sets. */
async function begin(settings: Partial<DatabaseClockOptions> = {}) {
  const world = {
    processMs: 5_000,
    databaseMs: BASE_MS,
    /** The latencies of each question: there and back. */
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
  /** Waits until the database has been asked again. */
  const asked = async () => {
    const { questions } = world
    await vi.waitUntil(() => world.questions >= questions + 10, { timeout: 90_000, interval: 1 })
  }
  return { world, clock, pass, asked }
}

test('the clock starts at the time of the database, and advances by itself', async () => {
  const { world, clock, pass } = await begin({ everyMs: 1e6 })
  expect(clock.now()).toBe(BASE_MS)
  pass(1234.4)
  expect(clock.now()).toBe(Math.round(world.databaseMs))
  expect(world.questions).toBe(5)
})

test('the fastest answer counts, less half of its round trip', async () => {
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

test('a clock that drifts is corrected, forwards at once', async () => {
  const { world, clock, asked } = await begin()
  clock.now()
  world.databaseMs += 3_000
  await asked()
  expect(clock.now()).toBe(BASE_MS + 3_000)
})

test('a clock that is a little ahead stands still until the time has caught up, and never runs backwards', async () => {
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

test('a database clock that was set back by two hours is followed at once', async () => {
  const { world, clock, pass, asked } = await begin()
  clock.now()
  world.databaseMs -= 2 * 3_600_000
  await asked()
  expect(clock.now()).toBe(BASE_MS - 2 * 3_600_000)
  pass(1_000)
  expect(clock.now()).toBe(BASE_MS - 2 * 3_600_000 + 1_000)
})

test('a time that the ledger has just returned counts at once', async () => {
  const { clock, pass } = await begin({ everyMs: 1e6 })
  pass(1_000)
  clock.adopt(BASE_MS + 90_000)
  pass(500)
  expect(clock.now()).toBe(BASE_MS + 90_500)
})

test('while the database is away the clock advances by itself, and is corrected afterwards', async () => {
  const { world, clock, pass, asked } = await begin()
  world.isGone = true
  await vi.waitUntil(() => world.questions > 12, { timeout: 90_000, interval: 1 })
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
