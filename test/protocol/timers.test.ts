/** Times from outside are brought within the limits of timers. */
import { expect, test } from 'vitest'
import { intervalMs, timerMs, timerMsMax, within } from '../../src/protocol/index.ts'

test('a time is never more than a timer holds, and never less than nothing', () => {
  expect([5, 0, -1, 2 ** 31 - 1, 2 ** 31, 9e15, Number.POSITIVE_INFINITY, Number.NaN].map(timerMs)).toEqual([
    ...[5, 0, 0, timerMsMax],
    ...[timerMsMax, timerMsMax, timerMsMax, timerMsMax],
  ])
})

test('what is done again and again is done neither without a pause nor never', () => {
  expect([9e15, 0, 30_000, Number.NaN].map(intervalMs)).toEqual([86_400_000, 30, 30_000, 30])
  expect([within(1, 0, 3), within(1, 2, 3), within(1, 4, 3)]).toEqual([1, 2, 3])
})
