import type { CompiledQuery, UpdateObject } from 'kysely'
import {
  assertDeliveryMove,
  assertTransferMove,
  isFinalDelivery,
  type Notification,
  Problem,
  type ProblemJson,
  streamBytesWith,
} from '../../../protocol/index.ts'
import type { Ledger, Transfer, TransferChange } from '../contract.ts'
import { limitOf } from '../room.ts'
import type { LedgerTables } from '../schema.ts'
import { admit, roomBytes, streamRoom } from './admission.ts'
import type { DeliveryRow, LedgerContext, TransferRow, Tx } from './context.ts'
import { type About, appendEvent, appended, eventOf } from './events.ts'
import { countInRequest, guestsSettled, requireRequestRoom } from './guest-admission.ts'
import { prepared, together } from './prepared.ts'
import { loadTransfer, lockTransferRows, RENEW_BELOW, selectDeliveries, toTransfer, withDeliveries } from './rows.ts'
import { countOpen, type TotalsChange } from './totals.ts'

/** Transfers: their admission, and the method that changes their state. */
export function transfers({
  db,
  now,
  transact,
}: LedgerContext): Pick<
  Ledger,
  'announce' | 'growStream' | 'roomBytes' | 'transfer' | 'transfersOf' | 'extendUploadDeadline' | 'moveTransfer'
> {
  return {
    async announce(transfer, admission) {
      return transact(async (tx) => {
        const admitted = await admit(tx, transfer, admission, now())
        return { transfer: admitted.transfer, isNew: admitted.isNew }
      }, transfer.senderId)
    },

    async growStream(transferId, { attempt, partNumber, lengthBytes }, bounds) {
      return transact(async (tx) => {
        const rows = await lockTransferRows(tx, transferId)
        if (rows === null) return null
        const { transfer: row, deliveries } = rows
        if (row.state !== 'receiving' || row.attempt !== attempt || row.size_known === 1) return null
        const before = { sizeBytes: row.size_bytes, partSizeBytes: row.part_size_bytes }
        const sizeBytes = streamBytesWith(before, partNumber, lengthBytes)
        if (sizeBytes === before.sizeBytes) return toTransfer(row, deliveries)
        // What an upload has of the part counts already.
        const tailBytes = Math.max(0, countedBytes(row) - sizeBytes)
        const moreBytes = sizeBytes + tailBytes - countedBytes(row)
        const { freeBytes, side } = await streamRoom(tx, row, bounds, now())
        requireRequestRoom(side, 0, moreBytes)
        if (moreBytes > freeBytes) {
          throw new Problem('storage-full', { neededBytes: moreBytes, freeBytes, ...limitOf(sizeBytes, bounds) })
        }
        const [[grown]] = await together(
          tx,
          setStreamSize.with(tx, sizeBytes, tailBytes, transferId),
          ...countOpen(tx, row, { open_transfers: 0, open_bytes: moreBytes }),
          ...(side?.request == null ? [] : [countInRequest(tx, row.sender_id, 0, moreBytes)]),
        )
        return toTransfer(mustBe(grown, 'receiving'), deliveries)
      })
    },

    roomBytes: (transfer, admission) => roomBytes(db, transfer, admission, now()),

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

    async extendUploadDeadline(transferId, uploadTimeoutMs) {
      const isDue = (deadlineMs: number | null): boolean =>
        deadlineMs === null || deadlineMs < now() + uploadTimeoutMs * RENEW_BELOW
      // Read first, because most extensions need no write.
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
        // Reads the deliveries as they were, because those that end with the transfer have to be counted.
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
        const open = before.filter(({ state }) => !isFinalDelivery(state))
        const dropped = open.length
        // What was not stored does not count in a request.
        const uncounted = row.guest_owner_id === null ? [] : [countInRequest(tx, row.sender_id, -1, -row.size_bytes)]
        const [, deliveries] = await together(
          tx,
          deliveriesDrop(tx, transferId, problem, atMs),
          selectDeliveries.with(tx, transferId),
          eventOf(tx, about, { notification: 'refused', problem }),
          ...guestsSettled(tx, open, 'failed'),
          ...uncounted,
          ...countOpen(tx, row, {
            open_transfers: -1,
            open_bytes: -countedBytes(row),
            [change.state]: 1,
            open_deliveries: -dropped,
            failed: dropped,
          }),
        )
        return toTransfer(row, deliveries)
      })
    },
  }
}

/** The transfer to move, and its attempt. */
interface Receiving {
  readonly transferId: string
  readonly attempt: number
  /** For a stream, the number of bytes that it must have at least. */
  readonly streamBytes?: number | undefined
}

