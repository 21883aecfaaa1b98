import { backoffMs, KeyedSemaphore, retry } from '../../../async/index.ts'
import type { Db, Transact, Tx } from '../kysely/context.ts'
import { isWorthAnotherTry, lastFault } from './faults.ts'

/** With the pauses in between, a transaction that always meets a conflict fails after about a second. */
const TRIES_MAX = 8
/** Entirely random pauses, so that conflicting transactions do not meet again. */
const BACKOFF = { minMs: 8, maxMs: 250, jitter: 1 }

/**
 * How many transactions of one account run at a time. They wait for each other's locks anyway, so more would only occupy connections
 * that others need. With only one, the connection would be idle between them.
 */
const AT_ONCE_PER_ACCOUNT = 2

/**
 * Runs transactions, and runs one again that failed because of another one: by a deadlock, or because the row that it inserts exists by
 * now. A transaction whose connection was lost before its commit is run again, too, but never one whose commit may have happened.
 *
 * @param onRetry is shown the error of each try that is followed by another
 */
export function retrying(db: Db, onRetry: (error: unknown) => void = () => {}): Transact {
  const accounts = new KeyedSemaphore<number>(AT_ONCE_PER_ACCOUNT)

  async function run<Result>(act: (tx: Tx) => Promise<Result>): Promise<Result> {
    return retry(() => db.transaction().execute(act), {
      delayMs: (error, tries) => {
        if (tries === TRIES_MAX || !isWorthAnotherTry(error)) throw lastFault(error)
        onRetry(error)
        return backoffMs(tries, BACKOFF)
      },
    })
  }

  return (act, accountId) => (accountId === undefined ? run(act) : accounts.run(accountId, () => run(act)))
}
