// @tier stress
/** The portal closes every connection of a revoked account at once. An account with a renewed token continues with the new one. */
import type { Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { AccountWatch } from '../../../src/portal/accounts/account-watch.ts'
import { invite, join, renew, tokenIdOf } from '../../../src/portal/accounts/accounts.ts'
import { OpenRequests } from '../../../src/portal/accounts/open-requests.ts'
import { Deliveries } from '../../../src/portal/deliveries/deliveries.ts'
import { buildServer } from '../../../src/portal/http/server.ts'
import type { Ledger } from '../../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import { ResumableUploads } from '../../../src/portal/uploads/resumable/index.ts'
import { Transfers } from '../../../src/portal/uploads/transfers.ts'
import { newToken, newTransferId } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { allowedMs } from '../../suites/bounds.ts'
import { aContext } from '../context.ts'
import {
  announcement,
  contentDigest,
  instance,
  manifestDigest,
  partSizeBytes,
  refusalOf,
  TestPortal,
} from '../portal.ts'

/** The portal promises to close every connection this soon after the revocation. */
const CUT_MS_MAX = 1_000
const MIB = 1024 * 1024
const content = Buffer.alloc(partSizeBytes, 'under way ')

const revoke = (portal: TestPortal, name: string) => portal.operate((ledger) => ledger.revokeAccount(name))

interface Open {
  readonly socket: Socket
  /** Resolves with the milliseconds from the given time to the end of the connection. */
  endedAfterMs(begunAtMs: number): Promise<number>
}

/** Makes a request. Resolves when the portal has begun to answer, or at once for a request that gets no early answer. */
async function open(portal: TestPortal, bytes: Buffer, isAnswered = true): Promise<Open> {
  const socket = await portal.connect()
  const ended = new Promise<number>((resolve) => socket.once('close', () => resolve(performance.now())))
  const answered = new Promise((resolve) => socket.once('data', resolve))
  socket.write(bytes)
  if (isAnswered) await answered
  onTestFinished(() => {
    socket.destroy()
  })
  return { socket, endedAfterMs: async (begunAtMs) => (await ended) - begunAtMs }
}

/** Opens every kind of long request for alice, each on its own connection. */
async function everythingOpen(portal: TestPortal): Promise<Record<string, Open>> {
  const token = portal.token('alice')
  const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: unknown) =>
    portal.request(method, path, { token, headers, body })
  const stream = { accept: 'text/event-stream' }
  const sent = await portal.announce(content)
  const half = ask('PUT', `/v1/transfers/${sent}/parts/1`, { 'content-digest': contentDigest(content) }, content)

  // Bob sends alice one part that exceeds all socket buffers. Another part has not arrived yet.
  const large = Buffer.alloc(32 * MIB, 'nobody reads this ')
  const layout = { sizeBytes: 2 * large.length, partSizeBytes: large.length }
  const bob = portal.client('bob')
  const transferId = newTransferId()
  await bob.announce(transferId, { ...announcement(0), ...layout, to: ['alice'] })
  const digest = contentDigest(large)
  const put = { token: portal.token('bob'), headers: { 'content-digest': digest }, body: large }
  expect((await portal.ask('PUT', `/v1/transfers/${transferId}/parts/1`, put)).status).toBe(204)
  const { leaseId } = await portal.offerOf(transferId, 'alice')
  const part = (partNumber: number) => `/v1/inbox/${transferId}/parts/${partNumber}?lease=${leaseId}`

  const download = await open(portal, ask('GET', part(1)))
  download.socket.pause()
  return {
    'events of the account': await open(portal, ask('GET', '/v1/events', stream)),
    'events of a transfer': await open(portal, ask('GET', `/v1/transfers/${sent}/events`, stream)),
    inbox: await open(portal, ask('GET', '/v1/inbox?instance=another-instance')),
    upload: await open(portal, half.subarray(0, half.length / 2), false),
    'wait for a part': await open(portal, ask('GET', part(2), { prefer: 'wait=25' }), false),
    'wait for all': await open(
      portal,
      ask('GET', `/v1/inbox/${transferId}?lease=${leaseId}`, { prefer: 'wait=25' }),
      false,
    ),
    download,
  }
}

