import { sql } from 'kysely'
import { type NotificationKind, Problem } from '../../../protocol/index.ts'
import { TEST_KIND, type WebhookLedger, type WebhookMessageRecord, type WebhookRecord } from '../webhooks-contract.ts'
import type { Db, LedgerContext, MessageRow, Tx, WebhookRow } from './context.ts'
import { newestEvent } from './events.ts'
import { locking } from './locks.ts'

/** Webhooks as their accounts manage them. `webhook-work.ts` has what the portal does for them. */
export function webhooks({
  db,
  now,
  transact,
}: LedgerContext): Pick<
  WebhookLedger,
  'createWebhook' | 'webhooksOf' | 'removeWebhook' | 'testWebhook' | 'webhookMessages' | 'webhookCensus'
> {
  return {
    async createWebhook(accountId, { webhookId, url, kinds, secret, isWholePortal }, { webhooksMax }) {
      const given = { account_id: accountId, url, kinds: kinds.join(), secret, whole_portal: isWholePortal ? 1 : 0 }
      return transact(async (tx) => {
        // The lock also holds back the account's events, so that the cursor is exact.
        const account = await tx
          .selectFrom('accounts')
          .select(['revoked_at_ms', 'is_operator'])
          .where('account_id', '=', accountId)
          .$call(locking(tx, 'change'))
          .executeTakeFirst()
        if (account === undefined || account.revoked_at_ms !== null) throw new Problem('credentials-invalid')
        if (isWholePortal && account.is_operator === 0) throw new Problem('not-found')
        const known = await webhookRow(tx, webhookId)
        if (known !== undefined) {
          const isSame = Object.entries(given).every(([column, value]) => known[column as keyof WebhookRow] === value)
          if (!isSame) throw new Problem('webhook-conflict')
          return toWebhook(known)
        }
        const all = await tx
          .selectFrom('webhooks')
          .select('webhook_id')
          .where('account_id', '=', accountId)
          .limit(webhooksMax)
          .execute()
        if (all.length >= webhooksMax) throw new Problem('too-many-webhooks', { webhooksMax })
        const cursor_event = await newestEvent(tx, isWholePortal ? null : accountId)
        const made = await tx
          .insertInto('webhooks')
          .values({ webhook_id: webhookId, ...given, created_at_ms: now(), cursor_event })
          .returningAll()
          .executeTakeFirstOrThrow()
        return toWebhook(made)
      }, accountId)
    },

    async webhooksOf(accountId) {
      const rows = await db
        .selectFrom('webhooks')
        .selectAll()
        .where('account_id', '=', accountId)
        .orderBy('webhook_id')
        .execute()
      return rows.map(toWebhook)
    },

    async removeWebhook(accountId, webhookId) {
      const [removed] = await db
        .deleteFrom('webhooks')
        .where('webhook_id', '=', webhookId)
        .where('account_id', '=', accountId)
        .returningAll()
        .execute()
      return removed === undefined ? null : toWebhook(removed)
    },

    async testWebhook(accountId, webhookId, { messageId, body }) {
      return transact(async (tx) => {
        const webhook = await webhookRow(tx, webhookId, true)
        if (webhook?.account_id !== accountId) return null
        const open = tx
          .selectFrom('webhook_messages')
          .selectAll()
          .where('webhook_id', '=', webhookId)
          .where('transfer_id', 'is', null)
          .where('state', 'in', OPEN)
        const known =
          (await tx
            .selectFrom('webhook_messages')
            .selectAll()
            .where('message_id', '=', messageId)
            .where('webhook_id', '=', webhookId)
            .executeTakeFirst()) ?? (await open.limit(1).executeTakeFirst())
        if (known !== undefined) return toMessage(known)
        if (webhook.disabled_at_ms !== null) throw new Problem('webhook-disabled', { reason: webhook.reason })
        const atMs = now()
        await tx
          .updateTable('webhooks')
          // A person waits for the answer, so it is tried although the webhook may rest after a failure.
          .set((eb) => ({ open_messages: eb('open_messages', '+', 1), next_at_ms: 0, pause_until_ms: null }))
          .where('webhook_id', '=', webhookId)
          .execute()
        const made = await tx
          .insertInto('webhook_messages')
          .values({
            message_id: messageId,
            webhook_id: webhookId,
            event_number: webhook.cursor_event,
            kind: TEST_KIND,
            transfer_id: null,
            state: 'pending',
            body,
            created_at_ms: atMs,
            // Before all other messages.
            next_at_ms: 0,
            give_up_at_ms: atMs,
          })
          .returningAll()
          .executeTakeFirstOrThrow()
        return toMessage(made)
      })
    },

    async webhookMessages(accountId, webhookId, { before, limit }) {
      const webhook = await webhookRow(db, webhookId)
      if (webhook?.account_id !== accountId) return null
      const last =
        before === null
          ? undefined
          : await db
              .selectFrom('webhook_messages')
              .select('created_at_ms')
              .where('message_id', '=', before)
              .where('webhook_id', '=', webhookId)
              .executeTakeFirst()
      // A message that is forgotten by now was the oldest.
      if (before !== null && last === undefined) return []
      const rows = await db
        .selectFrom('webhook_messages')
        .selectAll()
        .where('webhook_id', '=', webhookId)
        .$if(last !== undefined, (query) =>
          query.where(({ eb, refTuple, tuple }) =>
            eb(refTuple('created_at_ms', 'message_id'), '<', tuple(last?.created_at_ms ?? 0, before ?? '')),
          ),
        )
        .orderBy('created_at_ms', 'desc')
        .orderBy('message_id', 'desc')
        .limit(limit)
        .execute()
      return rows.map(toMessage)
    },

    async webhookCensus() {
      const { active, failing, disabled, waiting } = await db
        .selectFrom('webhooks')
        .select(({ fn, cast }) => [
          sql<number>`count(case when disabled_at_ms is null and failures = 0 then 1 end)`.as('active'),
          sql<number>`count(case when disabled_at_ms is null and failures > 0 then 1 end)`.as('failing'),
          fn.count<number>('disabled_at_ms').as('disabled'),
          cast<number>(fn.coalesce(fn.sum('open_messages'), sql.lit(0)), 'bigint').as('waiting'),
        ])
        .where('account_id', '>', 0)
        .executeTakeFirstOrThrow()
      return { active, failing, disabled, waiting }
    },
  }
}

