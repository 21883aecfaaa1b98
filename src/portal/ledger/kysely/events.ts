import type { CompiledQuery } from 'kysely'
import type { Notification, PartRange, ProblemJson } from '../../../protocol/index.ts'
import type { Ledger } from '../contract.ts'
import { hasRowLocks, locking } from './locks.ts'
import { prepared } from './prepared.ts'
import { type EventRow, type LedgerContext, type Tx, toNotification } from './rows.ts'

/** What a notification says, before the ledger gives it an id. */
export type EventContent =
  | { notification: 'stored' }
  | { notification: 'resend'; problem: ProblemJson; wanted: readonly PartRange[] }
  | { notification: 'refused'; problem: ProblemJson }
  | { notification: 'delivered'; receiver: string; receipt: string | null }
  | { notification: 'failed'; receiver: string; problem: ProblemJson }

/** What a notification is about. */
export interface About {
  readonly accountId: number
  readonly transferId: string
  readonly atMs: number
  readonly attempt: number
}

/** Writes a notification into the log, in the transaction of the move that causes it. */
export async function appendEvent(tx: Tx, about: About, content: EventContent): Promise<Notification> {
  return appended((await tx.executeQuery(eventOf(tx, about, content))).rows)
}

/** The notification that the statement of `eventOf` wrote. */
export function appended([row]: readonly EventRow[]): Notification {
  if (row === undefined) throw new Error('an event was not written')
  return toNotification(row)
}

/** The statement that writes a notification into the log. */
export function eventOf(tx: Tx, about: About, content: EventContent): CompiledQuery<EventRow> {
  return insertEvent.with(
    tx,
    about.accountId,
    about.transferId,
    about.atMs,
    about.attempt,
    content.notification,
    'receiver' in content ? content.receiver : null,
    'problem' in content ? JSON.stringify(content.problem) : null,
    'wanted' in content ? JSON.stringify(content.wanted) : null,
    'receipt' in content ? content.receipt : null,
  )
}

/**
 * Events of one account become visible in the order of their ids: an event gets its id by whoever holds the row of its account,
 * and keeps it until the commit.
 */
const insertEvent = prepared(
  (
    db,
    account_id: number,
    transfer_id: string,
    at_ms: number,
    attempt: number,
    notification: EventContent['notification'],
    receiver: string | null,
    problem: string | null,
    wanted: string | null,
    receipt: string | null,
  ) => {
    const insert = db.insertInto('events')
    if (!hasRowLocks(db)) {
      return insert
        .values({ account_id, transfer_id, at_ms, attempt, notification, receiver, problem, wanted, receipt })
        .returningAll()
    }
    const values = { transfer_id, at_ms, attempt, notification, receiver, problem, wanted, receipt }
    const columns = Object.keys(values) as (keyof typeof values)[]
    return insert
      .columns(['account_id', ...columns])
      .expression((eb) =>
        eb
          .selectFrom(
            eb
              .selectFrom('accounts')
              .select('account_id')
              .where('account_id', '=', account_id)
              .$call(locking(db, 'change'))
              .as('held'),
          )
          .select((own) => ['held.account_id', ...columns.map((column) => own.val(values[column]).as(column))]),
      )
      .returningAll()
  },
)

const selectOfAccount = prepared((db, after: number, accountId: number, limit: number) =>
  db
    .selectFrom('events')
    .selectAll()
    .where('event_id', '>', after)
    .where('account_id', '=', accountId)
    .orderBy('event_id')
    .limit(limit),
)

const selectOfTransfer = prepared((db, after: number, transferId: string, limit: number) =>
  db
    .selectFrom('events')
    .selectAll()
    .where('event_id', '>', after)
    .where('transfer_id', '=', transferId)
    .orderBy('event_id')
    .limit(limit),
)

/** The event log, as its account reads it. */
export function events({ db }: LedgerContext): Pick<Ledger, 'events' | 'lastEventId'> {
  return {
    async events(accountId, { after, limit, transferId }) {
      const rows = await (transferId === null
        ? selectOfAccount(db, Number(after), accountId, limit)
        : selectOfTransfer(db, Number(after), transferId, limit))
      // All events of a transfer are its sender's: to anybody else there are none, and nothing was read in vain.
      return rows.filter((row) => row.account_id === accountId).map(toNotification)
    },

    async lastEventId(accountId) {
      const row = await db
        .selectFrom('events')
        .select('event_id')
        .where('account_id', '=', accountId)
        .orderBy('event_id', 'desc')
        .limit(1)
        .executeTakeFirst()
      return String(row?.event_id ?? 0)
    },
  }
}
