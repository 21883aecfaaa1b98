/**
 * What a receiver does with a portal that lies: nothing that its sender did not send gets into the folder, and the sender
 * hears why.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import type { Offer } from '../../../src/protocol/index.ts'
import { AccountKeys, signManifest, verifyManifest } from '../../../src/trust/index.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import { EvilPortal, type Lies } from './evil-portal.ts'

const MIB = 1024 * 1024
const PARTS = 3

/** alice's files go to bob by way of an honest portal, and a liar between it and bob. */
async function scene(world: World): Promise<EvilPortal> {
  await world.portal()
  const evil = await EvilPortal.open(() => world.portalUrl)
  await world.join(['alice', 'bob', 'carol'], { bob: evil })
  return evil
}

async function send(world: World, name: string, ...args: string[]) {
  const path = await world.file(name, PARTS * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB', ...args)
  return { path, sending, ended: await sending.ended }
}

/** Everything about a transfer that went through before, as a portal keeps it. */
interface Earlier {
  offer: Offer
}

test('whatever a portal changes, drops, swaps or invents is refused, and nothing of it gets into the folder', async () => {
  await using world = await World.create()
  await using evil = await scene(world)
  const earlier: Earlier = { offer: {} as Offer }
  evil.lies = {
    offer: (offer) => {
      earlier.offer = offer
      return offer
    },
  }
  const bob = await world.receiver('bob')
  expect((await send(world, 'honest.bin')).ended.code).toBe(0)
  const old = earlier.offer
  expect(old.manifest).not.toBeNull()
  const mallory = await AccountKeys.generate()
  const alice = await AccountKeys.parse(
    JSON.parse(await readFile(world.path('config/golooader/profiles/alice.json'), 'utf8')).keys,
  )

  /** What bob is given in place of the parts, and the manifestDigest that fits. */
  const withParts = (lie: (parts: Buffer[], offer: Offer) => Buffer[]): Lies => {
    const given = new Map<string, Buffer[]>()
    const gathered = new Map<string, Buffer[]>()
    return {
      offer: (offer) => {
        const parts = given.get(offer.transferId)
        if (offer.manifestDigest === null || parts === undefined) return offer
        const digests = parts.map((bytes) => digestOf('sha-256', bytes))
        return { ...offer, manifestDigest: manifestDigestOf('sha-256', digests) }
      },
      part: ({ transferId, partNumber, bytes }) => {
        const parts = gathered.get(transferId) ?? []
        parts[partNumber - 1] = bytes
        gathered.set(transferId, parts)
        const lied = lie(parts, old)
        given.set(transferId, lied)
        return lied[partNumber - 1] ?? bytes
      },
    }
  }
  const bytesOf = (partNumber: number): Buffer => evil.passed.get(`${old.transferId} ${partNumber}`) ?? Buffer.alloc(0)

  const cases: readonly (readonly [what: string, lies: Lies, code: string])[] = [
    [
      'the last part is dropped',
      {
        offer: (offer) => ({
          ...offer,
          sizeBytes: offer.sizeBytes - offer.partSizeBytes,
          manifestDigest: offer.manifestDigest,
        }),
      },
      'seal-broken',
    ],
    [
      'one bit is changed',
      withParts((parts) => parts.map((bytes) => Buffer.concat([Buffer.of((bytes[0] ?? 0) ^ 1), bytes.subarray(1)]))),
      'seal-broken',
    ],
    [
      'a part comes in the place of another',
      { part: ({ transferId, bytes }) => evil.passed.get(`${transferId} 1`) ?? bytes },
      'seal-broken',
    ],
    ['a part is one of another transfer', { part: ({ partNumber }) => bytesOf(partNumber) }, 'seal-broken'],
    ['the manifest is taken away', { offer: (offer) => ({ ...offer, manifest: null }) }, 'signature-missing'],
    [
      'the manifest is that of another transfer',
      { offer: (offer) => ({ ...offer, manifest: offer.manifest === null ? null : old.manifest }) },
      'signature-invalid',
    ],
    [
      'the metadata are those of another transfer',
      { offer: (offer) => ({ ...offer, metadata: old.metadata }) },
      'seal-unopenable',
    ],
    [
      'the sealed name is that of another transfer',
      {
        offer: (offer) =>
          'sealed' in offer.metadata && 'sealed' in old.metadata
            ? { ...offer, metadata: { ...offer.metadata, sealed: old.metadata.sealed } }
            : offer,
      },
      'seal-broken',
    ],
    ['it is said to come from somebody else', { offer: (offer) => ({ ...offer, from: 'carol' }) }, 'seal-unopenable'],
    [
      'it is passed off as one that was not sealed',
      { offer: (offer) => ({ ...offer, metadata: { name: 'forged.bin' }, manifest: null }) },
      'signature-missing',
    ],
  ]
  for (const [what, lies, code] of cases) {
    evil.lies = lies
    const { ended, sending } = await send(world, `${cases.findIndex(([one]) => one === what)}.bin`)
    const failed = sending.json.find(({ notification }) => notification === 'failed') as { problem?: { code: string } }
    expect([ended.code, failed?.problem?.code], what).toEqual([3, code])
    expect(await world.received('bob'), what).toEqual(['honest.bin'])
  }

  // A manifest that fits in everything, signed by somebody else: by the portal, say.
  const forged = new Map<string, string>()
  evil.lies = {
    offer: (offer) =>
      offer.manifest === null ? offer : { ...offer, manifest: forged.get(offer.transferId) ?? 'a.b.c' },
  }
  evil.lies = {
    ...evil.lies,
    part: async ({ transferId, bytes }) => {
      const manifest = (await (await world.client('alice')).transfer(transferId)).manifest
      if (manifest !== null && !forged.has(transferId)) {
        forged.set(transferId, await signManifest(await verifyManifest(manifest, alice.publicKeys), mallory))
      }
      return bytes
    },
  }
  const { ended, sending } = await send(world, 'forged.bin')
  const failed = sending.json.find(({ notification }) => notification === 'failed') as { problem?: { code: string } }
  expect([ended.code, failed?.problem?.code]).toEqual([3, 'signature-invalid'])
  expect(await world.received('bob')).toEqual(['honest.bin'])

  // And an honest portal is still served.
  evil.lies = {}
  expect((await send(world, 'last.bin')).ended.code).toBe(0)
  expect((await bob.stop()).stderr).toBe('')
}, 120_000)

test('a transfer that was received already makes no second copy, however often it is offered, also after a restart', async () => {
  await using world = await World.create()
  await using evil = await scene(world)
  const dispositions = () => evil.heard.filter((line) => /^POST \/v1\/inbox\/[^/]+\/disposition/.test(line))
  let old: Offer | null = null
  evil.lies = {
    offer: (offer) => {
      old ??= offer
      return offer
    },
  }
  const bob = await world.receiver('bob')
  const { path } = await send(world, 'once.bin')
  const [first] = dispositions()
  expect(first).toContain('"received"')
  await bob.stop()

  // The next offers, whatever they are, are the old transfer once more.
  evil.lies = { offer: (offer) => (old === null ? offer : { ...old, leaseId: offer.leaseId }) }
  const again = await world.receiver('bob')
  const sending = world.send(await world.file('bait.bin', MIB), 'bob', '--no-wait')
  await sending.ended
  await until(() => dispositions().length > 1, 'the receiver answers for the old transfer')
  const receiptOf = (line: string | undefined) => /"receipt":"([^"]+)"/.exec(line ?? '')?.[1]
  expect(receiptOf(dispositions()[1])).toBe(receiptOf(first))
  expect(await world.received('bob')).toEqual(['once.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/once.bin`)).toBe(await sha256Of(path))
  await again.stop()
})

test('a sender with other keys than the known ones is refused, until somebody says that they are right', async () => {
  await using world = await World.create()
  await using _evil = await scene(world)
  await world.receiver('bob')
  expect((await send(world, 'first.bin')).ended.code).toBe(0)

  const alice = await AccountKeys.generate()
  const profile = world.path('config/golooader/profiles/alice.json')
  await writeFile(profile, JSON.stringify({ ...JSON.parse(await readFile(profile, 'utf8')), keys: alice.secret }))
  await (await world.client('alice')).setKeys(alice.publicKeys)
  const { ended, sending } = await send(world, 'second.bin')
  const failed = sending.json.find(({ notification }) => notification === 'failed') as { problem?: { code: string } }
  expect([ended.code, failed?.problem?.code]).toEqual([3, 'keys-changed'])
  expect(await world.received('bob')).toEqual(['first.bin'])

  const { stdout } = await world.run('whoami', '--profile', 'alice', '--json')
  const { fingerprint } = JSON.parse(stdout)
  expect((await world.run('contacts', 'trust', 'alice', fingerprint, '--profile', 'bob')).code).toBe(0)
  expect((await send(world, 'third.bin')).ended.code).toBe(0)
})

test('a receiver that takes files from some accounts only refuses all others', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  await world.receiver('bob', ['--from', 'carol'])
  const { ended, sending } = await send(world, 'unwanted.bin')
  const failed = sending.json.find(({ notification }) => notification === 'failed') as { problem?: { code: string } }
  expect([ended.code, failed?.problem?.code]).toEqual([3, 'sender-not-accepted'])
  expect(await world.received('bob')).toEqual([])
})
