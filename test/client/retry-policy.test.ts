/** With fake timers: time passes only when the test advances it. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { backoffMs, sleep } from '../../src/async/index.ts'
import { NoResponseError, portalBackoff, RemoteProblem, RetryPolicy } from '../../src/client/index.ts'
import { Problem, type ProblemCode } from '../../src/protocol/index.ts'

const ANSWER_TIMEOUT_MS = 60_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

function no(code: ProblemCode, retryAfterMs: number | null = null): RemoteProblem {
  return new RemoteProblem(new Problem(code).toJSON(), retryAfterMs)
}

/** Advances time until a promise settles. @returns its result, and the elapsed time */
async function outcome<Result>(promise: Promise<Result>) {
  const startedMs = performance.now()
  const settled = promise.then(
    (result) => ({ result, error: null }),
    (error: unknown) => ({ result: null, error }),
  )
  let ended = false
  settled.then(() => {
    ended = true
  })
  while (!ended) await vi.advanceTimersToNextTimerAsync()
  return { ...(await settled), afterMs: performance.now() - startedMs }
}

describe('without any answer', () => {
  test('a request fails exactly when the answer timeout is over', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    let tries = 0
    const { error, afterMs } = await outcome(
      retryPolicy.retry(async () => {
        tries++
        throw new NoResponseError('refused')
      }),
    )
    expect(error).toBeInstanceOf(NoResponseError)
    expect(afterMs).toBeGreaterThanOrEqual(ANSWER_TIMEOUT_MS)
    expect(afterMs).toBeLessThan(ANSWER_TIMEOUT_MS + 1000)
    expect(tries).toBeGreaterThan(10)
    expect(tries, 'nor is the portal hammered').toBeLessThan(100)
  })

  test('a last try is made when the time is up', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    const triedAtMs: number[] = []
    const startedMs = performance.now()
    await outcome(
      retryPolicy.retry(async () => {
        triedAtMs.push(performance.now() - startedMs)
        throw new NoResponseError('refused')
      }),
    )
    expect(triedAtMs.at(-1)).toBeGreaterThanOrEqual(ANSWER_TIMEOUT_MS)
  })

  test('a sign of life from any request restarts the answer timeout', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    setTimeout(retryPolicy.markAlive, ANSWER_TIMEOUT_MS / 2)
    const { afterMs } = await outcome(retryPolicy.retry(() => Promise.reject(new NoResponseError('refused'))))
    expect(afterMs).toBeGreaterThanOrEqual(ANSWER_TIMEOUT_MS * 1.5)
    expect(afterMs).toBeLessThan(ANSWER_TIMEOUT_MS * 1.5 + 1000)
  })

  test('a request whose connection is always closed fails, although others get through', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    const alive = setInterval(retryPolicy.markAlive, 1000)
    let tries = 0
    const cut = (): Promise<never> => {
      tries++
      return Promise.reject(new NoResponseError('closed', { isCut: true }))
    }
    const { error, afterMs } = await outcome(retryPolicy.retry(cut))
    expect(String(error)).toMatch(/closed, \d+ times in a row, while others get through: probably a proxy/)
    expect(afterMs).toBeGreaterThanOrEqual(ANSWER_TIMEOUT_MS)
    expect(afterMs).toBeLessThan(2 * ANSWER_TIMEOUT_MS)
    expect(tries).toBeGreaterThanOrEqual(10)

    // A request that fails otherwise in between is retried as long as there are signs of life.
    tries = 0
    const mixed = (): Promise<string> => {
      tries++
      if (tries > 200) return Promise.resolve('at last')
      return Promise.reject(new NoResponseError('no answer', { isCut: tries % 2 === 0 }))
    }
    expect(await outcome(retryPolicy.retry(mixed))).toMatchObject({ result: 'at last' })
    clearInterval(alive)
  })

  test('an answer restarts the answer timeout', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    await vi.advanceTimersByTimeAsync(ANSWER_TIMEOUT_MS - 10)
    expect(await retryPolicy.retry(async () => 'answer')).toBe('answer')
    const { afterMs } = await outcome(retryPolicy.retry(() => Promise.reject(new NoResponseError('refused'))))
    expect(afterMs).toBeGreaterThanOrEqual(ANSWER_TIMEOUT_MS)
  })

  test('time without requests does not count', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    await vi.advanceTimersByTimeAsync(ANSWER_TIMEOUT_MS * 3)
    let tries = 0
    const retrying = retryPolicy.retry(async () => {
      tries++
      if (tries < 4) throw new NoResponseError('refused')
      return 'back again'
    })
    expect(await outcome(retrying)).toMatchObject({ result: 'back again' })

    await vi.advanceTimersByTimeAsync(ANSWER_TIMEOUT_MS * 3)
    const { afterMs } = await outcome(retryPolicy.retry(() => Promise.reject(new NoResponseError('refused'))))
    expect(afterMs).toBeGreaterThanOrEqual(ANSWER_TIMEOUT_MS)
    expect(afterMs).toBeLessThan(ANSWER_TIMEOUT_MS + 1000)
  })

  test('an infinite answer timeout never ends', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY })
    let tries = 0
    const retrying = retryPolicy.retry(async () => {
      tries++
      if (tries < 500) throw new NoResponseError('refused')
      return 'at last'
    })
    expect(await outcome(retrying)).toMatchObject({ result: 'at last' })
  })

  test('each failed try is reported with the pause that follows', async () => {
    const told: [string, number][] = []
    const retryPolicy = new RetryPolicy({
      answerTimeoutMs: 1000,
      onRetry: (error, pauseMs) => told.push([error.message, pauseMs]),
    })
    await outcome(retryPolicy.retry(() => Promise.reject(new NoResponseError('refused'))))
    expect(told.length).toBeGreaterThan(1)
    for (const [message, pauseMs] of told) {
      expect(message).toBe('refused')
      expect(pauseMs).toBeGreaterThan(0)
    }
  })
})

