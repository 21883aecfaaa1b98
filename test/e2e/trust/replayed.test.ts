/** A portal offers transfers that were not sent to the receiver now: old ones, those of others, and its own. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { type Disposition, newTransferId, type Offer } from '../../../src/protocol/index.ts'
import { AccountKeys, fingerprintOf, readReceipt, signManifest } from '../../../src/trust/index.ts'
import { type Running, until } from '../harness/world.ts'
import type { EvilPortal } from './evil-portal.ts'
import { deliver, fingerprintOfAccount, offerFor, type Scene, sceneWith } from './scene.ts'

const CONTENT = Buffer.from('run me')

/** An offer that the portal forges in the name of alice, without seal and signature. */
function forgedOffer(change: Partial<Offer> = {}): Offer {
  const offer: Offer = {
    transferId: newTransferId(),
    leaseId: randomUUID(),
    leaseMs: 60_000,
    state: 'stored',
    from: 'alice',
    metadata: { name: 'invoice.exe' },
    sizeBytes: 0,
    partSizeBytes: CONTENT.length,
    digestAlgorithm: 'sha-256',
    manifestDigest: null,
    manifest: null,
    expiresAt: new Date(Date.now() + 60_000).toISOString(),
  }
  return { ...offer, ...offerFor(offer, [CONTENT]), ...change }
}

/** The answer of a receiver to a forged offer. */
async function answerTo({ world, evil }: Scene, change: Partial<Offer> = {}, to = 'bob'): Promise<Disposition> {
  return evil.offer(await world.token(to), { offer: forgedOffer(change), parts: [CONTENT] })
}

const refused = (code: string): object => ({ disposition: 'refused', problem: { code } })

test('a received transfer that is offered again gets the same answer and the same receipt, and no second copy', async () => {
  await using scene = await sceneWith(['alice', 'bob', 'carol'])
  const { world, evil } = scene
  let bob = await world.receiver('bob')
  const { transferId, offer, parts } = await deliver(scene, 'report.bin', 2)
  const first = answersOf(evil, transferId)[0]
  expect(first).toMatchObject({ disposition: 'received', receipt: expect.any(String) })
  const token = await world.token('bob')
  for (const isRestarted of [false, true]) {
    if (isRestarted) {
      await bob.stop('SIGKILL')
      bob = await world.receiver('bob')
    }
    const again = await evil.offer(token, { offer: { ...offer, leaseId: randomUUID() }, parts })
    await until(() => receivedBy(bob) === (isRestarted ? 1 : 2), 'the receiver has done with it')
    expect(again).toMatchObject({ disposition: 'received', receipt: first?.receipt })
  }
  // The same holds with changed metadata: other names, other senders, other content.
  const other = { ...offer, from: 'carol', metadata: { name: 'other.bin' }, ...offerFor(offer, [CONTENT]) }
  const last = await evil.offer(token, { offer: other, parts: [CONTENT] })
  expect(last).toMatchObject({ disposition: 'received', receipt: first?.receipt })
  expect(readReceipt(String(first?.receipt))).toMatchObject({ from: 'alice', receiver: 'bob', transferId })
  expect(await world.received('bob')).toEqual(['report.bin'])

  // Another account, to which it was not sent, cannot open it.
  await world.receiver('carol')
  expect(await evil.offer(await world.token('carol'), { offer, parts })).toMatchObject(refused('seal-unopenable'))
  expect(await world.received('carol')).toEqual([])
})

function receivedBy(receiver: Running): number {
  return receiver.json.filter(({ type }) => type === 'received').length
}

/** The receivers' answers about a transfer, in order. */
function answersOf({ requests }: EvilPortal, transferId: string): (Disposition & { receipt?: string })[] {
  return requests
    .filter(({ method, path }) => method === 'POST' && path === `/v1/inbox/${transferId}/disposition`)
    .map(({ body }) => JSON.parse(body.toString()))
}

test('a transfer without a seal is refused by a receiver to whom it was not sent', async () => {
  await using scene = await sceneWith(['alice', 'bob', 'carol'])
  const { world, evil } = scene
  await Promise.all(['bob', 'carol'].map((name) => world.receiver(name)))
  const path = await world.file('report.txt', 100)
  const sending = world.send(path, 'bob', '--plain')
  expect((await sending.ended).code).toBe(0)
  const transferId = String((await sending.notification('delivered')).transferId)
  const offer = evil.offers.get(transferId)
  if (offer === undefined) throw new Error('it was not offered')
  const replayed = { offer, parts: evil.partsOf(transferId) }
  expect(await evil.offer(await world.token('carol'), replayed)).toMatchObject(refused('signature-invalid'))
  expect(await world.received('carol')).toEqual([])
})

