import { asLibraryError } from './error.ts'

/**
 * What a running call gives, as an iteration. The iteration ends when the call does, or when `signal` aborts; leaving it aborts the call. The
 * call continues while the body of the loop runs.
 *
 * @throws GoLooaderError
 */
export async function* iterationOf<Item>(
  signal: AbortSignal | undefined,
  call: (give: (item: Item) => void, signal: AbortSignal) => Promise<void>,
): AsyncGenerator<Item, void, undefined> {
  const stop = new AbortController()
  const ending = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  const given: Item[] = []
  let wake = Promise.withResolvers<void>()
  let isOver = false
  const give = (item: Item): void => {
    given.push(item)
    wake.resolve()
  }
  const running = call(give, ending).finally(() => {
    isOver = true
    wake.resolve()
  })
  // It is awaited below. A failure before that must not count as unhandled.
  running.catch(() => {})
  try {
    for (;;) {
      for (let item = given.shift(); item !== undefined; item = given.shift()) yield item
      if (isOver) break
      await wake.promise
      wake = Promise.withResolvers()
    }
    await running
  } catch (error) {
    if (!ending.aborted) throw asLibraryError(error)
  } finally {
    stop.abort()
    await running.catch(() => {})
  }
}
