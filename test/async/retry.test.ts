/** With fake timers: time passes only when the test advances it. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { backoffMs, IdleTimeout, retry, sleep, withDeadline } from '../../src/async/index.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  expect(vi.getTimerCount(), 'a timer was left behind').toBe(0)
  vi.useRealTimers()
})

test('a sleep that ended, or was aborted, leaves no timer or listener behind', async () => {
  const ending = new AbortController()
  const removed = vi.spyOn(ending.signal, 'removeEventListener')
  const over = sleep(10, ending.signal)
  await vi.advanceTimersByTimeAsync(10)
  await over
  expect(removed).toHaveBeenCalled()
  const aborted = sleep(10, ending.signal)
  ending.abort(new Error('enough'))
  await expect(aborted).rejects.toThrow('enough')
  await expect(sleep(10, ending.signal)).rejects.toThrow('enough')
})

test('back-off doubles up to its maximum, with the configured random share', () => {
  const bounds = { minMs: 100, maxMs: 1000 }
  expect([1, 2, 3, 4, 5, 2000].map((tries) => backoffMs(tries, { ...bounds, jitter: 0 }))).toEqual([
    100, 200, 400, 800, 1000, 1000,
  ])
  const drawn = Array.from({ length: 200 }, () => backoffMs(2, bounds))
  expect(Math.min(...drawn)).toBeGreaterThanOrEqual(100)
  expect(Math.max(...drawn)).toBeLessThanOrEqual(200)
  expect(new Set(drawn).size).toBeGreaterThan(100)
  const full = Array.from({ length: 200 }, () => backoffMs(2, { ...bounds, jitter: 1 }))
  expect(Math.min(...full)).toBeLessThan(100)
})

test('a failed act is tried again after the requested pause, until it succeeds', async () => {
  let count = 0
  const delays: [unknown, number][] = []
  const retrying = retry(
    () => {
      count++
      if (count < 3) throw new Error(`failure ${count}`)
      return count
    },
    {
      delayMs: (error, tries) => {
        delays.push([error, tries])
        return 100
      },
    },
  )
  await vi.advanceTimersByTimeAsync(199)
  expect(count).toBe(2)
  await vi.advanceTimersByTimeAsync(1)
  expect(await retrying).toBe(3)
  expect(delays).toEqual([
    [new Error('failure 1'), 1],
    [new Error('failure 2'), 2],
  ])
})

test('a permanent error is thrown at once, as it is or as another error', async () => {
  const error = new Error('no')
  const failing = () => Promise.reject(error)
  const rethrow = (failure: unknown): never => {
    throw failure
  }
  await expect(retry(failing, { delayMs: rethrow })).rejects.toBe(error)
})

test('an abort ends the pause with its reason, and no further try is made', async () => {
  const ending = new AbortController()
  let count = 0
  const retrying = retry(
    async () => {
      count++
      throw new Error('no')
    },
    { delayMs: () => 1000, signal: ending.signal },
  )
  await vi.advanceTimersByTimeAsync(10)
  ending.abort(new Error('enough'))
  await expect(retrying).rejects.toThrow('enough')
  expect(count).toBe(1)
})

test('a promise that exceeds its deadline is rejected, and its later error is ignored', async () => {
  expect(await withDeadline(Promise.resolve('in time'), 10, () => null)).toBe('in time')
  await expect(withDeadline(Promise.reject(new Error('broken')), 10, () => null)).rejects.toThrow('broken')
  const slow = Promise.withResolvers<string>()
  const late = withDeadline(slow.promise, 10, () => null)
  await vi.advanceTimersByTimeAsync(10)
  expect(await late).toBe(null)
  slow.reject(new Error('nobody hears this'))
  await vi.advanceTimersByTimeAsync(10)
})

test('an idle timeout fires once, when it was not refreshed in time', async () => {
  const idle = vi.fn()
  const timeout = new IdleTimeout(100, idle)
  await vi.advanceTimersByTimeAsync(90)
  timeout.refresh()
  await vi.advanceTimersByTimeAsync(99)
  expect(idle).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  expect(idle).toHaveBeenCalledOnce()
  await vi.advanceTimersByTimeAsync(1000)
  expect(idle).toHaveBeenCalledOnce()
})

test('an idle timeout does not count the time of a pause', async () => {
  const idle = vi.fn()
  using timeout = new IdleTimeout(100, idle)
  timeout.pause()
  await vi.advanceTimersByTimeAsync(1000)
  timeout.refresh()
  await vi.advanceTimersByTimeAsync(99)
  expect(idle).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  expect(idle).toHaveBeenCalledOnce()
})

test('a disposed idle timeout never fires', async () => {
  const idle = vi.fn()
  let late: IdleTimeout
  {
    using timeout = new IdleTimeout(100, idle)
    late = timeout
  }
  late.pause()
  late.refresh()
  await vi.advanceTimersByTimeAsync(1000)
  expect(idle).not.toHaveBeenCalled()
})
