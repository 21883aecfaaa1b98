/** Times from outside are clamped to the limits of timers. */
import { expect, test } from 'vitest'
import { intervalMs, timerMs, timerMsMax, within } from '../../src/protocol/index.ts'

test('a time is never larger than a timer allows, and never negative', () => {
  expect([5, 0, -1, 2 ** 31 - 1, 2 ** 31, 9e15, Number.POSITIVE_INFINITY, Number.NaN].map(timerMs)).toEqual([
    ...[5, 0, 0, timerMsMax],
    ...[timerMsMax, timerMsMax, timerMsMax, timerMsMax],
  ])
})

test('a repeated timer has a minimum and a maximum interval', () => {
  expect([9e15, 0, 30_000, Number.NaN].map(intervalMs)).toEqual([86_400_000, 30, 30_000, 30])
  expect([within(1, 0, 3), within(1, 2, 3), within(1, 4, 3)]).toEqual([1, 2, 3])
})
