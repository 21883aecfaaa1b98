/** Receivers can list their deliveries, users can see the times of both hops, and operators can see the state of the portal. */
import { expect, onTestFinished, test } from 'vitest'
import { PortalClient } from '../../../src/client/index.ts'
import { nodeTransport } from '../../../src/client/node-transport.ts'
import { invite, openLedger, type RunningPortal, startPortal } from '../../../src/portal/index.ts'
import { newToken, type Operations } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { testDatabase } from '../../servers/postgres.ts'
import { testBucket } from '../../servers/radosgw.ts'
import { instance, manifestDigest, partSizeBytes, refusalOf, TestPortal } from '../portal.ts'

const content = Buffer.alloc(partSizeBytes + 1, 'looked at ')
const aTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)

async function deliver(portal: TestPortal, transferId: string): Promise<void> {
  const { leaseId } = await portal.offerOf(transferId)
  await portal.dispose(transferId, { leaseId, disposition: 'received', manifestDigest: manifestDigest(content) })
}

async function refuse(portal: TestPortal, transferId: string, detail: string): Promise<void> {
  const { leaseId } = await portal.offerOf(transferId)
  const problem = { type: 'urn:x', title: detail, status: 507, code: 'disk-full', detail }
  await portal.dispose(transferId, { leaseId, disposition: 'refused', problem })
}

test('a receiver sees all of its deliveries with the times of both hops, and none of others', async () => {
  const portal = await TestPortal.start()
  const delivered = await portal.store(content)
  await deliver(portal, delivered)
  const refused = await portal.store(content)
  await refuse(portal, refused, 'no room')
  const waiting = await portal.announce(content)
  await portal.store(content, { to: ['carol'] })

  const { deliveries, before } = await portal.client('bob').deliveries()
  expect(before).toBeNull()
  expect(deliveries.map(({ transferId, state }) => [transferId, state])).toEqual([
    [waiting, 'waiting'],
    [refused, 'failed'],
    [delivered, 'delivered'],
  ])
  const about = { from: 'alice', metadata: { name: 'plan.pdf' }, sizeBytes: content.length, partSizeBytes }
  expect(deliveries[0]).toMatchObject({ ...about, offers: 0, fetchedBytes: 0, createdAt: aTime, expiresAt: aTime })
  for (const absent of ['storedAt', 'offeredAt', 'endedAt', 'problem', 'receiver']) {
    expect(deliveries[0]).not.toHaveProperty(absent)
  }
  const over = { ...about, offers: 1, storedAt: aTime, offeredAt: aTime, endedAt: aTime }
  expect(deliveries[1]).toMatchObject({ ...over, problem: { code: 'disk-full', detail: 'no room' } })
  expect(deliveries[2]).toMatchObject({ ...over, fetchedBytes: content.length })
  const { storedAt = '', offeredAt = '', endedAt = '', createdAt = '' } = deliveries[2] ?? {}
  expect([endedAt, offeredAt, storedAt, createdAt].sort()).toEqual([createdAt, storedAt, offeredAt, endedAt])

  const first = await portal.client('bob').deliveries({ limit: 2 })
  expect(first.deliveries.map(({ transferId }) => transferId)).toEqual([waiting, refused])
  const rest = await portal.client('bob').deliveries({ limit: 2, before: first.before ?? '' })
  expect(rest).toMatchObject({ deliveries: [{ transferId: delivered }], before: null })
  expect(await portal.client('alice').deliveries()).toEqual({ deliveries: [], before: null })
  expect(refusalOf(await portal.ask('GET', '/v1/deliveries'))).toBe('401 credentials-missing')
  const wrong = await portal.ask('GET', '/v1/deliveries?before=x', { token: portal.token('bob') })
  expect(refusalOf(wrong)).toBe('400 request-invalid')
})

