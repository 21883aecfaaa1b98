/**
 * What an announcement from or to guests depends on besides, and what it counts in: the bytes of their owner, and the files and bytes of
 * a request. Rows are locked in the order guest, owner, request.
 */
import { type CompiledQuery, sql } from 'kysely'
import { isGuestName, Problem, requestTriesPerFileMax } from '../../../protocol/index.ts'
import type { RoomBounds } from '../contract.ts'
import type { DeliveryRow, Tx } from './context.ts'
import { requireOpenRoom } from './guest-rows.ts'
import { locking } from './locks.ts'
import { prepared, together } from './prepared.ts'

/** The columns of an account that say whether it is a guest. */
export const guestColumns = ['owner_id', 'request_id', 'expires_at_ms', 'guest_state', 'guest_bytes'] as const

export interface GuestColumns {
  readonly owner_id: number | null
  readonly request_id: string | null
  readonly expires_at_ms: number | null
  readonly guest_state: string | null
  readonly guest_bytes: number
}

/** Whether the sender may send to this account at all: guests and their owner send to each other only. */
export function isReachable(
  receiver: GuestColumns & { readonly account_id: number },
  sender: GuestColumns & { readonly account_id: number },
  atMs: number,
): boolean {
  if (sender.owner_id !== null) return receiver.account_id === sender.owner_id
  if (receiver.owner_id === null) return true
  const isUsable = receiver.guest_state === 'fresh' || receiver.guest_state === 'failed'
  return receiver.owner_id === sender.account_id && isUsable && (receiver.expires_at_ms ?? 0) > atMs
}

/** The owner of the guests of a transfer, and the request that it belongs to. */
export interface GuestSide {
  readonly ownerId: number
  /** The bytes of open transfers from and to guests of the owner. */
  readonly openBytes: number
  /** What the request of a sending guest still takes; null for a transfer to guests. */
  readonly request: {
    readonly requestId: string
    readonly filesLeft: number
    readonly bytesLeft: number
    /** Further transfers that guests may begin, whatever becomes of them. */
    readonly triesLeft: number
  } | null
}

/**
 * Locks the owner and the request of a transfer from or to guests.
 *
 * @param sender its row is locked already
 * @returns null for a transfer without guests
 * @throws Problem `guest-not-allowed`, `request-closed`
 */
export async function lockGuestSide(
  tx: Tx,
  sender: GuestColumns & { readonly account_id: number },
  receivers: readonly GuestColumns[],
  atMs: number,
): Promise<GuestSide | null> {
  const { owner_id: ownerId, request_id: requestId } = sender
  if (ownerId === null) {
    const hasGuests = receivers.some((receiver) => receiver.owner_id !== null)
    return hasGuests ? { ownerId: sender.account_id, openBytes: sender.guest_bytes, request: null } : null
  }
  if (requestId === null) throw new Problem('guest-not-allowed')
  const [[owner], [request], [begun]] = await together(
    tx,
    lockOwner.with(tx, ownerId),
    lockRequest.with(tx, requestId),
    selectBegun.with(tx, requestId),
  )
  if (owner === undefined || request === undefined || request.ends_at_ms <= atMs) throw new Problem('request-closed')
  const { files_max, files, bytes_max, bytes } = request
  const left = {
    filesLeft: Math.max(0, files_max - files),
    bytesLeft: Math.max(0, bytes_max - bytes),
    triesLeft: files_max * requestTriesPerFileMax - (begun?.transfers ?? 0),
  }
  return { ownerId, openBytes: owner.guest_bytes, request: { requestId, ...left } }
}

/** @param files that are new: 1 for an announcement, 0 for a stream that grows. @throws Problem `request-full` */
export function requireRequestRoom(side: GuestSide | null, files: 0 | 1, bytes: number): void {
  const request = side?.request ?? null
  if (request === null) return
  const { filesLeft, bytesLeft, triesLeft } = request
  if (files > 0 && triesLeft <= 0) {
    const detail = 'too many files were begun by its link and not completed'
    throw new Problem('request-full', { filesLeft: 0, bytesLeft, neededBytes: bytes, detail })
  }
  if (filesLeft >= files && bytesLeft >= bytes) return
  throw new Problem('request-full', { filesLeft, bytesLeft, neededBytes: bytes })
}

