import { setTimeout } from 'node:timers/promises'
import type { Db, Transact } from '../kysely/rows.ts'
import { isWorthAnotherTry, lastFault } from './faults.ts'

/** With the pauses between them, a transaction that always finds somebody in its way is given up within about a second. */
const TRIES_MAX = 8
const PAUSE_MS_MIN = 4
const PAUSE_MS_MAX = 250

/**
 * Runs transactions, and runs one again that failed because of another: that was a deadlock, or found the row there that it was
 * to make. One whose connection was lost before its commit is run again, too; one whose commit may have happened never is.
 *
 * @param onRetry is shown the error of each try that is followed by another
 */
export function retrying(db: Db, onRetry: (error: unknown) => void = () => {}): Transact {
  return async (act) => {
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
}
