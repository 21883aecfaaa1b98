/** What a portal does for webhooks: finds those with work, makes messages of events, hands them out, and records outcomes. */
import { type RawBuilder, sql } from 'kysely'
import type {
  DueMessage,
  WebhookEvent,
  WebhookLedger,
  WebhookOutcome,
  WebhookService,
  WebhookVerdict,
} from '../webhooks-contract.ts'
import type { EventRow, LedgerContext, MessageRow, Tx, WebhookRow } from './context.ts'
import { toNotification } from './rows.ts'
import { SettledEvents } from './settled-events.ts'
import { kindsOf, OPEN, PENDING, webhookRow } from './webhooks.ts'

/** How many events are read at a time. The next call continues. */
const EVENTS_AT_ONCE = 200
/** The bound of a list of webhooks. Those behind it come to their turn, because the list begins with those served longest ago. */
const WEBHOOKS_MAX = 10_000

export function webhookWork(
  context: LedgerContext,
): Pick<WebhookLedger, 'webhooks' | 'serveWebhook' | 'pruneWebhookMessages'> {
  const { db, now, transact, isShared } = context
  const settled = new SettledEvents(db)
  return {
    async webhooks(portalId) {
      const active = await db
        .selectFrom('webhooks')
        .select(['webhook_id', 'account_id', 'whole_portal'])
        .select(() => hasWork(now(), settled.last, isShared ? null : portalId).as('has_work'))
        .where('disabled_at_ms', 'is', null)
        .where('served_at_ms', '>=', 0)
        .orderBy('served_at_ms')
        .limit(WEBHOOKS_MAX)
        .execute()
      // For the next call: this one has used what was known.
      if (active.some((row) => row.whole_portal === 1)) await settled.look()
      return active.map((row) => ({
        webhookId: row.webhook_id,
        accountId: row.account_id,
        isWholePortal: row.whole_portal === 1,
        hasWork: row.has_work === 1,
      }))
    },

    async serveWebhook(webhookId, service, outcomes, verdict) {
      return transact(async (tx) => {
        const before = await webhookRow(tx, webhookId, true)
        if (before === undefined || before.disabled_at_ms !== null) return null
        const atMs = now()
        const isMine = !isLeasedTo(before, atMs, (portalId) => portalId !== service.portalId && isShared)
        const ended = await record(tx, before, outcomes, atMs)
        const changed = {
          open_messages: before.open_messages - ended,
          ...(isMine && verdict !== null ? columnsOf(verdict, before, atMs) : {}),
        }
        if (verdict?.disabledFor != null) {
          await disable(tx, before, verdict.disabledFor, atMs)
          return null
        }
        if (verdict?.isBack === true) await makeDue(tx, webhookId, atMs)
        const row: WebhookRow = { ...before, ...changed }
        if (!isMine) {
          await setWebhook(tx, webhookId, changed)
          return null
        }
        const { served, messages } = await nextOf(tx, row, service, settled.last, atMs)
        await setWebhook(tx, webhookId, { ...changed, ...served })
        return { url: row.url, secret: row.secret, failures: row.failures, messages }
      })
    },

    async pruneWebhookMessages(keepMs, limit) {
      const old = await db
        .selectFrom('webhook_messages')
        .select('message_id')
        .where('ended_at_ms', 'is not', null)
        .where('ended_at_ms', '<=', now() - keepMs)
        .orderBy('ended_at_ms')
        .limit(limit)
        .execute()
      const messageIds = old.map((row) => row.message_id)
      if (messageIds.length > 0) {
        await db.deleteFrom('webhook_messages').where('message_id', 'in', messageIds).execute()
      }
      return messageIds.length
    },
  }
}

const noLease = { lease_portal_id: null, lease_expires_at_ms: null } as const

/**
 * 1 where a webhook is free, does not rest, and has something to do.
 *
 * @param lastEvent up to it, a webhook for the whole portal sees the events
 * @param onlyPortalId the portal that is alone with the ledger: then leases of others are those of dead processes
 */
function hasWork(atMs: number, lastEvent: number, onlyPortalId: string | null): RawBuilder<number> {
  const own = onlyPortalId === null ? sql`` : sql`or lease_portal_id <> ${onlyPortalId}`
  return sql<number>`case when (lease_expires_at_ms is null or lease_expires_at_ms <= ${atMs} ${own})
    and (pause_until_ms is null or pause_until_ms <= ${atMs})
    and (next_at_ms <= ${atMs} or case when whole_portal = 1
      then exists (select 1 from events where event_id > webhooks.cursor_event and event_id <= ${lastEvent})
      else exists (select 1 from events
        where events.account_id = webhooks.account_id and event_id > webhooks.cursor_event) end)
    then 1 else 0 end`
}

function isLeasedTo(
  { lease_portal_id, lease_expires_at_ms }: WebhookRow,
  atMs: number,
  isOther: (portalId: string) => boolean,
): boolean {
  return lease_portal_id !== null && isOther(lease_portal_id) && (lease_expires_at_ms ?? 0) > atMs
}