/** A guest whose transfer failed counts as open again when its owner sends to it again. @throws Problem `too-many-guests` */
export async function requireRoomToReopen(
  tx: Tx,
  sender: { readonly account_id: number },
  receivers: readonly GuestColumns[],
  openMax: number,
  atMs: number,
): Promise<void> {
  const count = receivers.filter(({ guest_state }) => guest_state === 'failed').length
  if (count > 0) await requireOpenRoom(tx, sender.account_id, count, openMax, atMs)
}

/** The bounds for a transfer: those of an account and, for one from or to guests, also those of the owner's guests. */
export function guestRoomBytes(side: GuestSide | null, { accountGuestBytesMax }: RoomBounds): number {
  return side === null ? Number.POSITIVE_INFINITY : accountGuestBytesMax - side.openBytes
}

/** The bounds for the refusal of a transfer for which there is no room. */
export function boundsFor(side: GuestSide | null, bounds: RoomBounds): RoomBounds {
  const { accountBytesMax, accountGuestBytesMax } = bounds
  return side === null ? bounds : { ...bounds, accountBytesMax: Math.min(accountBytesMax, accountGuestBytesMax) }
}

const lockOwner = prepared((db, accountId: number) =>
  db
    .selectFrom('accounts')
    .select('guest_bytes')
    .where('account_id', '=', accountId)
    .where('revoked_at_ms', 'is', null)
    .$call(locking(db, 'change')),
)

const lockRequest = prepared((db, requestId: string) =>
  db.selectFrom('file_requests').selectAll().where('request_id', '=', requestId).$call(locking(db, 'change')),
)

/** The transfers of all guests of a request that the portal remembers. It runs after the lock, so it sees those of transactions before. */
const selectBegun = prepared((db, requestId: string) =>
  db
    .selectFrom('accounts')
    .select((eb) => eb.fn.coalesce(eb.fn.sum<number>('guest_transfers'), sql<number>`0`).as('transfers'))
    .where('request_id', '=', requestId),
)

/** The statements that count a transfer in the request that its sender belongs to. They do nothing for an account of a person. */
export function countInRequest(tx: Tx, senderId: number, files: number, bytes: number): CompiledQuery {
  return addToRequest.with(tx, files, bytes, senderId)
}

const addToRequest = prepared((db, files: number, bytes: number, senderId: number) =>
  db
    .updateTable('file_requests')
    .set((eb) => ({ files: eb('files', '+', files), bytes: eb('bytes', '+', bytes) }))
    .where('request_id', 'in', (eb) =>
      eb
        .selectFrom('accounts')
        .select('accounts.request_id')
        .where('account_id', '=', senderId)
        .$castTo<{ request_id: string }>(),
    ),
)

/** The statements that record a new transfer at the guests that it is from or to. @param isOpen false when it was refused at once */
export function guestsAnnounced(
  tx: Tx,
  parties: readonly { readonly account_id: number; readonly owner_id: number | null }[],
  isOpen: boolean,
): CompiledQuery[] {
  const guests = parties.filter(({ owner_id }) => owner_id !== null)
  return guests.map(({ account_id }) =>
    tx
      .updateTable('accounts')
      .set((eb) => ({
        guest_transfers: eb('guest_transfers', '+', 1),
        ...(isOpen
          ? { guest_state: sql<'open'>`case guest_state when 'sending' then guest_state else 'open' end` }
          : {}),
      }))
      .where('account_id', '=', account_id)
      .compile(),
  )
}

/** The statements that record the outcome of deliveries at the guests that they are to. */
export function guestsSettled(
  tx: Tx,
  deliveries: readonly Pick<DeliveryRow, 'receiver' | 'receiver_id'>[],
  state: 'taken' | 'failed',
): CompiledQuery[] {
  return deliveries
    .filter(({ receiver }) => isGuestName(receiver))
    .map(({ receiver_id }) => settleGuest.with(tx, state, receiver_id))
}

const settleGuest = prepared((db, state: 'taken' | 'failed', accountId: number) =>
  db
    .updateTable('accounts')
    .set({ guest_state: state })
    .where('account_id', '=', accountId)
    .where('guest_state', '=', sql.lit('open')),
)