test('a file that the portal forges in the name of a sender with known keys is refused', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  await world.receiver('bob')
  await deliver(scene, 'honest.bin', 1)
  expect(await answerTo(scene)).toMatchObject(refused('signature-missing'))

  // Signed with keys of the portal, which then reports them as those of the sender.
  const own = await AccountKeys.generate()
  const signed = await signedBy(own)
  expect(await answerTo(scene, signed)).toMatchObject(refused('signature-invalid'))
  const known = await fingerprintOfAccount(world, 'alice')
  const offered = await fingerprintOf(own.publicKeys)
  evil.lies = { says: (said, { path }) => (path === '/v1/accounts/alice' ? { ...said, keys: own.publicKeys } : said) }
  const answer = await answerTo(scene, await signedBy(own))
  expect(answer).toMatchObject({ problem: { code: 'keys-changed', account: 'alice', trusted: known, offered } })

  // A transfer id that is months old: records of that time are deleted, so it could be delivered twice.
  const months = 100 * 86_400_000
  const oldId = newTransferId().replace(/^.{13}/, idTime(Date.now() - months))
  expect(await answerTo(scene, { transferId: oldId })).toMatchObject(refused('transfer-too-old'))
  expect(await world.received('bob')).toEqual(['honest.bin'])
})

/** The first 48 bits of a UUIDv7. */
function idTime(atMs: number): string {
  const hex = Math.floor(atMs).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
}

/** The data with which the portal signs an offer of its own. */
async function signedBy(keys: AccountKeys): Promise<Partial<Offer>> {
  const { transferId, from, sizeBytes, partSizeBytes, digestAlgorithm, manifestDigest, metadata } = forgedOffer()
  if (!('name' in metadata) || manifestDigest === null) throw new Error('not a plain offer')
  const layout = { sizeBytes, partSizeBytes, digestAlgorithm, manifestDigest }
  return { transferId, manifest: await signManifest({ transferId, from, to: ['bob'], ...layout, metadata }, keys) }
}

test('with a fingerprint that was compared before the first use, invented files are refused', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const fingerprint = await fingerprintOfAccount(world, 'alice')
  const isAlice = (path: string): boolean => path === '/v1/accounts/alice'
  // The portal hides the keys.
  evil.lies = { says: (said, { path }) => (isAlice(path) ? { ...said, keys: null } : said) }
  expect((await world.run('contacts', 'trust', 'alice', fingerprint, '--profile', 'bob')).code).toBe(0)
  await world.receiver('bob')
  expect(await answerTo(scene)).toMatchObject(refused('signature-missing'))
  const own = await AccountKeys.generate()
  evil.lies = { says: (said, { path }) => (isAlice(path) ? { ...said, keys: own.publicKeys } : said) }
  expect(await answerTo(scene, await signedBy(own))).toMatchObject(refused('keys-changed'))
  expect(await world.received('bob')).toEqual([])
  evil.lies = {}
  await deliver(scene, 'honest.bin', 1)
})

test('without a known fingerprint the first file that the portal signs is accepted, and the fingerprint is shown', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const bob = await world.receiver('bob')
  const own = await AccountKeys.generate()
  evil.lies = { says: (said, { path }) => (path === '/v1/accounts/alice' ? { ...said, keys: own.publicKeys } : said) }
  expect(await answerTo(scene, await signedBy(own))).toMatchObject({ disposition: 'received' })
  const received = await bob.object(({ type }) => type === 'received')
  expect(received.signedBy).toBe(await fingerprintOf(own.publicKeys))
  expect(received.signedBy).not.toBe(await fingerprintOfAccount(world, 'alice'))
  // Later the receiver notices that the real alice has other keys.
  evil.lies = {}
  const sending = world.send(await world.file('report.bin', 10), 'bob')
  expect((await sending.ended).code).toBe(3)
  expect(await sending.notification('failed')).toMatchObject({ problem: { code: 'keys-changed' } })
})

test('a receiver with --from refuses other senders, whatever the portal claims', async () => {
  await using scene = await sceneWith(['alice', 'bob', 'carol'])
  const { world, evil } = scene
  const bob = await world.receiver('bob', ['--from', 'carol'])
  const path = await world.file('report.bin', 10)
  const sending = world.send(path, 'bob')
  expect((await sending.ended).code).toBe(3)
  expect(await sending.notification('failed')).toMatchObject({ problem: { code: 'sender-not-accepted' } })
  evil.lies = { says: (said) => ('leaseId' in said ? { ...said, from: 'carol' } : said) }
  for (const [flags, code] of [
    [[], 'seal-unopenable'],
    [['--plain'], 'signature-invalid'],
  ] as const) {
    const again = world.send(path, 'bob', ...flags)
    expect((await again.ended).code).toBe(3)
    expect(await again.notification('failed')).toMatchObject({ problem: { code } })
  }
  expect(await world.received('bob')).toEqual([])
  expect(bob.json.filter(({ type }) => type === 'received')).toEqual([])
})
