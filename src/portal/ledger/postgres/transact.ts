import { setTimeout } from 'node:timers/promises'
import type { Db, Transact, Tx } from '../kysely/rows.ts'
import { isWorthAnotherTry, lastFault } from './faults.ts'

/** With the pauses between them, a transaction that always finds somebody in its way is given up within about a second. */
const TRIES_MAX = 8
const PAUSE_MS_MIN = 4
const PAUSE_MS_MAX = 250

/**
 * They wait for each other's commit anyway. More of them would only hold connections that others need; with one, the way to the
 * database would lie idle in between.
 */
const AT_ONCE_PER_ACCOUNT = 2

/**
 * Runs transactions, and runs one again that failed because of another: that was a deadlock, or found the row there that it was
 * to make. One whose connection was lost before its commit is run again, too; one whose commit may have happened never is.
 *
 * @param onRetry is shown the error of each try that is followed by another
 */
export function retrying(db: Db, onRetry: (error: unknown) => void = () => {}): Transact {
  const lines = new Lines(AT_ONCE_PER_ACCOUNT)

  async function run<Result>(act: (tx: Tx) => Promise<Result>): Promise<Result> {
    for (let tries = 1; ; tries++) {
      try {
        return await db.transaction().execute(act)
      } catch (error) {
        if (tries === TRIES_MAX || !isWorthAnotherTry(error)) throw lastFault(error)
        onRetry(error)
        // At random: those who hindered each other must not meet again.
        await setTimeout(Math.random() * Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** tries))
      }
    }
  }

  return (act, accountId) => (accountId === undefined ? run(act) : lines.take(accountId, () => run(act)))
}

/** Only so many of each account go at the same time; the others of that account wait, in the order in which they came. */
class Lines {
  readonly #countMax: number
  readonly #lines = new Map<number, { count: number; readonly waiting: (() => void)[] }>()

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  async take<Result>(accountId: number, act: () => Promise<Result>): Promise<Result> {
    const line = this.#lines.get(accountId) ?? { count: 0, waiting: [] }
    this.#lines.set(accountId, line)
    if (line.count === this.#countMax) await new Promise<void>((resolve) => line.waiting.push(resolve))
    else line.count++
    try {
      return await act()
    } finally {
      const next = line.waiting.shift()
      if (next !== undefined) next()
      else if (--line.count === 0) this.#lines.delete(accountId)
    }
  }
}