test('a sender sees the times of both hops of a transfer', async () => {
  const portal = await TestPortal.start()
  const transferId = await portal.announce(content)
  const alice = portal.client('alice')
  const announced = await alice.transfer(transferId)
  for (const absent of ['storedAt', 'endedAt', 'problem']) expect(announced).not.toHaveProperty(absent)
  for (const absent of ['offeredAt', 'endedAt']) expect(announced.deliveries[0]).not.toHaveProperty(absent)
  const stored = await portal.store(content)
  await deliver(portal, stored)
  const deliveries = [{ state: 'delivered', offeredAt: aTime, endedAt: aTime }]
  expect(await alice.transfer(stored)).toMatchObject({ storedAt: aTime, endedAt: aTime, deliveries })
  await alice.cancel(transferId)
  const { transfers } = await alice.transfers()
  expect(transfers.find((one) => one.transferId === transferId)).toMatchObject({
    endedAt: aTime,
    problem: { code: 'cancelled' },
    deliveries: [{ endedAt: aTime }],
  })
})

test('only an operator sees the state of the portal; for others the path does not exist', async () => {
  const portal = await TestPortal.start()
  const asAlice = { token: portal.token('alice') }
  expect(refusalOf(await portal.ask('GET', '/v1/operations'))).toBe('401 credentials-missing')
  const refused = await portal.ask('GET', '/v1/operations', asAlice)
  const unknown = await portal.ask('GET', '/v1/no-such-thing', asAlice)
  expect(JSON.parse(refused.body.toString())).toEqual(JSON.parse(unknown.body.toString()))
  expect(await portal.client('alice').account()).toEqual({ account: 'alice', keys: null })

  await portal.operate((ledger) => ledger.setOperator('alice', true))
  expect((await portal.client('alice').operations()).accounts).toBe(3)
  expect(await portal.client('alice').account()).toEqual({ account: 'alice', keys: null, isOperator: true })
  expect(await portal.client('bob').accountOf('alice')).toEqual({ account: 'alice', keys: null })
  await portal.operate((ledger) => ledger.setOperator('alice', false))
  expect(refusalOf(await portal.ask('GET', '/v1/operations', asAlice))).toBe('404 not-found')
})

test('an operator sees what is stored, delivered and refused, and who is connected, but nothing about a file', async () => {
  const portal = await TestPortal.start({ storageBytesMax: 1_000_000 })
  await portal.operate((ledger) => ledger.setOperator('carol', true))
  const carol = portal.client('carol')
  const metadata = { name: 'secret-name.pdf' }
  await deliver(portal, await portal.store(content, { metadata }))
  const failed = await portal.store(content, { metadata })
  await refuse(portal, failed, 'no room for secret-name.pdf')
  await portal.store(content, { metadata })
  await portal.announce(content, { metadata })

  const operations = await carol.operations()
  expect(operations).toMatchObject({
    storage: { usedBytes: 2 * content.length, limitBytes: 1_000_000, freeBytes: expect.any(Number) },
    transfers: { receiving: 1, stored: 1, ended: 2, refused: 0, cancelled: 0, expired: 0 },
    deliveries: { waiting: 2, offered: 0, delivered: 1, failed: 1 },
    accounts: 3,
  })
  const problem = { transferId: failed, from: 'alice', receiver: 'bob', notification: 'failed', code: 'disk-full' }
  expect(operations.problems).toEqual([{ ...problem, at: aTime, title: 'The receiver has no room for the file' }])
  expect(operations.throughput).toHaveLength(60)
  const sum = (name: 'storedBytes' | 'deliveredBytes' | 'storedCount' | 'deliveredCount') =>
    operations.throughput.reduce((total, minute) => total + minute[name], 0)
  expect([sum('storedCount'), sum('deliveredCount')]).toEqual([3, 1])
  expect([sum('storedBytes'), sum('deliveredBytes')]).toEqual([3 * content.length, content.length])
  expect(operations.portals).toEqual([expect.objectContaining({ node: expect.any(String), since: aTime })])
  expect(JSON.stringify(operations)).not.toContain('secret-name')
})

