import type { CompiledQuery, UpdateObject } from 'kysely'
import {
  assertDeliveryMove,
  assertTransferMove,
  isFinalDelivery,
  type Notification,
  type ProblemJson,
} from '../../../protocol/index.ts'
import type { Ledger, Transfer, TransferChange } from '../contract.ts'
import type { LedgerTables } from '../schema.ts'
import { admit, roomBytes } from './admission.ts'
import { type About, appendEvent, appended, eventOf } from './events.ts'
import { prepared, together } from './prepared.ts'
import {
  type DeliveryRow,
  type LedgerContext,
  loadTransfer,
  RENEW_BELOW,
  selectDeliveries,
  type TransferRow,
  type Tx,
  toTransfer,
  withDeliveries,
} from './rows.ts'
import { countOpen, type TotalsChange } from './totals.ts'

/** Transfers: how they are admitted, and the one door for their state. */
export function transfers({
  db,
  now,
  transact,
}: LedgerContext): Pick<
  Ledger,
  'announce' | 'roomBytes' | 'transfer' | 'transfersOf' | 'touchTransfer' | 'moveTransfer'
> {
  return {
    async announce(transfer, admission) {
      return transact(async (tx) => {
        const admitted = await admit(tx, transfer, admission, now())
        return { transfer: admitted.transfer, isNew: admitted.isNew }
      }, transfer.senderId)
    },

    roomBytes: (transfer, admission) => roomBytes(db, transfer, admission),

    transfer: (transferId) => loadTransfer(db, transferId),

    async transfersOf(senderId, { before, limit }) {
      const rows = await db
        .selectFrom('transfers')
        .selectAll()
        .where('sender_id', '=', senderId)
        .$if(before !== null, (query) => query.where('transfer_id', '<', before ?? ''))
        .orderBy('transfer_id', 'desc')
        .limit(limit)
        .execute()
      return Promise.all(rows.map((row) => withDeliveries(db, row)))
    },

    async touchTransfer(transferId, uploadTimeoutMs) {
      const isDue = (deadlineMs: number | null): boolean =>
        deadlineMs === null || deadlineMs < now() + uploadTimeoutMs * RENEW_BELOW
      // Looked at first: most of the time there is nothing to write.
      const row = await db
        .selectFrom('transfers')
        .select('upload_deadline_ms')
        .where('transfer_id', '=', transferId)
        .where('state', '=', 'receiving')
        .executeTakeFirst()
      if (row === undefined || !isDue(row.upload_deadline_ms)) return
      await db
        .updateTable('transfers')
        .set({ upload_deadline_ms: now() + uploadTimeoutMs })
        .where('transfer_id', '=', transferId)
        .where('state', '=', 'receiving')
        .execute()
    },

    async moveTransfer(transferId, from, change) {
      assertTransferMove(from.state, change.state)
      return transact(async (tx) => {
        const atMs = now()
        const { attempt } = from
        if (change.state === 'stored') {
          const stored = await becomeStored(tx, { transferId, attempt }, { ...change, heldIn: 'store' }, atMs)
          return stored?.transfer ?? null
        }
        // Of its deliveries as they were: those that end with it are counted.
        const [[row], before] = await together(
          tx,
          changed(tx, { transferId, attempt }, columnsOf(change, attempt, atMs)),
          selectDeliveries.with(tx, transferId),
        )
        if (row === undefined) return null
        const about = { accountId: row.sender_id, transferId, atMs, attempt }
        const { problem } = change
        if (change.state === 'receiving') {
          await appendEvent(tx, about, { notification: 'resend', problem, wanted: change.wanted })
          return toTransfer(row, before)
        }
        const dropped = before.filter(({ state }) => !isFinalDelivery(state)).length
        const [, deliveries] = await together(
          tx,
          deliveriesDrop(tx, transferId, problem, atMs),
          selectDeliveries.with(tx, transferId),
          eventOf(tx, about, { notification: 'refused', problem }),
          ...countOpen(tx, row.sender_id, {
            transfers: -1,
            bytes: -row.size_bytes,
            [change.state]: 1,
            openDeliveries: -dropped,
            failed: dropped,
          }),
        )
        return toTransfer(row, deliveries)
      })
    },
  }
}

/** Which transfer is to move, and from which attempt. */
interface Receiving {
  readonly transferId: string
  readonly attempt: number
}

/** The statement of a move, which compares and sets. It gives no row where the transfer was no longer at that attempt. */
function changed(tx: Tx, { transferId, attempt }: Receiving, columns: UpdateObject<LedgerTables, 'transfers'>) {
  return tx
    .updateTable('transfers')
    .set(columns)
    .where('transfer_id', '=', transferId)
    .where('state', '=', 'receiving')
    .where('attempt', '=', attempt)
    .returningAll()
    .compile()
}

