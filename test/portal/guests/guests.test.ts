/** Guests at the portal: what they may do, what they may not, and how they end. */
import { setTimeout } from 'node:timers/promises'
import pino from 'pino'
import { describe, expect, test } from 'vitest'
import { guestKinds, newTransferId } from '../../../src/protocol/index.ts'
import { newGuestOf, newLinkSecret, requestSecretsOf } from '../../../src/trust/index.ts'
import { refusalOf, TestPortal } from '../portal.ts'
import {
  aGuest,
  announceSealed,
  aRequest,
  complete,
  HOUR_MS,
  inTime,
  joinRequest,
  jsonOf,
  makeGuests,
  newGuests,
  newVisitor,
  withKeys,
} from './links.ts'

const content = Buffer.from('hello')

/** A portal that allows guests, with keys of alice. */
async function start(settings: Parameters<typeof TestPortal.start>[0] = {}) {
  const portal = await TestPortal.start({ allowsGuests: true, sweepMs: 20, ...settings })
  return { portal, aliceKeys: await withKeys(portal, 'alice') }
}

/** A log whose lines of the audit log are kept. */
function auditLog() {
  const lines: { audit?: string; account?: string }[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  return { log, lines }
}

/** Asks until an answer is as wanted. */
async function until<Result>(ask: () => Promise<Result>, isWanted: (result: Result) => boolean): Promise<Result> {
  while (true) {
    const result = await ask()
    if (isWanted(result)) return result
    await setTimeout(10)
  }
}

describe('a portal without guests', () => {
  test('says so, makes none, and answers visitors as if their link were wrong', async () => {
    const portal = await TestPortal.start()
    await withKeys(portal, 'alice')
    expect(jsonOf(await portal.ask('GET', '/v1/limits')).guests).toBeNull()
    expect(refusalOf(await makeGuests(portal, await newGuests()))).toBe('403 guests-off')
    const { answer, bearer } = await aRequest(portal)
    expect(refusalOf(answer)).toBe('403 guests-off')
    const look = await portal.ask('POST', '/v1/requests/look', { body: { secret: bearer } })
    expect(refusalOf(look)).toBe('404 link-invalid')
  })
})

describe('a receiving guest', () => {
  test('is made by an account with keys, within what the portal announces; a repetition is harmless', async () => {
    const { portal } = await start({ guestExpiryMs: 2 * HOUR_MS, accountGuestsMax: 3 })
    expect(jsonOf(await portal.ask('GET', '/v1/limits')).guests).toEqual({
      expiryMsMax: 2 * HOUR_MS,
      openMax: 3,
      perDayMax: 500,
      openBytesMax: 10 * 2 ** 30,
    })
    const guests = await newGuests(2)
    const expiresAt = inTime(2 * HOUR_MS)
    const made = await makeGuests(portal, guests, { expiresAt })
    expect([made.status, jsonOf(made)]).toEqual([200, { guests: guests.map(({ account }) => account), expiresAt }])
    expect((await makeGuests(portal, guests, { expiresAt })).body).toEqual(made.body)
    expect(refusalOf(await makeGuests(portal, await newGuests(2)))).toBe('429 too-many-guests')
    expect(refusalOf(await makeGuests(portal, guests, { token: portal.token('bob') }))).toBe('409 keys-missing')
    for (const wrong of [inTime(3 * HOUR_MS), inTime(-1)]) {
      const answer = await makeGuests(portal, await newGuests(), { expiresAt: wrong })
      expect(refusalOf(answer)).toBe('400 request-invalid')
      expect(jsonOf(answer).expiryMsMax).toBe(2 * HOUR_MS)
    }
  })

  test('knows its owner, and is known to its owner only', async () => {
    const { portal, aliceKeys } = await start()
    const expiresAt = inTime(HOUR_MS)
    const guest = await aGuest(portal, expiresAt)
    const owner = { account: 'alice', keys: aliceKeys.publicKeys }
    const { account, token, keys } = guest
    expect(jsonOf(await portal.ask('GET', '/v1/account', { token }))).toEqual({
      account,
      keys: keys.publicKeys,
      guest: { kind: 'receiving', owner, expiresAt },
    })
    const find = (name: string, asker: string) => portal.ask('GET', `/v1/accounts/${name}`, { token: asker })
    expect(jsonOf(await find('alice', token))).toEqual(owner)
    expect(jsonOf(await find(account, portal.token('alice')))).toEqual({ account, keys: keys.publicKeys })
    const other = await aGuest(portal)
    for (const answer of [
      await find('bob', token),
      await find(account, token),
      await find(other.account, token),
      await find(account, portal.token('bob')),
    ]) {
      expect(refusalOf(answer)).toBe('404 receiver-unknown')
    }
  })

  test('gets one sealed file of its owner, and can read afterwards that it has it', async () => {
    const { portal } = await start()
    const { account, token } = await aGuest(portal)
    const bob = portal.token('bob')
    const alice = portal.token('alice')
    expect(refusalOf((await announceSealed(portal, bob, 'bob', [account])).answer)).toBe('404 receiver-unknown')
    const plain = {
      to: [account],
      metadata: { name: 'x' },
      sizeBytes: 5,
      partSizeBytes: 65536,
      digestAlgorithm: 'sha-256',
    }
    const unsealed = await portal.ask('PUT', `/v1/transfers/${newTransferId()}`, { token: alice, body: plain })
    expect(refusalOf(unsealed)).toBe('403 sealing-required')
    const inOne = await portal.ask('PUT', `/v1/to/${account}/x`, { token: alice, body: content })
    expect([inOne.status, inOne.body.toString()]).toEqual([403, expect.stringContaining('sealing-required')])

    const { transferId } = await announceSealed(portal, alice, 'alice', [account, 'bob'])
    expect(jsonOf(await complete(portal, alice, transferId, content)).notification).toBe('stored')
    expect(refusalOf((await announceSealed(portal, alice, 'alice', [account])).answer)).toBe('404 receiver-unknown')
    const [waiting] = jsonOf(await portal.ask('GET', '/v1/deliveries', { token })).deliveries
    expect(waiting).toMatchObject({ transferId, from: 'alice', state: 'waiting', offers: 0 })
    const held = { token, headers: { accept: 'application/json' } }
    const { messages } = jsonOf(await portal.ask('GET', '/v1/inbox?instance=instance-1', held))
    const { leaseId, manifestDigest } = messages[0].data
    const part = await portal.ask('GET', `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`, { token })
    expect(part.body).toEqual(content)
    const body = { leaseId, disposition: 'received', manifestDigest }
    const answer = await portal.ask('POST', `/v1/inbox/${transferId}/disposition`, { token, body })
    expect(jsonOf(answer)).toEqual({ state: 'delivered' })
    expect(refusalOf((await announceSealed(portal, alice, 'alice', [account])).answer)).toBe('404 receiver-unknown')
    const [delivered] = jsonOf(await portal.ask('GET', '/v1/deliveries', { token })).deliveries
    expect(delivered).toMatchObject({ state: 'delivered', endedAt: expect.any(String) })
  })

  test('is gone when it has expired: its token, its connections, and a file that waits for it', async () => {
    const { portal } = await start()
    const { account, token } = await aGuest(portal, inTime(2_000))
    const alice = portal.token('alice')
    const { transferId } = await announceSealed(portal, alice, 'alice', [account])
    await complete(portal, alice, transferId, content)
    const stream = portal.ask('GET', '/v1/inbox?instance=instance-1', { token })
    const status = await until(
      async () => jsonOf(await portal.ask('GET', `/v1/transfers/${transferId}`, { token: alice })),
      ({ state }) => state === 'ended',
    )
    expect(status.deliveries).toMatchObject([{ receiver: account, state: 'failed', problem: { code: 'link-expired' } }])
    expect(status.notifications.at(-1)).toMatchObject({ notification: 'failed', problem: { code: 'link-expired' } })
    expect(refusalOf(await portal.ask('GET', '/v1/account', { token }))).toBe('401 credentials-invalid')
    // It ends only because the portal cuts it.
    expect((await stream).body.toString()).toContain('event: offer')
    expect(refusalOf((await announceSealed(portal, alice, 'alice', [account])).answer)).toBe('404 receiver-unknown')
    const known = await portal.ask('GET', `/v1/accounts/${account}`, { token: alice })
    expect(jsonOf(known).account, 'so that its receipts can still be verified').toBe(account)
  })

  test('ends with its owner', async () => {
    const { portal } = await start()
    const { account, token } = await aGuest(portal)
    const alice = portal.token('alice')
    const { transferId } = await announceSealed(portal, alice, 'alice', [account])
    await complete(portal, alice, transferId, content)
    await portal.operate((ledger) => ledger.revokeAccount('alice'))
    expect(refusalOf(await portal.ask('GET', '/v1/account', { token }))).toBe('401 credentials-invalid')
    const ended = await until(
      () => portal.operate((ledger) => ledger.transfer(transferId)),
      (transfer) => transfer?.state === 'ended',
    )
    expect(ended?.deliveries).toMatchObject([{ state: 'failed', problem: { code: 'account-revoked' } }])
  })
})

describe('a sending guest', () => {
  test('is made with the secret of a request, sends to the owner, and learns both notifications', async () => {
    const { portal, aliceKeys } = await start()
    const { answer, bearer, requestId } = await aRequest(portal, { label: 'sealed' })
    expect(jsonOf(answer)).toMatchObject({ requestId, state: 'open', guests: 0, files: 0, bytes: 0, label: 'sealed' })
    const look = async () => jsonOf(await portal.ask('POST', '/v1/requests/look', { body: { secret: bearer } }))
    const owner = { account: 'alice', keys: aliceKeys.publicKeys }
    expect(await look()).toMatchObject({ requestId, owner, label: 'sealed', filesLeft: 3, bytesLeft: 1000 })
    const visitor = await newVisitor()
    const { account, token } = visitor
    expect(jsonOf(await joinRequest(portal, bearer, visitor))).toEqual({ account })
    expect(jsonOf(await joinRequest(portal, bearer, visitor)), 'a repetition').toEqual({ account })
    expect(refusalOf(await joinRequest(portal, bearer, { ...(await newVisitor()), token }))).toBe('409 guest-conflict')
    const { expiresAt } = jsonOf(answer)
    const self = jsonOf(await portal.ask('GET', '/v1/account', { token }))
    expect(self.guest).toEqual({ kind: 'sending', owner, expiresAt })

    for (const to of [['bob'], [account], ['alice', 'bob']]) {
      expect(refusalOf((await announceSealed(portal, token, account, to)).answer)).toBe('404 receiver-unknown')
    }
    const { transferId } = await announceSealed(portal, token, account, ['alice'])
    expect(jsonOf(await complete(portal, token, transferId, content)).notification).toBe('stored')
    expect(await look()).toMatchObject({ filesLeft: 2, bytesLeft: 995 })
    const offer = await portal.offerOf(transferId, 'alice')
    expect(offer).toMatchObject({ from: account, request: { requestId, label: 'sealed' } })
    const again = await portal.ask('GET', `/v1/inbox/${transferId}?lease=${offer.leaseId}`, {
      token: portal.token('alice'),
    })
    expect(jsonOf(again).request).toEqual({ requestId, label: 'sealed' })
    await portal.store(content, { to: ['alice'] })
    const { deliveries } = jsonOf(await portal.ask('GET', '/v1/deliveries', { token: portal.token('alice') }))
    expect(deliveries.map((one: { from: string; request?: object }) => [one.from, one.request])).toEqual([
      ['alice', undefined],
      [account, { requestId, label: 'sealed' }],
    ])
    const { leaseId, manifestDigest } = offer
    await portal.dispose(transferId, { leaseId, disposition: 'received', manifestDigest }, 'alice')
    const { events } = jsonOf(await portal.ask('GET', '/v1/events?after=0', { token }))
    expect(events.map((one: { notification: string }) => one.notification)).toEqual(['stored', 'delivered'])
  })

  test('sends no more than the request takes', async () => {
    const { portal } = await start()
    const { bearer } = await aRequest(portal, { filesMax: 2, bytesMax: 100 })
    const visitor = await newVisitor()
    await joinRequest(portal, bearer, visitor)
    const announce = (sizeBytes: number) =>
      announceSealed(portal, visitor.token, visitor.account, ['alice'], { sizeBytes })
    const { answer } = await announce(101)
    expect(refusalOf(answer)).toBe('409 request-full')
    expect(jsonOf(answer)).toMatchObject({ filesLeft: 2, bytesLeft: 100 })
    const { transferId } = await announce(60)
    expect(refusalOf((await announce(41)).answer)).toBe('409 request-full')
    await portal.ask('DELETE', `/v1/transfers/${transferId}`, { token: visitor.token })
    expect((await announce(50)).answer.status).toBe(201)
    expect((await announce(50)).answer.status).toBe(201)
    expect(refusalOf((await announce(0)).answer)).toBe('409 request-full')
  })

  test('sends nothing more once the request is closed; what is stored is delivered, what is under way ends', async () => {
    const { portal } = await start()
    const alice = portal.token('alice')
    const { bearer, requestId } = await aRequest(portal)
    const visitor = await newVisitor()
    const { account, token } = visitor
    await joinRequest(portal, bearer, visitor)
    const stored = await announceSealed(portal, token, account, ['alice'])
    await complete(portal, token, stored.transferId, content)
    const running = await announceSealed(portal, token, account, ['alice'])
    const close = (asker: string) => portal.ask('DELETE', `/v1/requests/${requestId}`, { token: asker })
    expect(refusalOf(await close(portal.token('bob')))).toBe('404 not-found')
    expect(jsonOf(await close(alice))).toMatchObject({ requestId, state: 'closed', guests: 1, files: 2 })
    expect(jsonOf(await close(alice)).state, 'again').toBe('closed')
    expect(refusalOf((await announceSealed(portal, token, account, ['alice'])).answer)).toBe('410 request-closed')
    const ended = await until(
      async () => jsonOf(await portal.ask('GET', `/v1/transfers/${running.transferId}`, { token })),
      ({ state }) => state !== 'receiving',
    )
    expect(ended).toMatchObject({ state: 'refused', problem: { code: 'request-closed' } })
    for (const path of ['look', 'join']) {
      const body =
        path === 'look' ? { secret: bearer } : { secret: bearer, account, token, keys: visitor.keys.publicKeys }
      expect(refusalOf(await portal.ask('POST', `/v1/requests/${path}`, { body }))).toBe('404 link-invalid')
    }
    const { leaseId, manifestDigest } = await portal.offerOf(stored.transferId, 'alice')
    await portal.dispose(stored.transferId, { leaseId, disposition: 'received', manifestDigest }, 'alice')
    const { events } = jsonOf(await portal.ask('GET', '/v1/events?after=0', { token }))
    expect(events.map((one: { notification: string }) => one.notification)).toEqual(['stored', 'refused', 'delivered'])
    const { requests, before } = jsonOf(await portal.ask('GET', '/v1/requests', { token: alice }))
    expect(before).toBeNull()
    expect(requests).toMatchObject([{ requestId, state: 'closed', files: 1, bytes: 5 }])
  })
})

describe('attackers', () => {
  /** What each kind of guest may ask for. PROTOCOL.md, What a guest may do. */
  const allowed = {
    receiving: [
      'GET /v1/account',
      'GET /v1/accounts/{name}',
      'GET /v1/deliveries',
      'GET /v1/inbox',
      'GET /v1/inbox/{transferId}',
      'GET /v1/inbox/{transferId}/parts/{partNumber}',
      'POST /v1/inbox/dispositions',
      'POST /v1/inbox/{transferId}/disposition',
    ],
    sending: [
      'DELETE /v1/transfers/{transferId}',
      'GET /v1/account',
      'GET /v1/accounts/{name}',
      'GET /v1/events',
      'GET /v1/transfers',
      'GET /v1/transfers/{transferId}',
      'GET /v1/transfers/{transferId}/events',
      'POST /v1/transfers/batch',
      'POST /v1/transfers/{transferId}/complete',
      'PUT /v1/transfers/{transferId}',
      'PUT /v1/transfers/{transferId}/parts/{partNumber}',
      'PUT /v1/transfers/{transferId}/whole',
    ],
  } as const

  test.each(guestKinds)('a %s guest that tries every route gets no further than its own', async (kind) => {
    const { portal } = await start()
    let { token } = await aGuest(portal)
    if (kind === 'sending') {
      const visitor = await newVisitor()
      const { bearer } = await aRequest(portal)
      await joinRequest(portal, bearer, visitor)
      token = visitor.token
    }
    const { paths } = jsonOf(await portal.ask('GET', '/openapi.json')) as {
      paths: Record<string, Record<string, { security: readonly object[] }>>
    }
    const tried: string[] = []
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, { security }] of Object.entries(methods)) {
        if (security.length === 0) continue
        const target = path.replace('{transferId}', newTransferId()).replace(/\{\w+\}/g, '1')
        const { status, body } = await portal.ask(method.toUpperCase(), target, { token })
        // A HEAD has no body that says why.
        const isRefused = method === 'head' ? status === 403 : body.toString().includes('guest-not-allowed')
        if (!isRefused) tried.push(`${method.toUpperCase()} ${path}`)
      }
    }
    expect(tried.sort()).toEqual([...allowed[kind]])
  })

  test('a guest sees no transfer but its own', async () => {
    const { portal } = await start()
    const mine = await aGuest(portal)
    const alice = portal.token('alice')
    const { transferId } = await announceSealed(portal, alice, 'alice', ['bob'])
    await complete(portal, alice, transferId, content)
    const { leaseId } = await portal.offerOf(transferId, 'bob')
    for (const path of [
      `/v1/inbox/${transferId}?lease=${leaseId}`,
      `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`,
    ]) {
      expect(refusalOf(await portal.ask('GET', path, { token: mine.token }))).toBe('404 not-found')
    }
    expect(jsonOf(await portal.ask('GET', '/v1/deliveries', { token: mine.token })).deliveries).toEqual([])
    const visitor = await newVisitor()
    const { bearer } = await aRequest(portal)
    await joinRequest(portal, bearer, visitor)
    for (const method of ['GET', 'DELETE']) {
      const answer = await portal.ask(method, `/v1/transfers/${transferId}`, { token: visitor.token })
      expect(refusalOf(answer)).toBe('404 not-found')
    }
    const { answer } = await announceSealed(portal, visitor.token, visitor.account, ['alice'], { transferId })
    expect(refusalOf(answer)).toBe('409 transfer-conflict')
  })

  test('guessed secrets are counted, and then refused whatever is guessed', async () => {
    const { portal } = await start({ addressFailuresPerMinute: 5 })
    const guess = async () => {
      const { bearer } = await requestSecretsOf(newLinkSecret())
      return portal.ask('POST', '/v1/requests/look', { body: { secret: bearer } })
    }
    const [guest] = await newGuests()
    for (let count = 0; count < 4; count++) expect(refusalOf(await guess())).toBe('404 link-invalid')
    const unknown = await portal.ask('GET', '/v1/deliveries', { token: guest?.token })
    expect(refusalOf(unknown)).toBe('401 credentials-invalid')
    expect(refusalOf(await guess())).toBe('429 rate-limited')
    expect(refusalOf(await portal.ask('GET', '/v1/deliveries', { token: guest?.token }))).toBe('429 rate-limited')
  })

  test('an account takes over no guest of another, and no guest becomes an account of a person', async () => {
    const { portal } = await start()
    await withKeys(portal, 'bob')
    const guests = await newGuests()
    await makeGuests(portal, guests)
    expect(refusalOf(await makeGuests(portal, guests, { token: portal.token('bob') }))).toBe('409 guest-conflict')
    const [guest] = guests
    if (guest === undefined) throw new Error('there is a guest')
    const forged = { ...newGuestOf(guest), keys: { signing: 'A'.repeat(43), encryption: 'A'.repeat(43) } }
    const body = { guests: [forged], expiresAt: inTime(HOUR_MS) }
    const answer = await portal.ask('POST', '/v1/guests', { token: portal.token('alice'), body })
    expect(refusalOf(answer)).toBe('409 guest-conflict')
    for (const path of ['/v1/guests', '/v1/requests']) {
      const asked = await portal.ask('POST', path, { token: guest.token, body: {} })
      expect(refusalOf(asked)).toBe('403 guest-not-allowed')
    }
    const names = (await portal.operate((ledger) => ledger.accounts({ after: '', limit: 100 }))).map(({ name }) => name)
    expect(names).toEqual(['alice', 'bob', 'carol'])
  })
})