test('all connections of a revoked account are cut within a second, and other accounts are not affected', async () => {
  const portal = await TestPortal.start()
  const opened = await everythingOpen(portal)
  const bystander = await open(
    portal,
    portal.request('GET', '/v1/events', { token: portal.token('carol'), headers: { accept: 'text/event-stream' } }),
  )
  const begunAtMs = performance.now()
  await revoke(portal, 'alice')
  const answer = await portal.ask('GET', '/v1/account', { token: portal.token('alice') })
  expect(refusalOf(answer), 'the very next request').toBe('401 credentials-invalid')
  for (const [what, { socket, endedAfterMs }] of Object.entries(opened)) {
    socket.resume()
    expect(await endedAfterMs(begunAtMs), what).toBeLessThan(allowedMs(CUT_MS_MAX))
  }
  expect(bystander.socket.closed).toBe(false)
  expect((await portal.ask('GET', '/v1/account', { token: portal.token('carol') })).status).toBe(200)
})

test('deliveries to a revoked account fail and their senders are notified; new files for it are refused', async () => {
  const portal = await TestPortal.start()
  const alice = portal.client('alice')
  const [offered, waiting, early] = [
    await portal.store(content),
    await portal.store(content),
    await portal.announce(content),
  ]
  await portal.offerOf(offered)
  await revoke(portal, 'bob')
  const nobody = await portal.ask('PUT', `/v1/transfers/${newTransferId()}`, {
    token: portal.token('alice'),
    body: announcement(content.length),
  })
  expect(refusalOf(nobody)).toBe('404 receiver-unknown')

  const told = async (transferId: string) =>
    (await alice.transfer(transferId)).notifications.map((one) =>
      'problem' in one ? `${one.notification} ${one.problem.code}` : one.notification,
    )
  for (const transferId of [offered, waiting]) {
    await until(async () => (await alice.transfer(transferId)).state === 'ended', 'its only delivery has ended')
    expect(await told(transferId)).toEqual(['stored', 'failed account-revoked'])
  }
  // A running upload continues, because it may have other receivers. Afterwards the portal tells the sender of the revocation.
  const failed = async () => (await alice.transfer(early)).deliveries[0]?.state === 'failed'
  await until(failed, 'its delivery has ended')
  expect(await told(early)).toEqual([])
  await portal.putPart(early, 1, content)
  await alice.complete(early, { attempt: 1, manifestDigest: manifestDigest(content) })
  expect(await told(early)).toEqual(['stored', 'failed account-revoked'])
})

test('uploads of a revoked account are refused; its stored files are still delivered', async () => {
  const portal = await TestPortal.start()
  const [stored, unfinished] = [await portal.store(content), await portal.announce(content)]
  await portal.putPart(unfinished, 1, content)
  const offers = portal.client('bob').watchInbox({ instanceId: instance, window: 64 })
  const leases = new Map<string, string>()
  while (leases.size < 2) {
    const { value } = await offers.next()
    if (value?.type === 'offer') leases.set(value.offer.transferId, value.offer.leaseId)
  }
  await revoke(portal, 'alice')
  for await (const event of offers) {
    if (event.type !== 'withdrawn') continue
    expect(event.withdrawal).toMatchObject({ transferId: unfinished, problem: { code: 'account-revoked' } })
    break
  }
  const received = { leaseId: leases.get(stored), disposition: 'received', manifestDigest: manifestDigest(content) }
  expect(await portal.dispose(stored, received)).toBe('delivered')

  // The restored account finds the end of both transfers in its notification log.
  const token = await portal.rotate('alice')
  const { body } = await portal.ask('GET', '/v1/events', { token })
  const events: { transferId: string; notification: string; problem?: { code: string } }[] = JSON.parse(
    body.toString(),
  ).events
  const of = (transferId: string) => events.filter((event) => event.transferId === transferId)
  expect(of(unfinished)).toMatchObject([{ notification: 'refused', problem: { code: 'account-revoked' } }])
  expect(of(stored)).toMatchObject([{ notification: 'stored' }, { notification: 'delivered' }])
})

