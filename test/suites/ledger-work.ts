/** Calls every method of a ledger once, for tests that check the resulting SQL statements. */
import type { Account, Ledger } from '../../src/portal/ledger/contract.ts'
import { aTransfer, type FakeClock, join, leaseMs, manifestDigest, problem, roomy } from './ledger.ts'
import { aRequest, makeGuests, newGuest } from './ledger-guests.ts'
import { anUpload } from './ledger-uploads.ts'
import { aWebhook, failed, ok, service, verdict } from './ledger-webhooks.ts'

const PLAIN_TRANSFERS = 300

/** Members that make no query. */
export const withoutQuery: ReadonlySet<string> = new Set(['traits', 'nowMs', 'close'])

/** Wraps a ledger and notes every called method. */
export function noting(ledger: Ledger, called: Set<string>): Ledger {
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      called.add(name)
      return target[name]
    },
  })
}

/** Calls every method of a ledger, most of them with many rows that they must not read. */
export async function work(ledger: Ledger, clock: FakeClock): Promise<void> {
  const [ada, bob, cy] = [await join(ledger, 'ada'), await join(ledger, 'bob'), await join(ledger, 'cy')]
  const announce = async () => (await ledger.announce(aTransfer(ada, [bob, cy]), roomy)).transfer.transferId
  const move = (transferId: string, change: Parameters<Ledger['moveTransfer']>[2], attempt = 1) =>
    ledger.moveTransfer(transferId, { state: 'receiving', attempt }, change)
  await ledger.countedMs()
  await ledger.keepTime({ leaseMs, uploadTimeoutMs: roomy.uploadTimeoutMs })
  const ids: string[] = []
  for (let i = 0; i < PLAIN_TRANSFERS; i++) ids.push(await announce())
  const [first = '', second = '', third = '', fourth = ''] = ids
  await ledger.extendUploadDeadline(first, 1)
  await move(second, {
    state: 'receiving',
    problem: problem('parts-missing'),
    wanted: [],
    discardsParts: true,
    uploadTimeoutMs: 1,
  })
  for (const state of ['refused', 'cancelled', 'expired'] as const) {
    await move(await announce(), { state, problem: problem('expired') })
  }
  await ledger.announce(aTransfer(ada, [bob]), { ...roomy, freeBytes: 0 })
  for (const stored of ids.slice(0, 3)) {
    await move(stored, { state: 'stored', manifestDigest, manifest: null }, stored === second ? 2 : 1)
  }
  for (const { deliveries, transferId } of await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 4 })) {
    const offered = deliveries.find(({ receiverId }) => receiverId === bob.accountId)
    if (offered?.state !== 'offered') continue
    const from = { state: 'offered', leaseId: offered.lease.leaseId } as const
    clock.advance(leaseMs / 2)
    await ledger.renewLease(transferId, bob.accountId, from.leaseId, { leaseMs, fetchedBytes: 1 })
    await ledger.renewLease(transferId, bob.accountId, from.leaseId, { leaseMs, fetchedBytes: null })
    await ledger.recordFetched({ transferId, receiverId: bob.accountId, leaseId: from.leaseId, fetchedBytes: 2 })
    await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'offered', leaseMs })
    if (transferId === first)
      await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'delivered', receipt: null })
    if (transferId === second) {
      await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'failed', problem: problem('disk-full') })
    }
    if (transferId === third) {
      await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'waiting', offerInMs: 9 })
    }
  }
  const whole = { manifestDigest, manifest: null, digest: 'cd'.repeat(32), content: new Uint8Array(1000) }
  const { transfer: deposited } = await ledger.storeInline(aTransfer(ada, [bob]), roomy, whole)
  await ledger.content(deposited.transferId)
  await ledger.moveDelivery(
    deposited.transferId,
    bob.accountId,
    { state: 'waiting' },
    { state: 'failed', problem: problem('expired') },
  )
  const failure = { state: 'failed', problem: problem('expired') } as const
  await ledger.moveDelivery(first, cy.accountId, { state: 'waiting' }, failure)
  await ledger.nextOfferInMs(bob.accountId)
  await ledger.receiverConnected(bob.accountId, 'instance-1')
  await ledger.delivery(fourth, bob.accountId)
  await ledger.deliveryAlone(fourth, bob.accountId)
  await ledger.transfer(fourth)
  await ledger.transfersOf(ada.accountId, { before: null, limit: 2 })
  await ledger.transfersOf(ada.accountId, { before: fourth, limit: 2 })
  await ledger.transfersTo(bob.accountId, { before: null, limit: 2 })
  await ledger.transfersTo(bob.accountId, { before: fourth, limit: 2 })
  await watch(ledger, clock)
  await ledger.events(ada.accountId, { after: '0', limit: 2, transferId: null })
  const lastEventId = await ledger.lastEventId(ada.accountId)
  await ledger.events(ada.accountId, { after: lastEventId, limit: 2, transferId: null })
  await ledger.events(ada.accountId, { after: lastEventId, limit: 2, transferId: first })
  await ledger.accountByTokenId('token of ada')
  await ledger.accountByName('ada')
  await ledger.setKeys(ada.accountId, { signing: 's', encryption: 'e' })
  await ledger.accounts({ after: 'ada', limit: 2 })
  const stream = { ...aTransfer(ada, [bob]), sizeBytes: null }
  await ledger.announce(stream, roomy)
  await ledger.growStream(stream.transferId, { attempt: 1, partNumber: 1, lengthBytes: 100 }, roomy)
  await ledger.growStream(stream.transferId, { attempt: 1, partNumber: 2, lengthBytes: 7 }, roomy)
  await ledger.nextOfferInMs(bob.accountId, { areStreamsWanted: true })
  const early = { leaseMs, limit: 1000, areStreamsWanted: true }
  await ledger.offerNext(bob.accountId, 'instance-2', early)
  await move(stream.transferId, { state: 'stored', manifestDigest, manifest: null, streamBytes: 107 })
  await ledger.roomBytes({ senderId: ada.accountId, to: ['bob'] }, roomy)
  await guests(ledger, ada)
  await uploads(ledger, ada)
  await webhooks(ledger, ada, bob, clock)
  await ledger.createRenewal({ name: 'bob', secretHash: 'renews bob', lifetimeMs: 1000 })
  await ledger.openInvites({ after: 'a', limit: 2 })
  await ledger.inviteByHash('no such invite')
  await ledger.redeemInvite('renews bob', { tokenId: 'new token of bob', tokenHash: 'hash' })
  await ledger.setOperator('bob', true)
  await ledger.revokeAccount('cy')
  await ledger.audited((await ledger.accountChanges({ after: 0, limit: 100 })).at(-1)?.changeId ?? 0)
  await ledger.auditedChangeId()
  await ledger.expireGuests(2)
  for (const account of await ledger.dueRevocations(2)) {
    await ledger.openWith(account.accountId, 2)
    await ledger.revocationSettled(account)
  }
  clock.advance(2 * roomy.expiryMs)
  await ledger.expireGuests(2)
  await ledger.dueUploads(2)
  await ledger.dueLeases(2)
  await ledger.dueExpiries(2)
  for (const transferId of await ledger.dueRemovals(2)) await ledger.removed(transferId)
  await ledger.prune(0, 2)
  await ledger.totals()
  await ledger.takeDuty('sweep', 'here', { leaseMs })
  await ledger.storeBinding()
  await ledger.bindStore('store', { isInstead: false })
  await ledger.setAddress('http://127.0.0.1:7878')
  await ledger.address()
}