/** Records outcomes that are not recorded yet. @returns how many messages have ended by that */
async function record(
  tx: Tx,
  { webhook_id }: WebhookRow,
  outcomes: readonly WebhookOutcome[],
  atMs: number,
): Promise<number> {
  let ended = 0
  for (const outcome of outcomes) {
    const { messageId, attempts } = outcome
    const message = await tx
      .selectFrom('webhook_messages')
      .select(['state', 'attempts', 'transfer_id', 'give_up_at_ms'])
      .where('message_id', '=', messageId)
      .executeTakeFirst()
    if (message?.state !== 'pending' || message.attempts !== attempts) continue
    const isOver = outcome.result === 'delivered' || atMs >= message.give_up_at_ms
    await tx
      .updateTable('webhook_messages')
      .set({
        attempts: attempts + 1,
        tried_at_ms: atMs,
        status: outcome.status,
        reason: outcome.result === 'delivered' ? null : outcome.reason,
        ...(outcome.result === 'failed' ? { next_at_ms: atMs + outcome.retryInMs } : {}),
        ...(isOver ? { state: outcome.result, body: null, ended_at_ms: atMs } : {}),
      })
      .where('message_id', '=', messageId)
      .execute()
    if (!isOver) continue
    ended++
    if (message.transfer_id !== null) await nextOfTransfer(tx, webhook_id, message.transfer_id, atMs)
  }
  return ended
}

/** The next message of a transfer comes to its turn. */
async function nextOfTransfer(tx: Tx, webhookId: string, transferId: string, atMs: number): Promise<void> {
  const next = await tx
    .selectFrom('webhook_messages')
    .select('message_id')
    .where('webhook_id', '=', webhookId)
    .where('transfer_id', '=', transferId)
    .where('state', 'in', OPEN)
    .orderBy('event_number')
    .limit(1)
    .executeTakeFirst()
  if (next === undefined) return
  await tx
    .updateTable('webhook_messages')
    .set({ state: 'pending', next_at_ms: atMs })
    .where('message_id', '=', next.message_id)
    .execute()
}

function columnsOf({ failures, pauseMs }: WebhookVerdict, { failing_since_ms }: WebhookRow, atMs: number) {
  return {
    failures,
    failing_since_ms: failures === 0 ? null : (failing_since_ms ?? atMs),
    pause_until_ms: pauseMs === 0 ? null : atMs + pauseMs,
  }
}

async function disable(tx: Tx, { webhook_id }: WebhookRow, reason: string, atMs: number): Promise<void> {
  await tx
    .updateTable('webhook_messages')
    .set({ state: 'failed', body: null, ended_at_ms: atMs, reason: 'the webhook was disabled' })
    .where('webhook_id', '=', webhook_id)
    .where('state', 'in', OPEN)
    .execute()
  await setWebhook(tx, webhook_id, { disabled_at_ms: atMs, reason, open_messages: 0, ...noLease })
}

/** What was put off is due, because the address answers again. */
async function makeDue(tx: Tx, webhookId: string, atMs: number): Promise<void> {
  await tx
    .updateTable('webhook_messages')
    .set({ next_at_ms: atMs })
    .where('webhook_id', '=', webhookId)
    .where('state', '=', PENDING)
    .where('next_at_ms', '>', atMs)
    .execute()
}

async function setWebhook(tx: Tx, webhookId: string, columns: Partial<WebhookRow>): Promise<void> {
  await tx.updateTable('webhooks').set(columns).where('webhook_id', '=', webhookId).execute()
}

/** Makes further messages and takes those that are due; gives the lease back when there is none. */
async function nextOf(
  tx: Tx,
  row: WebhookRow,
  service: WebhookService,
  lastEvent: number,
  atMs: number,
): Promise<{ served: Partial<WebhookRow>; messages: DueMessage[] }> {
  const isResting = (row.pause_until_ms ?? 0) > atMs
  if (isResting) return { served: { ...noLease, next_at_ms: await nextAtMs(tx, row) }, messages: [] }
  const made = await makeMessages(tx, row, service, lastEvent, atMs)
  const messages = await tx
    .selectFrom('webhook_messages')
    .select(['message_id', 'kind', 'transfer_id', 'body', 'attempts'])
    .where('webhook_id', '=', row.webhook_id)
    .where('state', '=', PENDING)
    .where('next_at_ms', '<=', atMs)
    .orderBy('next_at_ms')
    .orderBy('event_number')
    .limit(row.failures > 0 ? Math.min(1, service.batchMax) : service.batchMax)
    .execute()
  const common = { ...made, served_at_ms: atMs }
  if (messages.length > 0) {
    // Should this portal die, another one finds the work when the lease has run out.
    const lease = { lease_portal_id: service.portalId, lease_expires_at_ms: atMs + service.leaseMs, next_at_ms: atMs }
    return { served: { ...common, ...lease }, messages: messages.map(toDue) }
  }
  const next_at_ms = await nextAtMs(tx, row)
  // Events would wake it at once, and nothing could be done about them.
  const isFull = made.open_messages >= service.openMax
  return {
    served: { ...common, ...noLease, next_at_ms, ...(isFull ? { pause_until_ms: next_at_ms } : {}) },
    messages: [],
  }
}