test('an operator sees receivers connect and disconnect', async () => {
  const portal = await TestPortal.start()
  await portal.operate((ledger) => ledger.setOperator('alice', true))
  const online = async () => (await portal.client('alice').operations()).receiversOnline.map(({ account }) => account)
  expect(await online()).toEqual([])
  const gone = new AbortController()
  const inbox = portal.client('bob').watchInbox({ instanceId: instance, window: 1 }, { signal: gone.signal })
  expect((await inbox.next()).value).toEqual({ type: 'current' })
  await until(async () => (await online()).join() === 'bob', 'bob is there')
  gone.abort()
  await until(async () => (await online()).length === 0, 'bob is gone')
})

test('connections to a portal that crashed are not shown at the one that replaces it', async () => {
  const portal = await TestPortal.start()
  await portal.operate((ledger) => ledger.setOperator('alice', true))
  await portal.operate((ledger) => {
    const sinceMs = ledger.nowMs()
    const receivers = { count: 1, named: [{ account: 'bob', sinceMs }] }
    return ledger.recordHeartbeat({ portalId: 'crashed', node: 'here', sinceMs, receivers }, [], { forgetMs: 60_000 })
  })
  const operations = await portal.client('alice').operations()
  expect(operations).toMatchObject({ receiversOnline: [], receiversOnlineCount: 0 })
  expect(operations.portals).toHaveLength(1)
})

test('a receiver gets its own key of a sealed name, and not those of others', async () => {
  const portal = await TestPortal.start()
  const keys = { alice: 'a'.repeat(107), bob: 'b'.repeat(107), carol: 'c'.repeat(107) }
  await portal.announce(content, { to: ['bob', 'carol'], metadata: { sealed: 'sealed', keys } })
  const { deliveries } = await portal.client('bob').deliveries()
  expect(deliveries.map(({ metadata }) => metadata)).toEqual([{ sealed: 'sealed', keys: { bob: keys.bob } }])
})

/** A portal that shares its database and bucket with others. */
async function oneOfSeveral(databaseUrl: string, storeUrl: string): Promise<RunningPortal> {
  const portal = await startPortal({ listenPort: 0, databaseUrl, storeUrl, stopMs: 100 })
  onTestFinished(() => portal.close())
  return portal
}

test('each of two portals reports the same state of both', async () => {
  const [{ url }, { address, env }] = [await testDatabase(), await testBucket()]
  Object.assign(process.env, env)
  const portals = [await oneOfSeveral(url, address), await oneOfSeveral(url, address)]
  const clients = portals.map((portal) => (token: string | null) => {
    const client = new PortalClient(nodeTransport(portal.url), token)
    onTestFinished(() => client.close())
    return client
  })
  const ledger = await openLedger({ dataFolder: '', databaseUrl: url })
  onTestFinished(() => ledger.close())
  const tokens: Record<string, string> = {}
  for (const name of ['alice', 'bob', 'carol']) {
    tokens[name] = newToken()
    const secret = await invite(ledger, name, 60_000, { isOperator: name === 'carol' })
    await clients[0]?.(null).join({ invite: secret, token: tokens[name] })
  }
  const gone = new AbortController()
  onTestFinished(() => gone.abort())
  const inbox = clients[1]?.(tokens.bob ?? '').watchInbox({ instanceId: instance, window: 1 }, { signal: gone.signal })
  await inbox?.next()
  const looks = (): Promise<Operations[]> =>
    Promise.all(clients.map((client) => client(tokens.carol ?? '').operations()))
  await until(
    async () => (await looks()).every((one) => one.receiversOnline.length === 1),
    'both say that bob is there',
  )
  for (const one of await looks()) {
    expect(one).toMatchObject({ receiversOnline: [{ account: 'bob' }], receiversOnlineCount: 1, accounts: 3 })
    expect(one.portals.map(({ receiversOnlineCount }) => receiversOnlineCount).sort()).toEqual([0, 1])
    expect(new Set(one.portals.map(({ portalId }) => portalId)).size).toBe(2)
  }
  await portals[1]?.close()
  await until(
    async () => (await clients[0]?.(tokens.carol ?? '').operations())?.portals.length === 1,
    'the other is gone',
  )
})