describe('an operator', () => {
  test('sees how many guests and requests there are, and who made them', async () => {
    const { log, lines } = auditLog()
    const portal = await TestPortal.start({ allowsGuests: true, sweepMs: 20 }, { log })
    await withKeys(portal, 'alice')
    const guest = await aGuest(portal)
    const { bearer, requestId } = await aRequest(portal)
    const visitor = await newVisitor()
    await joinRequest(portal, bearer, visitor)
    await portal.operate((ledger) => ledger.setOperator('alice', true))
    const { guests, accounts } = jsonOf(await portal.ask('GET', '/v1/operations', { token: portal.token('alice') }))
    expect([guests, accounts]).toEqual([{ receiving: 1, sending: 1, requests: 1 }, 3])
    const metrics = (await portal.ask('GET', '/metrics')).body.toString()
    for (const name of ['receiving_guests', 'sending_guests', 'open_requests']) {
      expect(metrics).toMatch(new RegExp(`^golooader_${name} 1$`, 'm'))
    }
    await portal.ask('POST', '/v1/requests/look', { body: { secret: `glq_${'A'.repeat(43)}` } })
    await portal.ask('GET', '/v1/operations', { token: guest.token })
    await portal.operate((ledger) => ledger.revokeAccount('alice'))
    await until(
      async () => lines,
      () => lines.filter(({ audit }) => audit === 'guest-revoked').length === 2,
    )
    const of = (audit: string) => lines.filter((line) => line.audit === audit)
    expect(of('guests-made')).toMatchObject([{ account: 'alice', guests: [guest.account] }])
    expect(of('request-made')).toMatchObject([{ account: 'alice', fileRequest: requestId }])
    expect(of('request-joined')).toMatchObject([{ account: visitor.account }])
    expect(of('guest-made').map(({ account }) => account)).toEqual([guest.account, visitor.account])
    expect(of('link-failed')).toMatchObject([{ count: 1, address: '127.0.0.1' }])
    expect(of('access-denied')).toMatchObject([{ account: guest.account, resource: '/v1/operations' }])
    const text = JSON.stringify(lines)
    for (const secret of [guest.token, visitor.token, bearer]) expect(text).not.toContain(secret.slice(-20))
  })
})
