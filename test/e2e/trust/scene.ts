/** Shared set-up for tests with a lying portal: the accounts that use it, and what must not happen. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { digestDriver, digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { type Offer, partCount } from '../../../src/protocol/index.ts'
import { AccountKeys, fingerprintOf } from '../../../src/trust/index.ts'
import { type Running, sha256Of, World } from '../harness/world.ts'
import { unfinished } from '../second-hop/scene.ts'
import { EvilPortal, type Json } from './evil-portal.ts'

/** The smallest part size. */
export const PART_BYTES = 64 * 1024
export const PART_FLAGS = ['--part-size', '64KiB'] as const

export interface Scene extends AsyncDisposable {
  readonly world: World
  readonly evil: EvilPortal
  /** The real portal. */
  readonly portal: Running
}

/** A world in which all accounts reach the portal through the lying one. */
export async function sceneWith(names: readonly string[], portalFlags: readonly string[] = []): Promise<Scene> {
  const world = await World.create()
  const evil = await EvilPortal.open(() => world.portalUrl)
  const portal = await world.portal(portalFlags)
  await world.join(names, Object.fromEntries(names.map((name) => [name, evil])))
  return {
    world,
    evil,
    portal,
    async [Symbol.asyncDispose]() {
      await evil[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    },
  }
}

/** All private data of an account's keys. */
export async function secretOf(world: World, name: string): Promise<string> {
  const profile = await readFile(world.path('config', 'golooader', 'profiles', `${name}.json`), 'utf8')
  return String(JSON.parse(profile).keys)
}

/** The keys of an account. */
export async function keysOf(world: World, name: string): Promise<AccountKeys> {
  return AccountKeys.parse(await secretOf(world, name))
}

/** The output of `whoami` on the machine of an account. */
export async function fingerprintOfAccount(world: World, name: string): Promise<string> {
  return fingerprintOf((await keysOf(world, name)).publicKeys)
}

/** A file that was delivered honestly, through the lying portal. */
export interface Delivered {
  readonly path: string
  readonly transferId: string
  /** The offer, once the file was stored. */
  readonly offer: Offer
  readonly parts: readonly Buffer[]
}

/** Delivers a file honestly. The receivers must be online. */
export async function deliver({ world, evil }: Scene, name: string, parts: number, to = 'bob'): Promise<Delivered> {
  const path = await world.file(name, parts * PART_BYTES)
  const sending = world.send(path, to, ...PART_FLAGS)
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  const transferId = transferIdOf(sending)
  const offer = evil.offers.get(transferId)
  if (offer?.state !== 'stored') throw new Error('it was not offered')
  return { path, transferId, offer, parts: evil.partsOf(transferId) }
}

/** The transfer that a file is finally sent as. One that cannot be continued is reported before. */
export function transferIdOf(sending: Running): string {
  return String(sending.json.findLast((line) => line.phase === 'started')?.transferId)
}

/** Changes offers, and the answers about them: they are the messages with a lease. */
export function offersAs(change: (offer: Offer) => Partial<Offer> | Promise<Partial<Offer>>) {
  return async (said: Json): Promise<Json> =>
    'leaseId' in said ? { ...said, ...(await change(said as unknown as Offer)) } : said
}

/** The manifestDigest of parts. */
export function digestOfParts(digestAlgorithm: string, parts: readonly Buffer[]): string {
  const { name } = digestDriver(digestAlgorithm)
  return manifestDigestOf(
    name,
    parts.map((bytes) => digestOf(name, bytes)),
  )
}

/** A consistent offer for other parts. */
export function offerFor(offer: Offer, parts: readonly Buffer[]): Partial<Offer> {
  const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0)
  const partSizeBytes = parts[0]?.length ?? offer.partSizeBytes
  if (partCount({ sizeBytes, partSizeBytes }) !== parts.length) throw new Error('only the last part may be shorter')
  return {
    sizeBytes,
    partSizeBytes,
    ...(offer.state === 'stored' ? { manifestDigest: digestOfParts(offer.digestAlgorithm, parts) } : {}),
  }
}

/** Sends a file that the receiver must refuse: the sender learns why, and nothing is published. */
export async function expectRefused(
  { world }: Scene,
  { code, sendFlags = [] }: { code: string; sendFlags?: readonly string[] },
): Promise<void> {
  const before = await world.received('bob')
  const path = await world.file(`refused-${code}.bin`, 3 * PART_BYTES)
  const sending = world.send(path, 'bob', ...PART_FLAGS, ...sendFlags)
  const ended = await sending.ended
  expect(sending.json.at(-1), ended.stdout + ended.stderr).toMatchObject({
    exitCode: 3,
    transfers: [{ outcome: 'failed', failures: [{ receiver: 'bob', problem: { code } }] }],
  })
  expect(sending.json.filter(({ notification }) => notification === 'delivered')).toEqual([])
  expect(await world.received('bob')).toEqual(before)
  expect(await unfinished(world, 'bob')).toEqual([])
}

/** Checks that the only file of that name in an inbox is this one. */
export async function expectArrived(world: World, receiver: string, name: string, path: string): Promise<void> {
  expect(await sha256Of(join(world.inbox(receiver), name))).toBe(await sha256Of(path))
}

/** Checks that all attempts to send a part sent the same bytes, as far as each got. */
export function expectOneContent({ uploads }: EvilPortal): void {
  expect(uploads.length).toBeGreaterThan(0)
  for (const [index, one] of uploads.entries()) {
    for (const other of uploads.slice(0, index)) {
      if (other.transferId !== one.transferId || other.partNumber !== one.partNumber) continue
      const lengthBytes = Math.min(one.bytes.length, other.bytes.length)
      const isSame = one.bytes.subarray(0, lengthBytes).equals(other.bytes.subarray(0, lengthBytes))
      expect(isSame, `part ${one.partNumber} of ${one.transferId} was sealed twice, with other content`).toBe(true)
    }
  }
}
