/** A signal, and what is done when it aborts. */
interface Listening {
  readonly acts: Set<() => void>
  readonly stop: () => void
}

const listening = new WeakMap<AbortSignal, Listening>()

/**
 * Calls `act` when a signal aborts. Thousands of callers may wait for the same signal: they share one listener, because adding and
 * removing a listener takes a time that grows with their number.
 *
 * @param signal has not aborted yet. @param act a function of this caller only; it does not throw
 * @returns a function that unsubscribes
 */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const { acts, stop } = listening.get(signal) ?? listen(signal)
  acts.add(act)
  return () => {
    // A signal that nobody waits for has no listener, so that it can be forgotten.
    if (acts.delete(act) && acts.size === 0) stop()
  }
}

function listen(signal: AbortSignal): Listening {
  const acts = new Set<() => void>()
  const stop = (): void => {
    signal.removeEventListener('abort', abort)
    listening.delete(signal)
  }
  const abort = (): void => {
    listening.delete(signal)
    for (const act of acts) act()
  }
  signal.addEventListener('abort', abort, { once: true })
  const made = { acts, stop }
  listening.set(signal, made)
  return made
}
