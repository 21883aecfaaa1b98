import type { Notification, PartRange, ProblemJson } from '../../../protocol/index.ts'
import type { Ledger } from '../contract.ts'
import { type LedgerContext, type Tx, toNotification } from './rows.ts'

/** What a notification says, before the ledger gives it an id. */
export type EventContent =
  | { notification: 'stored' }
  | { notification: 'resend'; problem: ProblemJson; wanted: readonly PartRange[] }
  | { notification: 'refused'; problem: ProblemJson }
  | { notification: 'delivered'; receiver: string; receipt: string | null }
  | { notification: 'failed'; receiver: string; problem: ProblemJson }

/** Writes a notification into the log, in the transaction of the move that causes it. */
export async function appendEvent(
  tx: Tx,
  about: { accountId: number; transferId: string; atMs: number; attempt: number },
  content: EventContent,
): Promise<Notification> {
  const row = await tx
    .insertInto('events')
    .values({
      account_id: about.accountId,
      transfer_id: about.transferId,
      at_ms: about.atMs,
      attempt: about.attempt,
      notification: content.notification,
      receiver: 'receiver' in content ? content.receiver : null,
      problem: 'problem' in content ? JSON.stringify(content.problem) : null,
      wanted: 'wanted' in content ? JSON.stringify(content.wanted) : null,
      receipt: 'receipt' in content ? content.receipt : null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  return toNotification(row)
}

/** The event log, as its account reads it. */
export function events({ db }: LedgerContext): Pick<Ledger, 'events' | 'lastEventId'> {
  return {
    async events(accountId, { after, limit, transferId }) {
      const query = db.selectFrom('events').selectAll().where('event_id', '>', Number(after))
      const rows = await (transferId === null
        ? query.where('account_id', '=', accountId)
        : query.where('transfer_id', '=', transferId)
      )
        .orderBy('event_id')
        .limit(limit)
        .execute()
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