async function nextAtMs(tx: Tx, { webhook_id }: WebhookRow): Promise<number | null> {
  const next = await tx
    .selectFrom('webhook_messages')
    .select('next_at_ms')
    .where('webhook_id', '=', webhook_id)
    .where('state', '=', PENDING)
    .orderBy('next_at_ms')
    .limit(1)
    .executeTakeFirst()
  return next?.next_at_ms ?? null
}

/** Makes messages of the events behind the cursor, as many as may be open. */
async function makeMessages(
  tx: Tx,
  row: WebhookRow,
  { openMax, keepTryingMs, bodyOf }: WebhookService,
  lastEvent: number,
  atMs: number,
): Promise<{ cursor_event: number; open_messages: number }> {
  const { webhook_id, cursor_event, open_messages } = row
  const limit = Math.min(openMax - open_messages, EVENTS_AT_ONCE)
  if (limit <= 0) return { cursor_event, open_messages }
  const isWholePortal = row.whole_portal === 1
  const events = await tx
    .selectFrom('events')
    .selectAll()
    .where('event_id', '>', cursor_event)
    .$if(!isWholePortal, (query) => query.where('account_id', '=', row.account_id))
    .$if(isWholePortal, (query) => query.where('event_id', '<=', lastEvent))
    .orderBy('event_id')
    .limit(limit)
    .execute()
  const cursor = { cursor_event: events.at(-1)?.event_id ?? cursor_event }
  const kinds = kindsOf(row)
  const wanted = events.filter(({ notification }) => kinds.includes(notification))
  if (wanted.length === 0) return { ...cursor, open_messages }
  const transferIds = [...new Set(wanted.map(({ transfer_id }) => transfer_id))]
  const parties = await partiesOf(tx, transferIds)
  const busy = await busyOf(tx, webhook_id, transferIds)
  const messages = wanted.map((event) => {
    const { transfer_id, at_ms } = event
    const notification = toNotification(event)
    const state = busy.has(transfer_id) ? ('queued' as const) : ('pending' as const)
    busy.add(transfer_id)
    return {
      message_id: messageIdOf(webhook_id, notification.eventId),
      webhook_id,
      event_number: event.event_id,
      kind: event.notification,
      transfer_id,
      state,
      body: bodyOf({ notification, isWholePortal, ...parties(event) }),
      created_at_ms: atMs,
      next_at_ms: atMs,
      give_up_at_ms: at_ms + keepTryingMs,
    }
  })
  await tx.insertInto('webhook_messages').values(messages).execute()
  return { ...cursor, open_messages: open_messages + messages.length }
}

/** The id of a message for an event: the same if the ledger was restored from a backup and makes the message once more. */
function messageIdOf(webhookId: string, eventId: string): string {
  return `msg_${webhookId.replaceAll('-', '')}_${eventId}`
}

/** The sender and the receivers of each transfer. */
async function partiesOf(
  tx: Tx,
  transferIds: readonly string[],
): Promise<(event: EventRow) => Pick<WebhookEvent, 'sender' | 'receivers'>> {
  const senders = await tx
    .selectFrom('transfers')
    .select(['transfer_id', 'sender'])
    .where('transfer_id', 'in', transferIds)
    .execute()
  const deliveries = await tx
    .selectFrom('deliveries')
    .select(['transfer_id', 'receiver'])
    .where('transfer_id', 'in', transferIds)
    .orderBy('transfer_id')
    .orderBy('receiver_id')
    .execute()
  const byTransfer = new Map(
    senders.map(({ transfer_id, sender }) => [transfer_id, { sender, receivers: [] as string[] }]),
  )
  for (const { transfer_id, receiver } of deliveries) byTransfer.get(transfer_id)?.receivers.push(receiver)
  // Events go with their transfer, so each has one.
  return ({ transfer_id }) => byTransfer.get(transfer_id) ?? { sender: '', receivers: [] }
}

/** The transfers that have open messages. */
async function busyOf(tx: Tx, webhookId: string, transferIds: readonly string[]): Promise<Set<string>> {
  const rows = await tx
    .selectFrom('webhook_messages')
    .select('transfer_id')
    .where('webhook_id', '=', webhookId)
    .where('transfer_id', 'in', transferIds)
    .where('state', 'in', OPEN)
    .execute()
  return new Set(rows.flatMap(({ transfer_id }) => transfer_id ?? []))
}

function toDue({
  message_id,
  kind,
  transfer_id,
  body,
  attempts,
}: Pick<MessageRow, 'message_id' | 'kind' | 'transfer_id' | 'body' | 'attempts'>): DueMessage {
  if (body === null) throw new Error(`${message_id} has no body`)
  return { messageId: message_id, kind, transferId: transfer_id, body, attempts }
}