/** Calls the methods about guests and requests. */
async function guests(ledger: Ledger, ada: Account): Promise<void> {
  const [guest = ada] = await makeGuests(ledger, ada)
  await ledger.guest(guest.accountId)
  const { transfer } = await ledger.announce(aTransfer(ada, [guest]), roomy)
  await ledger.moveTransfer(
    transfer.transferId,
    { state: 'receiving', attempt: 1 },
    { state: 'cancelled', problem: problem('cancelled') },
  )
  const request = aRequest(ledger)
  const bounds = { openMax: 10, perDayMax: 10 }
  await ledger.createFileRequest(ada.accountId, request, bounds)
  await ledger.fileRequestByHash(request.secretHash)
  const visitor = await ledger.joinFileRequest(request.secretHash, newGuest(), { lingerMs: 1 })
  if (visitor === null) throw new Error('the request is not open')
  await ledger.announce(aTransfer(visitor, [ada]), roomy)
  await ledger.requestsOfGuests([visitor.accountId, guest.accountId])
  const stream = { ...aTransfer(visitor, [ada]), sizeBytes: null }
  await ledger.announce(stream, roomy)
  await ledger.growStream(stream.transferId, { attempt: 1, partNumber: 1, lengthBytes: 100 }, roomy)
  await ledger.fileRequestsOf(ada.accountId, { before: null, limit: 2 })
  await ledger.fileRequestsOf(ada.accountId, { before: request.requestId, limit: 2 })
  await ledger.closeFileRequest(ada.accountId, request.requestId)
  await ledger.dueFileRequests(2)
  await ledger.uploadsFor(request.requestId, 2)
  await ledger.fileRequestSettled(request.requestId)
  await ledger.guestCensus()
}

