/** The rows of guests and of requests: how they are found, written, and ended. All run under `lockAccountChanges`. */
import { type Insertable, type Selectable, sql } from 'kysely'
import { type NewGuest, Problem, type PublicKeys } from '../../../protocol/index.ts'
import type { GuestOf } from '../accounts-contract.ts'
import type { FileRequestRecord, GuestBounds, Owner } from '../guests-contract.ts'
import type { LedgerTables } from '../schema.ts'
import { recordChange } from './account-changes.ts'
import type { Db, Tx } from './context.ts'
import { locking, lockingFree } from './locks.ts'

const DAY_MS = 24 * 60 * 60 * 1000

type GuestRow = Insertable<LedgerTables['accounts']>
type FileRequestRow = Selectable<LedgerTables['file_requests']>
type Links = Required<Pick<GuestRow, 'owner_id' | 'request_id' | 'expires_at_ms' | 'created_at_ms' | 'guest_state'>>

/** What an account is a guest of; null for an account of a person. */
export function toGuest(row: {
  owner_id: number | null
  request_id: string | null
  expires_at_ms: number | null
}): GuestOf | null {
  const { owner_id, request_id, expires_at_ms } = row
  if (owner_id === null || expires_at_ms === null) return null
  return { kind: request_id === null ? 'receiving' : 'sending', ownerId: owner_id, expiresAtMs: expires_at_ms }
}

export function ownerOf({ name, keys }: { name: string; keys: string | null }): Owner {
  if (keys === null) throw new Error(`${name} has guests and no keys`)
  return { name, keys: JSON.parse(keys) }
}

export function toFileRequest(row: FileRequestRow, nowMs: number): FileRequestRecord {
  const state = row.is_closed === 1 ? 'closed' : row.ends_at_ms > nowMs ? 'open' : 'expired'
  return {
    requestId: row.request_id,
    ownerId: row.owner_id,
    label: row.label,
    createdAtMs: row.created_at_ms,
    endsAtMs: row.ends_at_ms,
    state,
    filesMax: row.files_max,
    bytesMax: row.bytes_max,
    guests: row.guests,
    files: row.files,
    bytes: row.bytes,
  }
}

/** A person who may have guests: they need keys to be known by. @throws Problem `credentials-invalid`, `keys-missing` */
export async function mustBeOwner(tx: Tx, accountId: number): Promise<void> {
  const row = await tx
    .selectFrom('accounts')
    .select(['revoked_at_ms', 'keys', 'owner_id'])
    .where('account_id', '=', accountId)
    // An announcement that opens a guest again counts the open ones, too.
    .$call(locking(tx, 'change'))
    .executeTakeFirst()
  if (row === undefined || row.revoked_at_ms !== null) throw new Problem('credentials-invalid')
  if (row.owner_id !== null) throw new Problem('guest-not-allowed')
  if (row.keys === null) throw new Problem('keys-missing', { detail: 'an account needs keys to make links' })
}

/**
 * The row of a guest that exists already.
 *
 * @throws Problem `guest-conflict` when another account has its name or the id of its token
 */
export async function sameGuest(
  tx: Tx,
  guest: NewGuest,
  links: Pick<Links, 'owner_id' | 'request_id'>,
): Promise<{ account_id: number; expires_at_ms: number | null } | null> {
  const select = (column: 'name' | 'token_id', value: string) =>
    tx.selectFrom('accounts').selectAll().where(column, '=', value).executeTakeFirst()
  const row = await select('name', guest.account)
  const holder = await select('token_id', guest.tokenId)
  if (row === undefined && holder === undefined) return null
  const isSame =
    row !== undefined &&
    row.account_id === holder?.account_id &&
    row.owner_id === links.owner_id &&
    row.request_id === links.request_id &&
    row.token_hash === guest.tokenHash &&
    row.keys === keysText(guest.keys)
  if (!isSame) throw new Problem('guest-conflict')
  return row
}

/** Writes a new guest, if possible into the row of one that is cleared. @returns its account id */
export async function writeGuest(tx: Tx, guest: NewGuest, links: Links): Promise<number> {
  const columns = {
    name: guest.account,
    token_id: guest.tokenId,
    token_hash: guest.tokenHash,
    keys: keysText(guest.keys),
    ...links,
  }
  const cleared = await tx
    .selectFrom('accounts')
    .select('account_id')
    .where('guest_state', '=', sql.lit('cleared'))
    // The comparison with 0 makes it use only the index.
    .where('account_id', '>', sql.lit(0))
    .orderBy('account_id')
    .limit(1)
    .executeTakeFirst()
  await recordChange(tx, { atMs: links.created_at_ms, change: 'guest-made', name: guest.account })
  if (cleared === undefined) {
    const made = await tx.insertInto('accounts').values(columns).returning('account_id').executeTakeFirstOrThrow()
    return made.account_id
  }
  await tx
    .updateTable('accounts')
    .set({ ...columns, revoked_at_ms: null })
    .where('account_id', '=', cleared.account_id)
    .execute()
  return cleared.account_id
}

function keysText({ signing, encryption }: PublicKeys): string {
  return JSON.stringify({ signing, encryption })
}

/** @throws Problem `too-many-guests` when an owner would have more guests and requests than it may have at a time */
export async function requireOpenRoom(
  tx: Tx,
  ownerId: number,
  count: number,
  openMax: number,
  atMs: number,
): Promise<void> {
  // At most as many rows are read as may exist.
  const guests = await guestsOf(tx, ownerId)
    .where('guest_state', 'in', sql<'fresh' | 'open'>`('fresh', 'open')`)
    .limit(openMax)
    .execute()
  const requests = await requestsOf(tx, ownerId).where('ends_at_ms', '>', atMs).limit(openMax).execute()
  if (guests.length + requests.length + count <= openMax) return
  throw new Problem('too-many-guests', { openMax, detail: `${openMax} may be open at a time` })
}