/** Literals, so that partial indexes are used. */
export const PENDING = sql.lit<'pending'>('pending')
export const OPEN = sql<'pending' | 'queued'>`('pending', 'queued')`

/** @param isLocked locks the row: everything about a webhook's messages changes under this lock */
export function webhookRow(db: Db, webhookId: string, isLocked = false): Promise<WebhookRow | undefined> {
  return db
    .selectFrom('webhooks')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .$if(isLocked, locking(db, 'change'))
    .executeTakeFirst()
}

/** Removes the webhooks of an account that has ended, or those for which it was an operator. */
export async function removeWebhooks(tx: Tx, accountId: number, { ofWholePortal = false } = {}): Promise<void> {
  await tx
    .deleteFrom('webhooks')
    .where('account_id', '=', accountId)
    .$if(ofWholePortal, (query) => query.where('whole_portal', '=', 1))
    .execute()
}

export function kindsOf({ kinds }: Pick<WebhookRow, 'kinds'>): NotificationKind[] {
  return kinds.split(',') as NotificationKind[]
}

function toWebhook(row: WebhookRow): WebhookRecord {
  return {
    webhookId: row.webhook_id,
    accountId: row.account_id,
    url: row.url,
    kinds: kindsOf(row),
    isWholePortal: row.whole_portal === 1,
    createdAtMs: row.created_at_ms,
    openMessages: row.open_messages,
    failures: row.failures,
    failingSinceMs: row.failing_since_ms,
    disabledAtMs: row.disabled_at_ms,
    reason: row.reason,
  }
}

function toMessage(row: MessageRow): WebhookMessageRecord {
  return {
    messageId: row.message_id,
    kind: row.kind,
    transferId: row.transfer_id,
    state: row.state,
    createdAtMs: row.created_at_ms,
    attempts: row.attempts,
    triedAtMs: row.tried_at_ms,
    nextAtMs: row.next_at_ms,
    endedAtMs: row.ended_at_ms,
    status: row.status,
    reason: row.reason,
  }
}