/** Calls the methods about upload resources. */
async function uploads(ledger: Ledger, ada: Account): Promise<void> {
  const { transferId } = (await ledger.announce({ ...aTransfer(ada, [ada]), isResumable: true }, roomy)).transfer
  await ledger.createUploadResource(anUpload(transferId, ada), 'one')
  await ledger.uploadResource({ transferId })
  await ledger.uploadResource({ secretHash: `secret of ${transferId}` })
  await ledger.recordUploadLength(transferId, 'one', 200)
  const parts = [{ partNumber: 1, digest: 'digest' }]
  await ledger.recordUploaded(
    transferId,
    'one',
    { fromBytes: 0, offsetBytes: 100, parts, tail: [], lengthBytes: 200 },
    null,
  )
  await ledger.uploadedDigests(transferId)
  await ledger.claimUploadResource(transferId, 'one', null)
  await ledger.claimUploadResource(transferId, null, 'two')
  await ledger.removeUploadResource(transferId)
}

/** Calls the methods about webhooks, with more events and messages than are read. */
async function webhooks(ledger: Ledger, ada: Account, bob: Account, clock: FakeClock): Promise<void> {
  await ledger.setOperator('ada', true)
  const own = aWebhook()
  const whole = { ...aWebhook(), isWholePortal: true }
  for (const one of [own, whole]) await ledger.createWebhook(ada.accountId, one, { webhooksMax: 10 })
  for (let count = 0; count < 3; count++) {
    const { transfer } = await ledger.announce(aTransfer(ada, [bob]), roomy)
    await ledger.moveTransfer(
      transfer.transferId,
      { state: 'receiving', attempt: 1 },
      { state: 'stored', manifestDigest, manifest: null },
    )
    await ledger.moveDelivery(
      transfer.transferId,
      bob.accountId,
      { state: 'waiting' },
      { state: 'failed', problem: problem('expired') },
    )
  }
  await ledger.webhooks('here')
  await ledger.webhooks('here')
  for (const { webhookId } of [own, whole]) {
    const work = await ledger.serveWebhook(webhookId, service, [], null)
    const [first, second] = work?.messages ?? []
    if (first === undefined || second === undefined) throw new Error('there is nothing to send')
    await ledger.serveWebhook(webhookId, service, [ok(first), failed(second)], { ...verdict, failures: 1, pauseMs: 9 })
    await ledger.serveWebhook(webhookId, service, [], { ...verdict, isBack: true })
    await ledger.serveWebhook(webhookId, { ...service, batchMax: 0 }, [], null)
  }
  const messages = await ledger.webhookMessages(ada.accountId, own.webhookId, { before: null, limit: 1 })
  await ledger.webhookMessages(ada.accountId, own.webhookId, { before: messages?.[0]?.messageId ?? '', limit: 1 })
  await ledger.testWebhook(ada.accountId, own.webhookId, { messageId: 'a test', body: '{}' })
  await ledger.webhooksOf(ada.accountId)
  await ledger.webhookCensus()
  clock.advance(1)
  await ledger.pruneWebhookMessages(0, 1)
  await ledger.serveWebhook(whole.webhookId, service, [], { ...verdict, disabledFor: 'gone' })
  await ledger.removeWebhook(ada.accountId, own.webhookId)
  await ledger.setOperator('ada', false)
}

/** Calls the methods for an operator's page, and the heartbeats of portals. */
async function watch(ledger: Ledger, clock: FakeClock): Promise<void> {
  await ledger.census()
  await ledger.problems(2)
  const portal = { portalId: 'here', node: 'one', sinceMs: clock.nowMs, receivers: { count: 0, named: [] } }
  const minute = { atMs: clock.nowMs, storedBytes: 1, deliveredBytes: 1, storedCount: 1, deliveredCount: 1 }
  await ledger.recordHeartbeat(portal, [minute], { forgetMs: leaseMs })
  await ledger.portals(leaseMs, 2)
  await ledger.minutes(leaseMs)
  await ledger.portalGone('here')
}
