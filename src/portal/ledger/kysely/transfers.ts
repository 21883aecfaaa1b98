import type { UpdateObject } from 'kysely'
import {
  assertDeliveryMove,
  assertTransferMove,
  type Notification,
  type ProblemJson,
  type TransferState,
} from '../../../protocol/index.ts'
import type { Ledger, Transfer, TransferChange } from '../contract.ts'
import type { LedgerTables } from '../schema.ts'
import { admit, roomBytes } from './admission.ts'
import { appendEvent } from './events.ts'
import { prepared } from './prepared.ts'
import {
  countOpen,
  type LedgerContext,
  loadTransfer,
  RENEW_BELOW,
  type TransferRow,
  type Tx,
  withDeliveries,
} from './rows.ts'

/** Transfers: how they are admitted, and the one door for their state. */
export function transfers({
  db,
  now,
}: LedgerContext): Pick<
  Ledger,
  'announce' | 'roomBytes' | 'transfer' | 'transfersOf' | 'touchTransfer' | 'moveTransfer'
> {
  return {
    async announce(transfer, admission) {
      return db.transaction().execute(async (tx) => {
        const admitted = await admit(tx, transfer, admission, now())
        return { transfer: admitted.transfer, isNew: admitted.isNew }
      })
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
      return db.transaction().execute(async (tx) => {
        const atMs = now()
        const { attempt } = from
        if (change.state === 'stored') {
          const stored = await becomeStored(tx, { transferId, attempt }, { ...change, heldIn: 'store' }, atMs)
          return stored?.transfer ?? null
        }
        const row = await changed(tx, { transferId, attempt }, columnsOf(change, attempt, atMs))
        if (row === undefined) return null
        const about = { accountId: row.sender_id, transferId, atMs, attempt }
        const { problem } = change
        if (change.state === 'receiving') {
          await appendEvent(tx, about, { notification: 'resend', problem, wanted: change.wanted })
        } else {
          await appendEvent(tx, about, { notification: 'refused', problem })
          await dropDeliveries(tx, transferId, problem)
          await countOpen(tx, row.sender_id, { transfers: -1, bytes: -row.size_bytes })
        }
        return mustLoad(tx, transferId)
      })
    },
  }
}

/** Which transfer is to move, and from which attempt. */
interface Receiving {
  readonly transferId: string
  readonly attempt: number
}

/** @returns undefined where the transfer was no longer at that attempt */
function changed(tx: Tx, { transferId, attempt }: Receiving, columns: UpdateObject<LedgerTables, 'transfers'>) {
  return tx
    .updateTable('transfers')
    .set(columns)
    .where('transfer_id', '=', transferId)
    .where('state', '=', 'receiving')
    .where('attempt', '=', attempt)
    .returningAll()
    .executeTakeFirst()
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
  const row = await changed(
    tx,
    { transferId, attempt },
    {
      state: 'stored',
      manifest_digest: manifestDigest,
      manifest,
      upload_deadline_ms: null,
      held_in_ledger: heldIn === 'ledger' ? 1 : 0,
      ...(generation === undefined ? {} : { generation }),
    },
  )
  if (row === undefined) return null
  const about = { accountId: row.sender_id, transferId, atMs, attempt }
  const notification = await appendEvent(tx, about, { notification: 'stored' })
  await tellEarlyFailures(tx, about)
  if (row.open_deliveries > 0) return { transfer: await withDeliveries(tx, row), notification }
  const ended = await endTransfer(tx, transferId, 'stored', atMs)
  return { transfer: await withDeliveries(tx, ended), notification }
}

/**
 * The last delivery of a stored transfer has ended, and with it the transfer.
 * Called inside the transaction of the move that ended it.
 */
export async function endTransfer(tx: Tx, transferId: string, from: TransferState, atMs: number): Promise<TransferRow> {
  assertTransferMove(from, 'ended')
  const [row] = await markEnded(tx, atMs, transferId, from)
  if (row === undefined) throw new Error(`transfer ${transferId} is not ${from}`)
  if (row.held_in_ledger === 1) await deleteContent(tx, transferId)
  await countOpen(tx, row.sender_id, { transfers: -1, bytes: -row.size_bytes })
  return row
}

const markEnded = prepared((db, atMs: number, transferId: string, from: TransferState) =>
  db
    .updateTable('transfers')
    .set({ state: 'ended', ended_at_ms: atMs })
    .where('transfer_id', '=', transferId)
    .where('state', '=', from)
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
async function tellEarlyFailures(
  tx: Tx,
  about: { accountId: number; transferId: string; atMs: number; attempt: number },
): Promise<void> {
  const failed = await tx
    .selectFrom('deliveries')
    .select(['receiver', 'problem'])
    .where('transfer_id', '=', about.transferId)
    .where('state', '=', 'failed')
    .execute()
  for (const { receiver, problem } of failed) {
    await appendEvent(tx, about, { notification: 'failed', receiver, problem: JSON.parse(problem ?? 'null') })
  }
}

/** The transfer ended before it was stored: no second notification, but nothing is offered any more. */
async function dropDeliveries(tx: Tx, transferId: string, problem: ProblemJson): Promise<void> {
  assertDeliveryMove('waiting', 'failed')
  assertDeliveryMove('offered', 'failed')
  await tx
    .updateTable('deliveries')
    .set({ state: 'failed', problem: JSON.stringify(problem), lease_expires_at_ms: null })
    .where('transfer_id', '=', transferId)
    .where('state', 'in', ['waiting', 'offered'])
    .execute()
}

async function mustLoad(tx: Tx, transferId: string): Promise<Transfer> {
  const transfer = await loadTransfer(tx, transferId)
  if (transfer === null) throw new Error(`transfer ${transferId} is not in the ledger`)
  return transfer
}