function guestsOf(tx: Tx, ownerId: number) {
  return tx.selectFrom('accounts').select('account_id').where('owner_id', '=', ownerId)
}

function requestsOf(tx: Tx, ownerId: number) {
  return tx.selectFrom('file_requests').select('request_id').where('owner_id', '=', ownerId)
}

/** @throws Problem `too-many-guests` when an owner would have more guests and requests than it may have at a time, or make in a day */
export async function requireRoomFor(
  tx: Tx,
  ownerId: number,
  count: number,
  { openMax, perDayMax }: GuestBounds,
  atMs: number,
): Promise<void> {
  await requireOpenRoom(tx, ownerId, count, openMax, atMs)
  const since = atMs - DAY_MS
  const requests = requestsOf(tx, ownerId)
  const ownGuests = guestsOf(tx, ownerId).where('owner_id', 'is not', null).where('request_id', 'is', null)
  const made =
    (await ownGuests.where('created_at_ms', '>', since).limit(perDayMax).execute()).length +
    (await requests.where('created_at_ms', '>', since).limit(perDayMax).execute()).length
  if (made + count > perDayMax) {
    throw new Problem('too-many-guests', { perDayMax, detail: `${perDayMax} may be made in 24 hours` })
  }
}

/** Revokes guests: all of an owner, or some by their ids. @returns how many were not revoked before */
export async function revokeGuests(
  tx: Tx,
  whose: { readonly ownerId: number } | { readonly accountIds: readonly number[] },
  change: 'guest-expired' | 'guest-revoked',
  atMs: number,
): Promise<number> {
  const active = tx
    .selectFrom('accounts')
    .select(['account_id', 'name', 'token_id'])
    .where('owner_id', 'is not', null)
    .where('revoked_at_ms', 'is', null)
  // This waits for running announcements that found a guest valid, as the revocation of any account does.
  const ended = await ('ownerId' in whose
    ? active.where('owner_id', '=', whose.ownerId)
    : active.where('account_id', 'in', whose.accountIds)
  )
    .$call(locking(tx, 'remove'))
    .execute()
  for (const { account_id, name, token_id } of ended) {
    await tx
      .updateTable('accounts')
      .set({ revoked_at_ms: atMs, revocation_due: 1, guest_state: 'ended' })
      .where('account_id', '=', account_id)
      .execute()
    await recordChange(tx, { atMs, change, name, deadTokenId: token_id })
  }
  return ended.length
}

/**
 * Records that transfers of guests are forgotten, and clears the rows of guests that have ended and of which none is remembered.
 *
 * @param guestIds a guest for each of its transfers
 * @param madeBeforeMs younger guests still count in the number that their owner made in a day
 */
export async function forgetGuests(
  tx: Tx,
  guestIds: readonly number[],
  { madeBeforeMs, limit }: { madeBeforeMs: number; limit: number },
): Promise<void> {
  for (const accountId of guestIds) {
    await tx
      .updateTable('accounts')
      .set((eb) => ({ guest_transfers: eb('guest_transfers', '-', 1) }))
      .where('account_id', '=', accountId)
      .execute()
  }
  const over = await tx
    .selectFrom('accounts')
    .select('account_id')
    .where('guest_state', '=', sql.lit('ended'))
    .where('guest_transfers', '=', sql.lit(0))
    .where('revocation_due', '=', sql.lit(0))
    .where('created_at_ms', '<=', madeBeforeMs)
    .orderBy('created_at_ms')
    .limit(limit)
    .$call(lockingFree(tx))
    .execute()
  for (const { account_id } of over) {
    // No account and no token has such a name.
    const nothing = `cleared ${account_id}`
    await tx
      .updateTable('accounts')
      .set({ name: nothing, token_id: nothing, token_hash: '', keys: null, request_id: null, guest_state: 'cleared' })
      .where('account_id', '=', account_id)
      .execute()
  }
}

/**
 * Deletes requests that ended before a time and have no guests any more.
 *
 * @param madeBeforeMs younger ones still count in the number that their owner made in a day
 */
export async function forgetRequests(tx: Tx, beforeMs: number, madeBeforeMs: number): Promise<void> {
  await tx
    .deleteFrom('file_requests')
    .where('uploads_due', '=', sql.lit(0))
    .where('ends_at_ms', '<=', beforeMs)
    .where('created_at_ms', '<=', madeBeforeMs)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('accounts')
            .select('account_id')
            .whereRef('accounts.request_id', '=', 'file_requests.request_id'),
        ),
      ),
    )
    .execute()
}

/** Ends the open requests of an owner, or one of them. Uploads under way are ended by the sweeper. */
export async function closeRequests(tx: Tx, ownerId: number, requestId: string | null, atMs: number): Promise<void> {
  await tx
    .updateTable('file_requests')
    .set({ ends_at_ms: atMs, is_closed: 1 })
    .where('owner_id', '=', ownerId)
    .where('ends_at_ms', '>', atMs)
    .$if(requestId !== null, (query) => query.where('request_id', '=', requestId ?? ''))
    .execute()
}

export function fileRequestRow(db: Db, requestId: string): Promise<FileRequestRow | undefined> {
  return db.selectFrom('file_requests').selectAll().where('request_id', '=', requestId).executeTakeFirst()
}
