/**
 * Acts upon one thing that must not overlap. A compare-and-set in the ledger decides between two moves of a state; it
 * cannot keep one from removing parts while another looks at them. That takes turns.
 */
export interface Turns {
  /** Runs `act` when every earlier one of that name has ended, however it ended. Other names do not wait. */
  take<Result>(name: string, act: () => Promise<Result>): Promise<Result>
}

/** Turns within one process. */
export function localTurns(): Turns {
  /** The newest act of each name: the next one waits for it. */
  const newest = new Map<string, Promise<unknown>>()
  return {
    async take(name, act) {
      const before = newest.get(name) ?? Promise.resolve()
      const turn = before.catch(() => {}).then(act)
      newest.set(name, turn)
      try {
        return await turn
      } finally {
        if (newest.get(name) === turn) newest.delete(name)
      }
    },
  }
}
