import { sql } from 'kysely'
import { type NewGuest, Problem } from '../../../protocol/index.ts'
import type { GuestLedger } from '../guests-contract.ts'
import type { Db, LedgerContext } from './context.ts'
import {
  closeRequests,
  fileRequestRow,
  mustBeOwner,
  ownerOf,
  requireRoomFor,
  revokeGuests,
  sameGuest,
  toFileRequest,
  toGuest,
  writeGuest,
} from './guest-rows.ts'
import { lockAccountChanges, locking } from './locks.ts'

/** Guests, and requests for files. Secrets are stored only as hashes. */
export function guests({ db, now, transact }: LedgerContext): GuestLedger {
  return {
    async createGuests(ownerId, { guests, expiresAtMs }, bounds) {
      return transact(async (tx) => {
        await lockAccountChanges(tx)
        await mustBeOwner(tx, ownerId)
        const unique = new Set(guests.flatMap(({ account, tokenId }) => [account, tokenId]))
        if (unique.size < 2 * guests.length) throw new Problem('guest-conflict')
        const expiries: number[] = []
        const missing: NewGuest[] = []
        for (const guest of guests) {
          const known = await sameGuest(tx, guest, { owner_id: ownerId, request_id: null })
          if (known === null) missing.push(guest)
          expiries.push(known?.expires_at_ms ?? expiresAtMs)
        }
        if (missing.length > 0) await requireRoomFor(tx, ownerId, missing.length, bounds, now())
        for (const guest of missing) {
          const links = { owner_id: ownerId, request_id: null, expires_at_ms: expiresAtMs }
          await writeGuest(tx, guest, { ...links, created_at_ms: now(), guest_state: 'fresh' })
        }
        return { expiresAtMs: Math.min(...expiries) }
      })
    },

    async guest(accountId) {
      const row = await db
        .selectFrom('accounts')
        .innerJoin('accounts as owners', 'owners.account_id', 'accounts.owner_id')
        .select(['accounts.owner_id', 'accounts.request_id', 'accounts.expires_at_ms', 'owners.name', 'owners.keys'])
        .where('accounts.account_id', '=', accountId)
        .executeTakeFirst()
      const guest = row === undefined ? null : toGuest(row)
      if (row === undefined || guest === null) return null
      const request = row.request_id === null ? undefined : await fileRequestRow(db, row.request_id)
      return { ...guest, owner: ownerOf(row), request: request === undefined ? null : toFileRequest(request, now()) }
    },

    async requestsOfGuests(accountIds) {
      if (accountIds.length === 0) return new Map()
      const rows = await db
        .selectFrom('accounts')
        .innerJoin('file_requests', 'file_requests.request_id', 'accounts.request_id')
        .select(['accounts.account_id', 'file_requests.request_id', 'file_requests.label'])
        .where('accounts.account_id', 'in', accountIds)
        .execute()
      return new Map(rows.map(({ account_id, request_id, label }) => [account_id, { requestId: request_id, label }]))
    },

    async createFileRequest(ownerId, { requestId, secretHash, label, expiresAtMs, filesMax, bytesMax }, bounds) {
      const given = { request_id: requestId, owner_id: ownerId, secret_hash: secretHash, label }
      const limits = { files_max: filesMax, bytes_max: bytesMax }
      return transact(async (tx) => {
        await lockAccountChanges(tx)
        await mustBeOwner(tx, ownerId)
        const known = await fileRequestRow(tx, requestId)
        if (known !== undefined) {
          const wanted = Object.entries({ ...given, ...limits })
          const isSame = wanted.every(([column, value]) => known[column as keyof typeof known] === value)
          if (!isSame) throw new Problem('guest-conflict')
          return toFileRequest(known, now())
        }
        const holder = await tx
          .selectFrom('file_requests')
          .select('request_id')
          .where('secret_hash', '=', secretHash)
          .executeTakeFirst()
        if (holder !== undefined) throw new Problem('guest-conflict')
        await requireRoomFor(tx, ownerId, 1, bounds, now())
        const made = await tx
          .insertInto('file_requests')
          .values({ ...given, ...limits, created_at_ms: now(), ends_at_ms: expiresAtMs })
          .returningAll()
          .executeTakeFirstOrThrow()
        return toFileRequest(made, now())
      })
    },

    async fileRequestsOf(ownerId, { before, limit }) {
      const rows = await db
        .selectFrom('file_requests')
        .selectAll()
        .where('owner_id', '=', ownerId)
        .$if(before !== null, (query) => query.where('request_id', '<', before ?? ''))
        .orderBy('request_id', 'desc')
        .limit(limit)
        .execute()
      return rows.map((row) => toFileRequest(row, now()))
    },

    async closeFileRequest(ownerId, requestId) {
      return transact(async (tx) => {
        await closeRequests(tx, ownerId, requestId, now())
        const row = await fileRequestRow(tx, requestId)
        return row?.owner_id === ownerId ? toFileRequest(row, now()) : null
      })
    },

    async fileRequestByHash(secretHash) {
      const row = await openRequest(db, secretHash, now())
      return row === undefined ? null : { request: toFileRequest(row, now()), owner: ownerOf(row) }
    },

    async joinFileRequest(secretHash, guest, { lingerMs }) {
      return transact(async (tx) => {
        await lockAccountChanges(tx)
        const request = await openRequest(tx, secretHash, now())
        if (request === undefined) return null
        const { request_id, owner_id } = request
        const known = await sameGuest(tx, guest, { owner_id, request_id })
        if (known !== null) return { accountId: known.account_id, name: guest.account }
        if (request.guests >= request.files_max) {
          throw new Problem('request-full', { detail: 'as many people have used the link as it takes files' })
        }
        const links = { owner_id, request_id, expires_at_ms: request.ends_at_ms + lingerMs }
        const accountId = await writeGuest(tx, guest, { ...links, created_at_ms: now(), guest_state: 'sending' })
        await tx
          .updateTable('file_requests')
          .set((eb) => ({ guests: eb('guests', '+', 1) }))
          .where('request_id', '=', request_id)
          .execute()
        return { accountId, name: guest.account }
      })
    },

    async expireGuests(limit) {
      const due = await db
        .selectFrom('accounts')
        .select('account_id')
        .where('owner_id', 'is not', null)
        .where('revoked_at_ms', 'is', null)
        .where('expires_at_ms', '<=', now())
        .orderBy('expires_at_ms')
        .limit(limit)
        .execute()
      if (due.length === 0) return 0
      return transact(async (tx) => {
        await lockAccountChanges(tx)
        const accountIds = due.map((row) => row.account_id)
        return revokeGuests(tx, { accountIds }, 'guest-expired', now())
      })
    },

    async dueFileRequests(limit) {
      const rows = await db
        .selectFrom('file_requests')
        .select('request_id')
        .where('uploads_due', '=', sql.lit(1))
        .where('ends_at_ms', '<=', now())
        .orderBy('ends_at_ms')
        .limit(limit)
        .execute()
      return rows.map((row) => row.request_id)
    },

    uploadsFor: (requestId, limit) => uploadsFor(db, requestId, limit),

    async fileRequestSettled(requestId) {
      await transact(async (tx) => {
        // Waits for an announcement that found the request open just before its end. Its upload is then ended by the next round.
        await tx
          .selectFrom('file_requests')
          .select('request_id')
          .where('request_id', '=', requestId)
          .$call(locking(tx, 'change'))
          .execute()
        if ((await uploadsFor(tx, requestId, 1)).length > 0) return
        await tx.updateTable('file_requests').set({ uploads_due: 0 }).where('request_id', '=', requestId).execute()
      })
    },

    async guestCensus() {
      const active = await db
        .selectFrom('accounts')
        .select((eb) => [eb.fn.count<number>('request_id').as('sending'), eb.fn.countAll<number>().as('all')])
        .where('owner_id', 'is not', null)
        .where('revoked_at_ms', 'is', null)
        .where('expires_at_ms', '>', now())
        .executeTakeFirstOrThrow()
      const open = await db
        .selectFrom('file_requests')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .where('uploads_due', '=', sql.lit(1))
        .where('ends_at_ms', '>', now())
        .executeTakeFirstOrThrow()
      return { receiving: active.all - active.sending, sending: active.sending, requests: open.count }
    },
  }
}

async function uploadsFor(db: Db, requestId: string, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('accounts')
    .innerJoin('transfers', 'transfers.sender_id', 'accounts.account_id')
    .select('transfer_id')
    .where('accounts.request_id', '=', requestId)
    .where('transfers.state', '=', sql.lit('receiving'))
    .limit(limit)
    .execute()
  return rows.map((row) => row.transfer_id)
}

function openRequest(db: Db, secretHash: string, atMs: number) {
  return db
    .selectFrom('file_requests')
    .innerJoin('accounts', 'accounts.account_id', 'file_requests.owner_id')
    .selectAll('file_requests')
    .select(['accounts.name', 'accounts.keys'])
    .where('secret_hash', '=', secretHash)
    .where('ends_at_ms', '>', atMs)
    .executeTakeFirst()
}