describe('an answer', () => {
  test('is returned, also after earlier failures', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    let tries = 0
    const retrying = retryPolicy.retry(async () => {
      tries++
      if (tries < 4) throw new NoResponseError('refused')
      return tries
    })
    expect(await outcome(retrying)).toMatchObject({ result: 4 })
  })

  test.each(['storage-full', 'digest-mismatching-value', 'request-invalid'] as const)(
    'that says %s is final',
    async (code) => {
      const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
      let tries = 0
      const { error, afterMs } = await outcome(
        retryPolicy.retry(async () => {
          tries++
          throw no(code)
        }),
      )
      expect(error).toMatchObject({ code })
      expect(tries).toBe(1)
      expect(afterMs).toBeLessThan(100)
    },
  )

  test('with Retry-After is waited for as long as it asks', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    const triedAtMs: number[] = []
    const { result } = await outcome(
      retryPolicy.retry(async () => {
        triedAtMs.push(performance.now())
        if (triedAtMs.length === 1) throw no('unavailable', 7000)
        return 'served'
      }),
    )
    expect(result).toBe('served')
    expect((triedAtMs[1] ?? 0) - (triedAtMs[0] ?? 0)).toBeGreaterThanOrEqual(7000)
  })

  test('with Retry-After again and again fails after the answer timeout', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    const { error, afterMs } = await outcome(retryPolicy.retry(() => Promise.reject(no('unavailable'))))
    expect(error).toMatchObject({ code: 'unavailable' })
    expect(afterMs).toBeGreaterThanOrEqual(ANSWER_TIMEOUT_MS)
  })

  test('with Retry-After: 0 does not cause a storm of requests', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: 1000 })
    let tries = 0
    await outcome(
      retryPolicy.retry(async () => {
        tries++
        throw no('unavailable', 0)
      }),
    )
    expect(tries).toBeLessThan(20)
  })

  test('that reports a mistake of this program is not tried again', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS })
    const mistake = new TypeError('x is not a function')
    expect(await outcome(retryPolicy.retry(() => Promise.reject(mistake)))).toMatchObject({ error: mistake })
  })
})

describe('aborting', () => {
  test('ends the pause at once, with the reason', async () => {
    const controller = new AbortController()
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: ANSWER_TIMEOUT_MS, signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 1000)
    const { error, afterMs } = await outcome(retryPolicy.retry(() => Promise.reject(new NoResponseError('refused'))))
    expect(error).toMatchObject({ message: 'enough' })
    expect(afterMs).toBeLessThan(1100)
  })

  test('before the first try makes no request', async () => {
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: 1000, signal: AbortSignal.abort(new Error('enough')) })
    let tries = 0
    const { error } = await outcome(
      retryPolicy.retry(async () => {
        tries++
      }),
    )
    expect(error).toMatchObject({ message: 'enough' })
    expect(tries).toBe(0)
  })

  test('a finished pause no longer listens to the signal', async () => {
    const controller = new AbortController()
    const { signal } = controller
    const removed = vi.spyOn(signal, 'removeEventListener')
    await outcome(sleep(10, signal))
    expect(removed).toHaveBeenCalled()
  })
})

test('pauses grow, within bounds, and differ at random', () => {
  const pauses = (tries: number) => Array.from({ length: 50 }, () => backoffMs(tries, portalBackoff))
  expect(Math.max(...pauses(1))).toBeLessThanOrEqual(200)
  expect(Math.min(...pauses(1))).toBeGreaterThanOrEqual(100)
  for (const tries of [10, 100, 10_000]) {
    expect(Math.min(...pauses(tries))).toBeGreaterThanOrEqual(2500)
    expect(Math.max(...pauses(tries))).toBeLessThanOrEqual(5000)
  }
  expect(new Set(pauses(5)).size).toBeGreaterThan(40)
})

test('one request may stall for a third of the answer timeout, so that there is time for another try', () => {
  expect(new RetryPolicy({ answerTimeoutMs: 30_000 }).stallTimeoutMs).toBe(10_000)
  expect(new RetryPolicy({ answerTimeoutMs: 10 }).stallTimeoutMs).toBe(250)
  expect(new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY }).stallTimeoutMs).toBe(20_000)
})
