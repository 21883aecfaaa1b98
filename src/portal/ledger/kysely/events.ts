import type { CompiledQuery } from 'kysely'
import { type Notification, type PartRange, Problem, type ProblemJson } from '../../../protocol/index.ts'
import type { Ledger } from '../contract.ts'
import type { Db, EventRow, LedgerContext, Tx } from './context.ts'
import { type EventPosition, eventIdOf, isBeginning, positionOf } from './event-ids.ts'
import { hasRowLocks, locking } from './locks.ts'
import { prepared } from './prepared.ts'
import { toNotification } from './rows.ts'

/** The content of a notification, before the ledger gives it an id. */
export type EventContent =
  | { notification: 'stored' }
  | { notification: 'resend'; problem: ProblemJson; wanted: readonly PartRange[] }
  | { notification: 'refused'; problem: ProblemJson }
  | { notification: 'delivered'; receiver: string; receipt: string | null }
  | { notification: 'failed'; receiver: string; problem: ProblemJson }

/** The transfer and attempt that a notification is about. */
export interface About {
  readonly accountId: number
  readonly transferId: string
  readonly atMs: number
  readonly attempt: number
}

/** Logs a notification in the transaction of the move that causes it. */
export async function appendEvent(tx: Tx, about: About, content: EventContent): Promise<Notification> {
  return appended((await tx.executeQuery(eventOf(tx, about, content))).rows)
}

/** The notification that the statement of `eventOf` logged. */
export function appended([row]: readonly EventRow[]): Notification {
  if (row === undefined) throw new Error('an event was not written')
  return toNotification(row)
}

/** The statement that logs a notification. */
export function eventOf(tx: Tx, about: About, content: EventContent): CompiledQuery<EventRow> {
  return insertEvent.with(tx, about.accountId, {
    transfer_id: about.transferId,
    at_ms: about.atMs,
    attempt: about.attempt,
    notification: content.notification,
    receiver: 'receiver' in content ? content.receiver : null,
    problem: 'problem' in content ? JSON.stringify(content.problem) : null,
    wanted: 'wanted' in content ? JSON.stringify(content.wanted) : null,
    receipt: 'receipt' in content ? content.receipt : null,
  })
}

/** The number of the newest event, of one account or of all; 0 where there is none. */
export async function newestEvent(db: Db, accountId: number | null = null): Promise<number> {
  const newest = await db
    .selectFrom('events')
    .select('event_id')
    .where('event_id', '>', 0)
    .$if(accountId !== null, (query) => query.where('account_id', '=', accountId))
    .orderBy('event_id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return newest?.event_id ?? 0
}

/**
 * Events of one account become visible in the order of their ids, because the transaction that inserts an event locks the row of its
 * account until the commit.
 */
const insertEvent = prepared((db, account_id: number, row: Omit<EventRow, 'event_id' | 'account_id'>) => {
  const insert = db.insertInto('events')
  if (!hasRowLocks(db)) return insert.values({ account_id, ...row }).returningAll()
  const columns = Object.keys(row) as (keyof typeof row)[]
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
        .select((own) => ['held.account_id', ...columns.map((column) => own.val(row[column]).as(column))]),
    )
    .returningAll()
})

const selectOfAccount = prepared((db, from: number, accountId: number, limit: number) =>
  selectFrom(db, from, limit).where('account_id', '=', accountId),
)

const selectOfTransfer = prepared((db, from: number, transferId: string, limit: number) =>
  selectFrom(db, from, limit).where('transfer_id', '=', transferId),
)

function selectFrom(db: Db, from: number, limit: number) {
  return db.selectFrom('events').selectAll().where('event_id', '>=', from).orderBy('event_id').limit(limit)
}

const selectOne = prepared((db, eventNumber: number) =>
  db.selectFrom('events').selectAll().where('event_id', '=', eventNumber),
)

const selectLast = prepared((db, accountId: number) =>
  db.selectFrom('events').selectAll().where('account_id', '=', accountId).orderBy('event_id', 'desc').limit(1),
)

/** The event log, as its account reads it. */
export function events({ db }: LedgerContext): Pick<Ledger, 'events' | 'lastEventId'> {
  /** @throws Problem `event-unknown` when no event of this account has that id */
  async function requireKnown(position: EventPosition, accountId: number, [first]: readonly EventRow[]): Promise<void> {
    if (isBeginning(position)) return
    const { number, eventId } = position
    const [row] = first?.event_id === number ? [first] : await selectOne(db, number)
    if (row?.account_id !== accountId || eventIdOf(row) !== eventId) throw new Problem('event-unknown', { eventId })
  }

  return {
    async events(accountId, { after, limit, transferId }) {
      const position = positionOf(after)
      // Includes that event itself, because it proves that the reader's id belongs to this history.
      const rows = await (transferId === null
        ? selectOfAccount(db, position.number, accountId, limit + 1)
        : selectOfTransfer(db, position.number, transferId, limit + 1))
      await requireKnown(position, accountId, rows)
      // All events of a transfer belong to its sender. For any other account the result is empty.
      return rows
        .filter((row) => row.account_id === accountId && row.event_id > position.number)
        .slice(0, limit)
        .map(toNotification)
    },

    async lastEventId(accountId) {
      const [row] = await selectLast(db, accountId)
      return row === undefined ? '0' : eventIdOf(row)
    },
  }
}
