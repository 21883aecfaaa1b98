/** The ledger's guests, and requests for files. */
import { describe, expect, test } from 'vitest'
import type { Account, Ledger } from '../../src/portal/ledger/contract.ts'
import { guestNameOf, type NewGuest, newTransferId, requestTriesPerFileMax } from '../../src/protocol/index.ts'
import { aTransfer, type LedgerTest, manifestDigest, problem, roomy } from './ledger.ts'

const DAY_MS = 24 * 60 * 60_000
const bounds = { openMax: 3, perDayMax: 5 }
let count = 0

/** Another guest each time. */
export function newGuest(): NewGuest {
  const text = (++count).toString(2).padStart(24, '0').replaceAll('0', 'a').replaceAll('1', 'b')
  const unique = `${count}`.padStart(16, 'x')
  return {
    account: guestNameOf(text),
    tokenId: unique,
    tokenHash: `hash ${count}`,
    keys: { signing: `s${count}`, encryption: `e${count}` },
  }
}

/** Makes receiving guests of an owner. */
export async function makeGuests(
  ledger: Ledger,
  owner: Account,
  { number = 1, expiresAtMs = ledger.nowMs() + DAY_MS, within = bounds } = {},
): Promise<Account[]> {
  const guests = Array.from({ length: number }, newGuest)
  await ledger.createGuests(owner.accountId, { guests, expiresAtMs }, within)
  return Promise.all(guests.map(({ account }) => accountNamed(ledger, account)))
}

async function accountNamed(ledger: Ledger, name: string): Promise<Account> {
  const found = await ledger.accountByName(name)
  if (found === null) throw new Error(`there is no ${name}`)
  return { accountId: found.accountId, name }
}

export function aRequest(ledger: Ledger, { filesMax = 2, bytesMax = 10_000 } = {}) {
  const requestId = newTransferId()
  const expiresAtMs = ledger.nowMs() + DAY_MS
  return { requestId, secretHash: `secret of ${requestId}`, label: 'sealed', expiresAtMs, filesMax, bytesMax }
}

