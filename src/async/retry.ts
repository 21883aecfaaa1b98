import { sleep } from './sleep.ts'

export interface RetryOptions {
  /**
   * Decides about a failed try: how long to pause before the next one.
   *
   * @param tries how many tries have failed so far, this one included
   * @throws the error that `retry` throws when there is no further try
   */
  readonly delayMs: (error: unknown, tries: number) => number | Promise<number>
  readonly signal?: AbortSignal
}

/**
 * Runs `act` until it succeeds.
 *
 * @throws what `delayMs` throws; the signal's reason when that aborts
 */
export async function retry<Result>(act: () => Result | Promise<Result>, options: RetryOptions): Promise<Result> {
  const { delayMs, signal } = options
  for (let tries = 1; ; tries++) {
    signal?.throwIfAborted()
    try {
      return await act()
    } catch (error) {
      signal?.throwIfAborted()
      await sleep(await delayMs(error, tries), signal)
    }
  }
}