/** The compare-and-set statement of a move. It gives no row when the transfer was no longer at that attempt. */
function changed(
  tx: Tx,
  { transferId, attempt, streamBytes }: Receiving,
  columns: UpdateObject<LedgerTables, 'transfers'>,
) {
  return tx
    .updateTable('transfers')
    .set(columns)
    .where('transfer_id', '=', transferId)
    .where('state', '=', 'receiving')
    .where('attempt', '=', attempt)
    .$if(streamBytes !== undefined, (query) => query.where('size_bytes', '=', streamBytes ?? 0))
    .returningAll()
    .compile()
}

/** Where the content of a stored transfer is, and its manifest. */
interface Storing {
  readonly manifestDigest: string
  readonly manifest: string | null
  readonly heldIn: 'store' | 'ledger'
  /** The generation of its parts, if it differs from the one at the announcement. */
  readonly generation?: string
  /** Of a stream. */
  readonly streamBytes?: number
}

/**
 * Moves a transfer to `stored`, with all consequences: the first notification, the second ones of receivers that refused early, and
 * the end of the transfer if no delivery is open.
 *
 * @returns null where the transfer was no longer at that attempt
 */
export async function becomeStored(
  tx: Tx,
  { transferId, attempt }: Receiving,
  { manifestDigest, manifest, heldIn, generation, streamBytes }: Storing,
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
    ...(streamBytes === undefined ? {} : { size_known: 1 }),
  } as const
  const [row] = (await tx.executeQuery(changed(tx, { transferId, attempt, streamBytes }, columns))).rows
  if (row === undefined) return null
  if (streamBytes !== undefined) await tx.executeQuery(sizeIsKnown.with(tx, transferId))
  const about = { accountId: row.sender_id, transferId, atMs, attempt }
  const [events, deliveries] = await together(
    tx,
    eventOf(tx, about, { notification: 'stored' }),
    selectDeliveries.with(tx, transferId),
  )
  const failures = earlyFailures(tx, about, deliveries)
  const notification = appended(events)
  if (row.open_deliveries > 0) {
    await together(tx, ...failures)
    return { transfer: toTransfer(row, deliveries), notification }
  }
  const [[ended]] = await together(tx, ...endOf(tx, row, atMs), ...failures)
  return { transfer: toTransfer(mustBe(ended, 'stored'), deliveries), notification }
}

/**
 * The statements that end a stored transfer whose last delivery has ended. The first one gives the transfer's row. They run in the
 * transaction of the move that ended the delivery, which has locked that row.
 *
 * @param also further changes of the totals by that move
 */
export function endOf(
  tx: Tx,
  row: TransferRow,
  atMs: number,
  also: TotalsChange = {},
): readonly [CompiledQuery<TransferRow>, ...CompiledQuery[]] {
  assertTransferMove('stored', 'ended')
  const { transfer_id, held_in_ledger } = row
  return [
    markEnded.with(tx, atMs, transfer_id),
    ...(held_in_ledger === 1 ? [deleteContent.with(tx, transfer_id)] : []),
    ...countOpen(tx, row, { ...also, open_transfers: -1, open_bytes: -countedBytes(row), ended: 1 }),
  ]
}

/** The bytes of a transfer in the open bytes of its account, of the owner of its guests, and of the portal. */
function countedBytes({ size_bytes, tail_bytes }: Pick<TransferRow, 'size_bytes' | 'tail_bytes'>): number {
  return size_bytes + tail_bytes
}

/** A row that was changed under its lock. */
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

const setStreamSize = prepared((db, sizeBytes: number, tailBytes: number, transferId: string) =>
  db
    .updateTable('transfers')
    .set({ size_bytes: sizeBytes, tail_bytes: tailBytes })
    .where('transfer_id', '=', transferId)
    .returningAll(),
)

/** From now on any receiver may be offered the stream. */
const sizeIsKnown = prepared((db, transferId: string) =>
  db.updateTable('deliveries').set({ size_known: 1 }).where('transfer_id', '=', transferId),
)

const deleteContent = prepared((db, transferId: string) =>
  db.deleteFrom('contents').where('transfer_id', '=', transferId),
)

function columnsOf(change: Exclude<TransferChange, { state: 'stored' }>, attempt: number, atMs: number) {
  if (change.state === 'receiving') {
    return {
      attempt: attempt + 1,
      ...(change.discardsParts ? { generation: String(attempt + 1) } : {}),
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

/** The events of receivers that refused before the file was stored. The sender must not hear of them before `stored`. */
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