test('a new token replaces the old one when its link is used, and then the connections of the old one are cut', async () => {
  const portal = await TestPortal.start()
  const events = (token: string) =>
    portal.request('GET', '/v1/events', { token, headers: { accept: 'text/event-stream' } })
  const old = await open(portal, events(portal.token('alice')))
  expect(refusalOf(await portal.ask('GET', '/v1/account', { token: newToken() }))).toBe('401 credentials-invalid')
  const begunAtMs = performance.now()
  const token = await portal.rotate('alice')
  const fresh = await open(portal, events(token))
  expect(await old.endedAfterMs(begunAtMs)).toBeLessThan(allowedMs(CUT_MS_MAX))
  expect(refusalOf(await portal.ask('GET', '/v1/account', { token: portal.token('alice') }))).toBe(
    '401 credentials-invalid',
  )
  const account = await portal.ask('GET', '/v1/account', { token })
  expect(JSON.parse(account.body.toString())).toEqual({ account: 'alice', keys: null })
  expect(fresh.socket.closed).toBe(false)
})

test('an unused link changes nothing', async () => {
  const portal = await TestPortal.start()
  await portal.operate((ledger) => ledger.createRenewal({ name: 'alice', secretHash: 'x', lifetimeMs: 60_000 }))
  expect((await portal.ask('GET', '/v1/account', { token: portal.token('alice') })).status).toBe(200)
})

test('joining again with the link that renewed an account gets the same answer', async () => {
  const portal = await TestPortal.start()
  await revoke(portal, 'alice')
  const invite = await portal.operate((ledger) => renew(ledger, 'alice', 60_000))
  const token = newToken()
  for (let time = 0; time < 3; time++) {
    const { body } = await portal.ask('POST', '/v1/join', { body: { invite, token } })
    expect(JSON.parse(body.toString())).toEqual({ account: 'alice' })
  }
  const stolen = await portal.ask('POST', '/v1/join', { body: { invite, token: newToken() } })
  expect(refusalOf(stolen)).toBe('404 invite-invalid')
  expect((await portal.ask('GET', '/v1/account', { token })).status).toBe(200)
})

/** The HTTP interface with an account alice. A test can replace how the ledger looks her up. */
async function anInterface(lookUp: (real: Ledger) => Partial<Ledger> = () => ({})) {
  const ledger = await sqliteLedger({ path: ':memory:' })
  onTestFinished(() => ledger.close())
  const token = newToken()
  await join(ledger, { invite: await invite(ledger, 'alice', 60_000), token })
  const context = aContext({ ledger: { ...ledger, ...lookUp(ledger) } })
  const openRequests = new OpenRequests()
  const transfers = new Transfers(context)
  const stop = new AbortController()
  const [uploads, deliveries] = [new ResumableUploads(context, transfers), new Deliveries(context)]
  const services = { context, transfers, uploads, deliveries, openRequests, stop: stop.signal }
  const app = await buildServer(services, null)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  onTestFinished(async () => {
    stop.abort()
    await app.close()
  })
  const ask = (path: string, accept: string) =>
    fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}`, accept, connection: 'close' } })
  return { ledger, context, openRequests, tokenId: tokenIdOf(`Bearer ${token}`), ask }
}

test('a request whose account is revoked during its look-up is cut too', async () => {
  const lookedUp = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const { ledger, context, openRequests, ask } = await anInterface((real) => ({
    // The operator revokes the account while the ledger's positive answer is on its way.
    async accountByTokenId(tokenId) {
      const account = await real.accountByTokenId(tokenId)
      lookedUp.resolve()
      await goOn.promise
      return account
    },
  }))
  const asking = ask('/v1/events', 'text/event-stream').then(
    ({ status }) => `answered with ${status}`,
    () => 'cut',
  )
  await lookedUp.promise
  await ledger.revokeAccount('alice')
  const watch = new AccountWatch(context, openRequests)
  watch.start()
  const last = (await ledger.accountChanges({ after: 0, limit: 10 })).at(-1)
  await until(async () => (await ledger.auditedChangeId()) === last?.changeId, 'the revocation was noticed')
  await watch.stop()
  goOn.resolve()
  expect(await asking).toBe('cut')
})

test('finished requests are forgotten', async () => {
  const { openRequests, tokenId, ask } = await anInterface()
  const stream = await ask('/v1/events', 'text/event-stream')
  expect(await (await ask('/v1/account', '*/*')).json()).toEqual({ account: 'alice', keys: null })
  expect(openRequests.cut(tokenId), 'the stream alone').toBe(1)
  await expect(stream.text()).rejects.toThrow()
  await until(() => openRequests.cut(tokenId) === 0, 'it is forgotten, too')
})
