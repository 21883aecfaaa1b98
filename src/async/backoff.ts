export interface BackoffOptions {
  /** The longest pause after the first try. It doubles with each further try. */
  readonly minMs: number
  /** The longest pause after any try. */
  readonly maxMs: number
  /** The share of the pause that is random: 0 for none, 1 for all of it. Half by default. */
  readonly jitter?: number
}

/** The pause after try number `tries` (from 1): exponential back-off with jitter, so that clients do not keep step. */
export function backoffMs(tries: number, { minMs, maxMs, jitter = 0.5 }: BackoffOptions): number {
  const ceilingMs = Math.min(maxMs, minMs * 2 ** (tries - 1))
  return ceilingMs * (1 - jitter * Math.random())
}
