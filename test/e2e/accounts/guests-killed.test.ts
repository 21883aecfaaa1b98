/** A portal is killed between any two steps of a link and during each of them, and is restored from a backup: every step can be repeated. */
import { expect, onTestFinished, test } from 'vitest'
import { PortalClient } from '../../../src/client/index.ts'
import { nodeTransport } from '../../../src/client/node-transport.ts'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { guestNameOf, newToken, newTransferId } from '../../../src/protocol/index.ts'
import {
  AccountKeys,
  fingerprintOf,
  guestOf,
  newGuestOf,
  newLinkSecret,
  requestSecretsOf,
} from '../../../src/trust/index.ts'
import { World } from '../harness/world.ts'
import { dataFolder } from '../restore/scene.ts'

const HOUR_MS = 60 * 60_000
const content = new TextEncoder().encode('hello')
const digest = digestOf('sha-256', content)
const manifestDigest = manifestDigestOf('sha-256', [digest])
const inTime = (ms: number): string => new Date(Date.now() + ms).toISOString()

function clientOf(portalUrl: string, token: string | null): PortalClient {
  const client = new PortalClient(nodeTransport(portalUrl), token)
  onTestFinished(() => client.close())
  return client
}

/** A file whose seal nobody opens. */
function announcementOf(from: string, to: string) {
  const keys = { [from]: 'A'.repeat(107), [to]: 'A'.repeat(107) }
  const layout = { sizeBytes: content.length, partSizeBytes: 65_536, digestAlgorithm: 'sha-256' as const }
  return { to: [to], metadata: { sealed: 'A'.repeat(200), keys }, ...layout }
}

/** Sends a file. Every step of it can be repeated. */
function sendingSteps(client: () => PortalClient, from: string, to: string, transferId: string) {
  const part = { bytes: content, digestAlgorithm: 'sha-256', digest } as const
  return {
    announce: async () => (await client().announce(transferId, announcementOf(from, to))).transferId,
    upload: () => client().putPart(transferId, 1, part),
    complete: () => client().complete(transferId, { attempt: 1, manifestDigest }),
  }
}

/** Receives it. The lease is another one after each restart. */
async function receive(client: PortalClient, transferId: string): Promise<string> {
  const messages = await client.heldInbox({ instanceId: 'instance-1', window: 4, open: null }, 5)
  const offers = messages.flatMap((one) =>
    one.type === 'offer' && one.offer.transferId === transferId ? [one.offer] : [],
  )
  const [offer] = offers
  // Nothing is offered once the answer was recorded: then it is repeated by the state of the delivery.
  if (offer === undefined) return (await client.deliveries()).deliveries[0]?.state ?? 'unknown'
  const { leaseId } = offer
  return (await client.disposition(transferId, { leaseId, disposition: 'received', manifestDigest })).state
}

test('a link and a request survive a portal that is killed during and after each step', async () => {
  await using world = await World.create()
  let portal = await world.portal(['--guests'])
  await world.join(['alice'])
  const alice = await world.client('alice')
  const guest = await guestOf(newLinkSecret(), 1, null)
  const guests = { guests: [newGuestOf(guest)], expiresAt: inTime(HOUR_MS) }
  const asGuest = clientOf(world.portalUrl, guest.token)
  const [toGuest, toAlice] = [newTransferId(), newTransferId()]
  const send = sendingSteps(() => alice, 'alice', guest.account, toGuest)

  const { bearer, bearerHash } = await requestSecretsOf(newLinkSecret())
  const limits = { label: null, expiresAt: inTime(HOUR_MS), filesMax: 2, bytesMax: 1000 }
  const request = { requestId: newTransferId(), secretHash: bearerHash, ...limits }
  const keys = await AccountKeys.generate()
  const visitor = { account: guestNameOf(await fingerprintOf(keys.publicKeys)), token: newToken() }
  const asStranger = clientOf(world.portalUrl, null)
  const asVisitor = clientOf(world.portalUrl, visitor.token)
  const answer = sendingSteps(() => asVisitor, visitor.account, 'alice', toAlice)

  const steps: Record<string, () => Promise<unknown>> = {
    'make guests': () => alice.guests.make(guests),
    'announce to the guest': send.announce,
    'upload for the guest': send.upload,
    'complete for the guest': send.complete,
    'receive as the guest': () => receive(asGuest, toGuest),
    'make a request': async () => (await alice.guests.request(request)).requestId,
    'look at the request': async () => (await asStranger.guests.look({ secret: bearer })).requestId,
    'join the request': () => asStranger.guests.join({ secret: bearer, ...visitor, keys: keys.publicKeys }),
    'announce to the owner': answer.announce,
    'upload to the owner': answer.upload,
    'complete to the owner': answer.complete,
    'close the request': async () => (await alice.guests.closeRequest(request.requestId)).state,
    'receive as the owner': () => receive(alice, toAlice),
  }
  for (const [what, step] of Object.entries(steps)) {
    // Killed while it is answered: the answer may be lost, and the step may have been done or not.
    const lost = step().catch(() => null)
    await portal.stop('SIGKILL')
    await lost
    portal = await world.portal(['--guests'])
    const first = await step()
    await portal.stop('SIGKILL')
    portal = await world.portal(['--guests'])
    expect(await step(), `${what}, again`).toEqual(first)
  }
  const told = async (client: PortalClient) =>
    (await client.events({ after: '0' })).events.map(({ notification }) => notification)
  expect(await told(alice)).toEqual(['stored', 'delivered'])
  expect(await told(asVisitor)).toEqual(['stored', 'delivered'])
  const { requests } = await alice.guests.requests()
  expect(requests).toMatchObject([{ state: 'closed', guests: 1, files: 1, bytes: content.length }])
})

test('after a ledger is restored, the same call makes a lost guest again, and its link works', async () => {
  await using ground = await dataFolder()
  const { world } = ground
  let portal = await ground.start(['--guests'])
  await world.join(['alice'])
  const alice = await world.client('alice')
  const [known, lost] = [await guestOf(newLinkSecret(), 1, null), await guestOf(newLinkSecret(), 1, null)]
  const made = (guest: typeof known) => ({ guests: [newGuestOf(guest)], expiresAt: inTime(HOUR_MS) })
  const [first, second] = [made(known), made(lost)]
  const deliver = async (guest: typeof known) => {
    const transferId = newTransferId()
    const { announce, upload, complete } = sendingSteps(() => alice, 'alice', guest.account, transferId)
    await announce()
    await upload()
    await complete()
    return receive(clientOf(world.portalUrl, guest.token), transferId)
  }
  await alice.guests.make(first)
  await portal.stop()
  await ground.backUp()
  portal = await ground.start(['--guests'])
  await alice.guests.make(second)
  expect([await deliver(known), await deliver(lost)]).toEqual(['delivered', 'delivered'])
  await portal.stop()
  await ground.restore()
  await ground.start(['--guests'])

  const asLost = clientOf(world.portalUrl, lost.token)
  await expect(asLost.deliveries()).rejects.toMatchObject({ code: 'credentials-invalid' })
  expect((await clientOf(world.portalUrl, known.token).deliveries()).deliveries).toEqual([])
  await alice.guests.make(second)
  expect([await deliver(known), await deliver(lost)]).toEqual(['delivered', 'delivered'])
})