/** Where the content of a transfer is that is stored, and what it is. */
interface Storing {
  readonly manifestDigest: string
  readonly manifest: string | null
  readonly heldIn: 'store' | 'ledger'
  /** Of its parts, where that is another one than they began with. */
  readonly generation?: string
}

/**
 * The move to `stored`, with what follows from it: the first notification, those of receivers that refused early, and the end
 * where no delivery is open.
 *
 * @returns null where the transfer was no longer at that attempt
 */
export async function becomeStored(
  tx: Tx,
  { transferId, attempt }: Receiving,
  { manifestDigest, manifest, heldIn, generation }: Storing,
  atMs: number,
): Promise<{ transfer: Transfer; notification: Notification } | null> {
  assertTransferMove('receiving', 'stored')
  const columns = {
    state: 'stored',
    manifest_digest: manifestDigest,
    manifest,
    stored_at_ms: atMs,
    upload_deadline_ms: null,
    held_in_ledger: heldIn === 'ledger' ? 1 : 0,
    ...(generation === undefined ? {} : { generation }),
  } as const
  const [row] = (await tx.executeQuery(changed(tx, { transferId, attempt }, columns))).rows
  if (row === undefined) return null
  const about = { accountId: row.sender_id, transferId, atMs, attempt }
  const [events, deliveries] = await together(
    tx,
    eventOf(tx, about, { notification: 'stored' }),
    selectDeliveries.with(tx, transferId),
  )
  const told = earlyFailures(tx, about, deliveries)
  const notification = appended(events)
  if (row.open_deliveries > 0) {
    await together(tx, ...told)
    return { transfer: toTransfer(row, deliveries), notification }
  }
  const [[ended]] = await together(tx, ...endOf(tx, row, atMs), ...told)
  return { transfer: toTransfer(mustBe(ended, 'stored'), deliveries), notification }
}

/**
 * The last delivery of a stored transfer has ended, and with it the transfer. The statements that say so, the first of which
 * gives its row; to be run in the transaction of the move that ended it, which holds that row.
 *
 * @param also what else that move changes of the totals
 */
export function endOf(
  tx: Tx,
  { transfer_id, sender_id, size_bytes, held_in_ledger }: TransferRow,
  atMs: number,
  also: TotalsChange = {},
): readonly [CompiledQuery<TransferRow>, ...CompiledQuery[]] {
  assertTransferMove('stored', 'ended')
  return [
    markEnded.with(tx, atMs, transfer_id),
    ...(held_in_ledger === 1 ? [deleteContent.with(tx, transfer_id)] : []),
    ...countOpen(tx, sender_id, { ...also, transfers: -1, bytes: -size_bytes, ended: 1 }),
  ]
}

/** A row that was changed while nobody else could change it. */
export function mustBe<Row>(row: Row | undefined, state: string): Row {
  if (row === undefined) throw new Error(`what is moved is no longer ${state}`)
  return row
}

const markEnded = prepared((db, atMs: number, transferId: string) =>
  db
    .updateTable('transfers')
    .set({ state: 'ended', ended_at_ms: atMs, open_deliveries: 0 })
    .where('transfer_id', '=', transferId)
    .where('state', '=', 'stored')
    .returningAll(),
)

const deleteContent = prepared((db, transferId: string) =>
  db.deleteFrom('contents').where('transfer_id', '=', transferId),
)

function columnsOf(change: Exclude<TransferChange, { state: 'stored' }>, attempt: number, atMs: number) {
  if (change.state === 'receiving') {
    return {
      attempt: attempt + 1,
      ...(change.isAnew ? { generation: String(attempt + 1) } : {}),
      upload_deadline_ms: change.uploadTimeoutMs === null ? null : atMs + change.uploadTimeoutMs,
    }
  }
  return {
    state: change.state,
    problem: JSON.stringify(change.problem),
    upload_deadline_ms: null,
    open_deliveries: 0,
    ended_at_ms: atMs,
  }
}

/** Receivers that refused before the file was stored: the sender hears of it only now, as it should. */
function earlyFailures(tx: Tx, about: About, deliveries: readonly DeliveryRow[]): CompiledQuery[] {
  return deliveries.flatMap(({ state, receiver, problem }) =>
    state !== 'failed'
      ? []
      : [eventOf(tx, about, { notification: 'failed', receiver, problem: JSON.parse(problem ?? 'null') })],
  )
}

/** The transfer ended before it was stored: no second notification, but nothing is offered any more. */
function deliveriesDrop(tx: Tx, transferId: string, problem: ProblemJson, atMs: number): CompiledQuery {
  assertDeliveryMove('waiting', 'failed')
  assertDeliveryMove('offered', 'failed')
  return tx
    .updateTable('deliveries')
    .set({ state: 'failed', problem: JSON.stringify(problem), lease_expires_at_ms: null, ended_at_ms: atMs })
    .where('transfer_id', '=', transferId)
    .where('state', 'in', ['waiting', 'offered'])
    .compile()
}
