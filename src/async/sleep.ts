import { timerMs } from '../protocol/index.ts'
import { onAbort } from './on-abort.ts'

/** Never aborts: for a caller without a signal. Listeners on it have to be removed, because it lives as long as the process. */
export const never: AbortSignal = new AbortController().signal

/** Resolves after `ms`. @throws the signal's reason when that aborts first */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const timer = setTimeout(() => {
      unsubscribe?.()
      resolve()
    }, timerMs(ms))
    const unsubscribe =
      signal === undefined
        ? null
        : onAbort(signal, () => {
            clearTimeout(timer)
            reject(signal.reason)
          })
  })
}