export function testGuests(begin: () => Promise<LedgerTest>): void {
  /** Ada, the owner, has keys. */
  const beginWithKeys = async () => {
    const all = await begin()
    await all.ledger.setKeys(all.ada.accountId, { signing: 's', encryption: 'e' })
    return all
  }

  describe('receiving guests', () => {
    test('are made all or none; the same call again makes none', async () => {
      const { ledger, ada } = await beginWithKeys()
      const guests = [newGuest(), newGuest()]
      const expiresAtMs = ledger.nowMs() + DAY_MS
      const make = (some: readonly NewGuest[]) =>
        ledger.createGuests(ada.accountId, { guests: some, expiresAtMs }, bounds)
      expect(await make(guests)).toEqual({ expiresAtMs })
      expect(await make(guests)).toEqual({ expiresAtMs })
      expect(await ledger.guestCensus()).toEqual({ receiving: 2, sending: 0, requests: 0 })
      const [first = newGuest()] = guests
      expect(await ledger.accountByTokenId(first.tokenId)).toMatchObject({
        name: first.account,
        tokenHash: first.tokenHash,
        isRevoked: false,
        isOperator: false,
        guest: { kind: 'receiving', ownerId: ada.accountId, expiresAtMs },
      })
      const { accountId } = await accountNamed(ledger, first.account)
      expect(await ledger.guest(accountId)).toMatchObject({
        kind: 'receiving',
        owner: { name: 'ada', keys: { signing: 's', encryption: 'e' } },
        request: null,
      })
      expect(await ledger.guest(ada.accountId)).toBeNull()
      const two = [newGuest(), newGuest()]
      await expect(make(two)).rejects.toMatchObject({ code: 'too-many-guests' })
      expect(await ledger.accountByName(two[0]?.account ?? '')).toBeNull()
    })

    test('are all different', async () => {
      const { ledger, ada } = await beginWithKeys()
      const guest = newGuest()
      const twice = { guests: [guest, { ...newGuest(), tokenId: guest.tokenId }], expiresAtMs: ledger.nowMs() + 1 }
      await expect(ledger.createGuests(ada.accountId, twice, bounds)).rejects.toMatchObject({ code: 'guest-conflict' })
    })

    test.each([
      ['another token', (guest: NewGuest) => ({ ...guest, tokenId: 'other id of token' })],
      ['the hash of another token', (guest: NewGuest) => ({ ...guest, tokenHash: 'other' })],
      ['other keys', (guest: NewGuest) => ({ ...guest, keys: { ...guest.keys, signing: 'other' } })],
      ['another name', (guest: NewGuest) => ({ ...guest, account: newGuest().account })],
      ["an account's token", () => ({ ...newGuest(), tokenId: 'token of bob' })],
    ])('with %s under a name or a token that exists are a conflict', async (_, change) => {
      const { ledger, ada } = await beginWithKeys()
      const guest = newGuest()
      const all = { guests: [guest], expiresAtMs: ledger.nowMs() + DAY_MS }
      await ledger.createGuests(ada.accountId, all, bounds)
      const other = { ...all, guests: [newGuest(), change(guest)] }
      await expect(ledger.createGuests(ada.accountId, other, bounds)).rejects.toMatchObject({ code: 'guest-conflict' })
      expect(await ledger.guestCensus()).toMatchObject({ receiving: 1 })
    })

    test('belong to the account that made them', async () => {
      const { ledger, ada, cy } = await beginWithKeys()
      await ledger.setKeys(cy.accountId, { signing: 's', encryption: 'e' })
      const all = { guests: [newGuest()], expiresAtMs: ledger.nowMs() + DAY_MS }
      await ledger.createGuests(ada.accountId, all, bounds)
      await expect(ledger.createGuests(cy.accountId, all, bounds)).rejects.toMatchObject({ code: 'guest-conflict' })
    })

    test('are made only by an account with keys that is not revoked, and by no guest', async () => {
      const { ledger, ada, cy } = await beginWithKeys()
      const [guest = cy] = await makeGuests(ledger, ada)
      await expect(makeGuests(ledger, cy)).rejects.toMatchObject({ code: 'keys-missing' })
      await expect(makeGuests(ledger, guest)).rejects.toMatchObject({ code: 'guest-not-allowed' })
      await ledger.revokeAccount('ada')
      await expect(makeGuests(ledger, ada)).rejects.toMatchObject({ code: 'credentials-invalid' })
    })

    test('are sent to by their owner only, and only once it is delivered no more', async () => {
      const { ledger, ada, bob, cy, store, offer, settle, move } = await beginWithKeys()
      const [guest = cy] = await makeGuests(ledger, ada)
      const announce = (from: Account, to: readonly Account[] = [guest]) => ledger.announce(aTransfer(from, to), roomy)
      const unknown = { code: 'receiver-unknown', details: { receivers: [guest.name] } }
      await expect(announce(cy)).rejects.toMatchObject(unknown)
      await expect(announce(guest, [ada])).rejects.toMatchObject({ code: 'guest-not-allowed' })

      const { transfer } = await announce(ada, [bob, guest])
      await expect(announce(ada), 'while a file is under way').rejects.toMatchObject(unknown)
      await move(transfer.transferId, { state: 'cancelled', problem: problem('cancelled') })
      const again = await store([guest])
      await expect(announce(ada)).rejects.toMatchObject(unknown)
      await offer(guest)
      await settle(again, guest, { state: 'failed', problem: problem('disk-full') })
      const last = await store([guest])
      await offer(guest)
      await settle(last, guest, { state: 'delivered', receipt: null })
      await expect(announce(ada), 'once it has its file').rejects.toMatchObject(unknown)
    })

    test('count as open until they have their file, or have ended', async () => {
      const { ledger, ada, cy, store, offer, settle, clock } = await beginWithKeys()
      const guests = await makeGuests(ledger, ada, { number: 3 })
      await expect(makeGuests(ledger, ada)).rejects.toMatchObject({
        code: 'too-many-guests',
        details: { openMax: 3 },
      })
      const [first = cy, second = cy] = guests
      const taken = await store([first])
      await offer(first)
      await settle(taken, first, { state: 'delivered', receipt: null })
      const failed = await store([second])
      await offer(second)
      await settle(failed, second, { state: 'failed', problem: problem('declined') })
      await makeGuests(ledger, ada, { number: 2, expiresAtMs: ledger.nowMs() + 2 * DAY_MS })
      await expect(makeGuests(ledger, ada)).rejects.toMatchObject({ code: 'too-many-guests' })
      clock.advance(DAY_MS)
      expect(await ledger.expireGuests(10)).toBe(3)
      await makeGuests(ledger, ada)
    })

    test('are bounded by the day, too', async () => {
      const { ledger, ada, clock } = await beginWithKeys()
      const within = { openMax: 100, perDayMax: 2 }
      await makeGuests(ledger, ada, { number: 2, within })
      const more = () => makeGuests(ledger, ada, { within })
      await expect(more()).rejects.toMatchObject({ code: 'too-many-guests', details: { perDayMax: 2 } })
      await expect(ledger.createFileRequest(ada.accountId, aRequest(ledger), within)).rejects.toMatchObject({
        code: 'too-many-guests',
      })
      clock.advance(DAY_MS)
      await more()
    })

    test('are no more open than allowed, even if an owner sends again what failed', async () => {
      const { ledger, ada, cy, move } = await beginWithKeys()
      const [first = cy] = await makeGuests(ledger, ada)
      const { transfer } = await ledger.announce(aTransfer(ada, [first]), roomy)
      await move(transfer.transferId, { state: 'cancelled', problem: problem('cancelled') })
      const guests = await makeGuests(ledger, ada, { number: 3 })
      const narrow = { ...roomy, accountGuestsMax: bounds.openMax }
      await expect(ledger.announce(aTransfer(ada, [first]), narrow)).rejects.toMatchObject({
        code: 'too-many-guests',
        details: { openMax: 3 },
      })
      const [fresh = cy] = guests
      const sent = await ledger.announce(aTransfer(ada, [fresh]), narrow)
      expect(sent, 'one that counts already').toMatchObject({ isNew: true })
      await move(sent.transfer.transferId, { state: 'cancelled', problem: problem('cancelled') })
      expect(await ledger.announce(aTransfer(ada, [first]), narrow)).toMatchObject({ isNew: true })
    })

    test('and their files are bounded in bytes, across all guests of their owner', async () => {
      const { ledger, ada, cy, bob, move } = await beginWithKeys()
      const [first = cy, second = cy] = await makeGuests(ledger, ada, { number: 2 })
      const narrow = { ...roomy, accountGuestBytesMax: 1500 }
      const { transfer } = await ledger.announce(aTransfer(ada, [first], 1000), narrow)
      expect(await ledger.announce(aTransfer(ada, [second], 501), narrow)).toMatchObject({
        transfer: { state: 'refused', problem: { code: 'storage-full', freeBytes: 500 } },
      })
      expect(await ledger.announce(aTransfer(ada, [bob], 5000), narrow), 'people do not count').toMatchObject({
        transfer: { state: 'receiving' },
      })
      await move(transfer.transferId, { state: 'expired', problem: problem('expired') })
      expect(await ledger.announce(aTransfer(ada, [second], 1500), narrow)).toMatchObject({
        transfer: { state: 'receiving' },
      })
    })

    test('end when they expire: token, open delivery, and announcements', async () => {
      const { ledger, ada, cy, clock, store, offer } = await beginWithKeys()
      const [guest = cy] = await makeGuests(ledger, ada)
      const transferId = await store([guest])
      await offer(guest)
      expect(await ledger.expireGuests(10)).toBe(0)
      clock.advance(DAY_MS)
      await expect(ledger.announce(aTransfer(ada, [guest]), roomy)).rejects.toMatchObject({ code: 'receiver-unknown' })
      expect(await ledger.expireGuests(10)).toBe(1)
      expect(await ledger.expireGuests(10)).toBe(0)
      expect(await ledger.dueRevocations(10)).toMatchObject([{ name: guest.name, isExpired: true }])
      expect(await ledger.openWith(guest.accountId, 10)).toEqual({ uploads: [], deliveries: [transferId] })
      const changes = await ledger.accountChanges({ after: 0, limit: 100 })
      expect(changes.slice(-2)).toMatchObject([
        { change: 'guest-made', name: guest.name, deadTokenId: null },
        { change: 'guest-expired', name: guest.name, deadTokenId: expect.any(String) },
      ])
    })

    test('end with their owner, whose requests are closed with them', async () => {
      const { ledger, ada, cy } = await beginWithKeys()
      const [guest = cy] = await makeGuests(ledger, ada)
      const request = aRequest(ledger)
      await ledger.createFileRequest(ada.accountId, request, bounds)
      const visitor = newGuest()
      await ledger.joinFileRequest(request.secretHash, visitor, { lingerMs: DAY_MS })
      await ledger.revokeAccount('ada')
      expect(await ledger.guestCensus()).toEqual({ receiving: 0, sending: 0, requests: 0 })
      const revoked = (await ledger.dueRevocations(10)).map(({ name, isExpired }) => [name, isExpired])
      expect(revoked.sort()).toEqual(
        [
          ['ada', false],
          [guest.name, false],
          [visitor.account, false],
        ].sort(),
      )
      expect(await ledger.accountByTokenId(visitor.tokenId)).toMatchObject({ isRevoked: true })
      expect(await ledger.fileRequestByHash(request.secretHash)).toBeNull()
      expect(await ledger.dueFileRequests(10)).toEqual([request.requestId])
    })

    test('are no people: they are not listed, and not counted', async () => {
      const { ledger, ada } = await beginWithKeys()
      const { accounts } = await ledger.census()
      await makeGuests(ledger, ada, { number: 3 })
      expect((await ledger.accounts({ after: '', limit: 10 })).map(({ name }) => name)).toEqual(['ada', 'bob', 'cy'])
      expect((await ledger.census()).accounts).toBe(accounts)
    })

    test('leave no trace once they have ended and no transfer of theirs is remembered', async () => {
      const { ledger, ada, cy, clock, store, offer, settle } = await beginWithKeys()
      const [used = cy, unused = cy] = await makeGuests(ledger, ada, { number: 2 })
      const transferId = await store([used])
      await offer(used)
      await settle(transferId, used, { state: 'delivered', receipt: null })
      clock.advance(DAY_MS)
      await ledger.expireGuests(10)
      for (const account of await ledger.dueRevocations(10)) await ledger.revocationSettled(account)
      await ledger.removed(transferId)
      await ledger.prune(30 * DAY_MS, 10)
      expect(await ledger.accountByName(unused.name)).toBeNull()
      expect(await ledger.accountByName(used.name), 'its transfer is remembered').not.toBeNull()
      clock.advance(30 * DAY_MS)
      await ledger.prune(30 * DAY_MS, 10)
      expect(await ledger.accountByName(used.name)).toBeNull()
      const later = await makeGuests(ledger, ada, { number: 2, within: { openMax: 10, perDayMax: 10 } })
      expect(later.map(({ accountId }) => accountId).sort(), 'their rows are used again').toEqual(
        [used.accountId, unused.accountId].sort(),
      )
      const [again = cy] = later
      expect((await ledger.announce(aTransfer(ada, [again]), roomy)).isNew).toBe(true)
      expect((await ledger.accountByName(again.name))?.guest).toMatchObject({ kind: 'receiving' })
    })
  })

  describe('requests for files', () => {
    const beginWithRequest = async (limits: { filesMax?: number; bytesMax?: number } = {}) => {
      const all = await beginWithKeys()
      const { ledger, ada } = all
      const request = aRequest(ledger, limits)
      const make = () => ledger.createFileRequest(ada.accountId, request, bounds)
      await make()
      const join = async (guest = newGuest()): Promise<Account> => {
        const account = await ledger.joinFileRequest(request.secretHash, guest, { lingerMs: DAY_MS })
        if (account === null) throw new Error('the request is not open')
        return account
      }
      const now = async () => (await ledger.fileRequestsOf(ada.accountId, { before: null, limit: 1 }))[0]
      return { ...all, request, make, join, now }
    }

    test('are made once; the same call again changes nothing, and another one is a conflict', async () => {
      const { ledger, ada, cy, request, make } = await beginWithRequest()
      expect(await make()).toEqual({
        requestId: request.requestId,
        ownerId: ada.accountId,
        label: 'sealed',
        createdAtMs: ledger.nowMs(),
        endsAtMs: request.expiresAtMs,
        state: 'open',
        filesMax: 2,
        bytesMax: 10_000,
        guests: 0,
        files: 0,
        bytes: 0,
      })
      await ledger.setKeys(cy.accountId, { signing: 's', encryption: 'e' })
      const conflict = { code: 'guest-conflict' }
      for (const [owner, change] of [
        [cy, {}],
        [ada, { filesMax: 3 }],
        [ada, { label: null }],
        [ada, { secretHash: 'other' }],
        [ada, { requestId: newTransferId() }],
      ] as const) {
        const other = ledger.createFileRequest(owner.accountId, { ...request, ...change }, bounds)
        await expect(other).rejects.toMatchObject(conflict)
      }
      expect(await ledger.guestCensus()).toMatchObject({ requests: 1 })
    })

    test('count among the open links of their owner, until they have ended', async () => {
      const { ledger, ada, request } = await beginWithRequest()
      await makeGuests(ledger, ada, { number: 2 })
      const another = aRequest(ledger)
      const make = () => ledger.createFileRequest(ada.accountId, another, bounds)
      await expect(make()).rejects.toMatchObject({ code: 'too-many-guests' })
      await ledger.closeFileRequest(ada.accountId, request.requestId)
      await make()
    })

    test('are found by their secret while they are open', async () => {
      const { ledger, request, clock } = await beginWithRequest()
      expect(await ledger.fileRequestByHash(request.secretHash)).toMatchObject({
        request: { requestId: request.requestId, state: 'open' },
        owner: { name: 'ada', keys: { signing: 's', encryption: 'e' } },
      })
      expect(await ledger.fileRequestByHash('guessed')).toBeNull()
      clock.advance(DAY_MS)
      expect(await ledger.fileRequestByHash(request.secretHash)).toBeNull()
      expect(await ledger.joinFileRequest(request.secretHash, newGuest(), { lingerMs: 0 })).toBeNull()
    })

    test('are joined by guests that send to the owner only', async () => {
      const { ledger, ada, bob, request, join, now } = await beginWithRequest()
      const guest = newGuest()
      const visitor = await join(guest)
      expect(await join(guest), 'a lost answer, asked for again').toEqual(visitor)
      await expect(join({ ...guest, tokenHash: 'other' })).rejects.toMatchObject({ code: 'guest-conflict' })
      expect(await ledger.guest(visitor.accountId)).toMatchObject({
        kind: 'sending',
        ownerId: ada.accountId,
        expiresAtMs: request.expiresAtMs + DAY_MS,
        owner: { name: 'ada' },
        request: { requestId: request.requestId, label: 'sealed' },
      })
      const [receiving = bob] = await makeGuests(ledger, ada)
      const asked = [ada.accountId, receiving.accountId, visitor.accountId]
      expect([...(await ledger.requestsOfGuests(asked))]).toEqual([
        [visitor.accountId, { requestId: request.requestId, label: 'sealed' }],
      ])
      expect((await ledger.requestsOfGuests([])).size).toBe(0)
      for (const to of [[bob], [visitor], [ada, bob]]) {
        await expect(ledger.announce(aTransfer(visitor, to), roomy)).rejects.toMatchObject({ code: 'receiver-unknown' })
      }
      const [other = bob] = await makeGuests(ledger, ada)
      await expect(ledger.announce(aTransfer(visitor, [other]), roomy)).rejects.toMatchObject({
        code: 'receiver-unknown',
      })
      await expect(ledger.announce(aTransfer(ada, [visitor]), roomy)).rejects.toMatchObject({
        code: 'receiver-unknown',
      })
      await expect(makeGuests(ledger, visitor)).rejects.toMatchObject({ code: 'guest-not-allowed' })
      expect(await ledger.announce(aTransfer(visitor, [ada]), roomy)).toMatchObject({ isNew: true })
      expect(await now()).toMatchObject({ guests: 1, files: 1, bytes: 1000 })
    })

    test('have as many guests as files, files, and bytes at most; what is not stored does not count', async () => {
      const { ledger, ada, join, now, move } = await beginWithRequest({ filesMax: 2, bytesMax: 2500 })
      const [one, two] = [await join(), await join()]
      await expect(join()).rejects.toMatchObject({ code: 'request-full' })
      const first = aTransfer(one, [ada], 1000)
      await ledger.announce(first, roomy)
      await ledger.announce(first, roomy)
      const tooLong = aTransfer(two, [ada], 1501)
      await expect(ledger.announce(tooLong, roomy)).rejects.toMatchObject({
        code: 'request-full',
        details: { filesLeft: 1, bytesLeft: 1500 },
      })
      expect(await ledger.transfer(tooLong.transferId)).toBeNull()
      await ledger.announce(aTransfer(two, [ada], 1500), roomy)
      await expect(ledger.announce(aTransfer(one, [ada], 0), roomy)).rejects.toMatchObject({ code: 'request-full' })
      await move(first.transferId, { state: 'refused', problem: problem('store-failed') })
      expect(await now()).toMatchObject({ guests: 2, files: 1, bytes: 1500 })
      const third = aTransfer(one, [ada], 1000)
      await ledger.announce(third, roomy)
      await move(third.transferId, { state: 'stored', manifestDigest, manifest: null })
      expect(await now()).toMatchObject({ files: 2, bytes: 2500 })
    })

    test('are not filled with what is announced and never stored', async () => {
      const { ledger, ada, join, now, move } = await beginWithRequest({ filesMax: 2 })
      const guests = [await join(), await join()]
      const tries = 2 * requestTriesPerFileMax
      const announce = async (count: number, within = roomy) => {
        const [one = ada, other = ada] = guests
        return ledger.announce(aTransfer(count % 2 === 0 ? one : other, [ada]), within)
      }
      for (let count = 1; count < tries; count++) {
        const { transfer } = await announce(count)
        await move(transfer.transferId, { state: 'cancelled', problem: problem('cancelled') })
      }
      expect(await announce(tries, { ...roomy, storageBytesMax: 0 })).toMatchObject({ transfer: { state: 'refused' } })
      expect(await now()).toMatchObject({ files: 0, bytes: 0 })
      await expect(announce(0)).rejects.toMatchObject({ code: 'request-full' })
      await expect(announce(1)).rejects.toMatchObject({ code: 'request-full' })
    })

    test('bound streams as they grow, too', async () => {
      const { ledger, ada, join, now } = await beginWithRequest({ bytesMax: 150 })
      const stream = { ...aTransfer(await join(), [ada]), sizeBytes: null }
      await ledger.announce(stream, roomy)
      const grow = (partNumber: number, within = roomy) =>
        ledger.growStream(stream.transferId, { attempt: 1, partNumber, lengthBytes: 100 }, within)
      await expect(grow(1, { ...roomy, accountGuestBytesMax: 99 })).rejects.toMatchObject({ code: 'storage-full' })
      await grow(1)
      await expect(grow(2)).rejects.toMatchObject({ code: 'request-full', details: { bytesLeft: 50 } })
      expect(await now()).toMatchObject({ files: 1, bytes: 100 })
    })

    test('take nothing new once they are closed or have expired; their uploads are due to be ended', async () => {
      for (const how of ['close', 'expire'] as const) {
        const { ledger, ada, bob, clock, request, join, move } = await beginWithRequest()
        const visitor = await join()
        const running = aTransfer(visitor, [ada])
        const stored = aTransfer(visitor, [ada])
        await ledger.announce(running, roomy)
        await ledger.announce(stored, roomy)
        await move(stored.transferId, { state: 'stored', manifestDigest, manifest: null })
        expect(await ledger.dueFileRequests(10)).toEqual([])
        expect(await ledger.closeFileRequest(bob.accountId, request.requestId), 'of another owner').toBeNull()
        expect(await ledger.closeFileRequest(ada.accountId, newTransferId())).toBeNull()
        if (how === 'expire') clock.advance(DAY_MS)
        const state = how === 'close' ? 'closed' : 'expired'
        const closed = await ledger.closeFileRequest(ada.accountId, request.requestId)
        expect(closed).toMatchObject({ state, endsAtMs: clock.nowMs })
        clock.advance(1)
        expect(await ledger.closeFileRequest(ada.accountId, request.requestId), 'again').toEqual(closed)
        await expect(ledger.announce(aTransfer(visitor, [ada]), roomy)).rejects.toMatchObject({
          code: 'request-closed',
        })
        expect(await ledger.announce(running, roomy), 'a repeated announcement').toMatchObject({ isNew: false })
        expect(await ledger.dueFileRequests(10)).toEqual([request.requestId])
        expect(await ledger.uploadsFor(request.requestId, 10)).toEqual([running.transferId])
        await ledger.fileRequestSettled(request.requestId)
        expect(await ledger.dueFileRequests(10), 'while an upload is under way').toEqual([request.requestId])
        await move(running.transferId, { state: 'refused', problem: problem('request-closed') })
        expect(await ledger.uploadsFor(request.requestId, 10)).toEqual([])
        await ledger.fileRequestSettled(request.requestId)
        expect(await ledger.dueFileRequests(10)).toEqual([])
        expect(await ledger.accountByTokenId(`token of ada`)).toMatchObject({ guest: null })
      }
    })

    test('of several are listed newest first, page by page, each owner its own', async () => {
      const { ledger, ada, bob, request, clock } = await beginWithRequest()
      clock.advance(5)
      const second = { ...aRequest(ledger), requestId: newTransferId(Date.now() + 10_000) }
      await ledger.createFileRequest(ada.accountId, second, bounds)
      const page = (before: string | null, limit: number) => ledger.fileRequestsOf(ada.accountId, { before, limit })
      expect((await page(null, 10)).map(({ requestId }) => requestId)).toEqual([second.requestId, request.requestId])
      expect((await page(second.requestId, 1)).map(({ requestId }) => requestId)).toEqual([request.requestId])
      expect(await ledger.fileRequestsOf(bob.accountId, { before: null, limit: 10 })).toEqual([])
    })

    test('count in the number of a day, even if the portal has forgotten them', async () => {
      const { ledger, ada, clock, request } = await beginWithRequest()
      await ledger.closeFileRequest(ada.accountId, request.requestId)
      await ledger.fileRequestSettled(request.requestId)
      clock.advance(DAY_MS - 1)
      await ledger.prune(1000, 10)
      const within = { openMax: 10, perDayMax: 1 }
      const again = () => ledger.createFileRequest(ada.accountId, aRequest(ledger), within)
      await expect(again()).rejects.toMatchObject({ code: 'too-many-guests' })
      clock.advance(1)
      await again()
    })

    test('are forgotten with their guests', async () => {
      const { ledger, ada, join, clock, request } = await beginWithRequest()
      await join()
      clock.advance(2 * DAY_MS)
      await ledger.expireGuests(10)
      for (const account of await ledger.dueRevocations(10)) await ledger.revocationSettled(account)
      await ledger.fileRequestSettled(request.requestId)
      await ledger.prune(DAY_MS, 10)
      expect(await ledger.fileRequestsOf(ada.accountId, { before: null, limit: 10 })).toEqual([])
    })
  })
}
