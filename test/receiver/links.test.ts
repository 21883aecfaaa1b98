/** With fake timers. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Links } from '../../src/receiver/fetch-parts.ts'

const MINUTE_MS = 60_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

test('a receiver that cannot follow links requests none', () => {
  expect(new Links(false).areWanted).toBe(false)
})

test('after three failures in a row there is a pause, and after it one more failure is enough', () => {
  const links = new Links(true)
  links.failed()
  links.failed()
  expect(links.areWanted).toBe(true)
  links.failed()
  expect(links.areWanted).toBe(false)
  vi.advanceTimersByTime(9 * MINUTE_MS)
  expect(links.areWanted).toBe(false)
  vi.advanceTimersByTime(MINUTE_MS)
  expect(links.areWanted).toBe(true)
  links.failed()
  expect(links.areWanted).toBe(false)
})

test('a part that arrives resets the failures before it', () => {
  const links = new Links(true)
  for (let times = 0; times < 5; times++) {
    links.failed()
    links.failed()
    links.worked()
  }
  expect(links.areWanted).toBe(true)
})
