/** Links as an account makes them, without the command line. */
import { readFile } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import { PortalClient } from '../../../src/client/index.ts'
import { nodeTransport } from '../../../src/client/node-transport.ts'
import { linkOf, newTransferId } from '../../../src/protocol/index.ts'
import {
  AccountKeys,
  fingerprintOf,
  guestOf,
  newGuestOf,
  newLinkSecret,
  passphraseKeyOf,
  requestSecretsOf,
  sealLabel,
} from '../../../src/trust/index.ts'
import type { Visitor } from '../../page/harness/visitor.ts'
import type { Running, World } from '../harness/world.ts'
import type { Scene } from './visit.ts'

const HOUR_MS = 3_600_000
/** What a portal needs to make links. */
export const WITH_GUESTS = ['--guests']

/** The client and the keys of a member on the command line. */
export async function memberOf(world: World, name: string) {
  const profile = JSON.parse(await readFile(world.path('config', 'golooader', 'profiles', `${name}.json`), 'utf8'))
  const transport = nodeTransport(world.portalUrl)
  onTestFinished(() => transport.close())
  const keys = await AccountKeys.parse(profile.keys)
  return {
    client: new PortalClient(transport, profile.token),
    fingerprint: await fingerprintOf(keys.publicKeys),
  }
}

/** Resolves when the page of a link has that title. */
export async function titled({ page }: Visitor, title: string): Promise<void> {
  try {
    await page.getByRole('heading', { name: title, level: 1, exact: true }).waitFor()
  } catch (cause) {
    throw new Error(`it never was "${title}"; the page says: ${await page.locator('body').innerText()}`, { cause })
  }
}

interface SendLinkOptions {
  readonly takes?: number
  readonly passphrase?: string | null
  readonly lifetimeMs?: number
  /** In the link; that of the owner unless a test lies. */
  readonly fingerprint?: string
}

export interface SentLink {
  readonly link: string
  /** The accounts of the guests. */
  readonly guests: readonly string[]
  /** Sends a file to the guests. */
  send(path: string, ...args: string[]): Running
}

/** Makes a send link of alice. */
export async function sendLink(
  { world, network }: Scene,
  { takes = 1, passphrase = null, lifetimeMs = HOUR_MS, fingerprint }: SendLinkOptions = {},
): Promise<SentLink> {
  const { client, fingerprint: own } = await memberOf(world, 'alice')
  const secret = newLinkSecret()
  const key = passphrase === null ? null : await passphraseKeyOf(secret, passphrase)
  const numbers = Array.from({ length: takes }, (_, at) => at + 1)
  const guests = await Promise.all(numbers.map((number) => guestOf(secret, number, key)))
  const expiresAt = new Date(Date.now() + lifetimeMs).toISOString()
  await client.guests.make({ guests: guests.map(newGuestOf), expiresAt })
  const names = guests.map(({ account }) => account)
  const link = linkOf({
    ...{ kind: 'send', portalUrl: network.url, secret, hasPassphrase: passphrase !== null },
    fingerprint: fingerprint ?? own,
  })
  return {
    link,
    guests: names,
    send: (path, ...args) => {
      const [first = '', ...others] = names
      return world.send(path, first, ...others.flatMap((name) => ['--to', name]), ...args)
    },
  }
}

interface RequestLinkOptions {
  readonly label?: string
  readonly filesMax?: number
  readonly bytesMax?: number
  readonly lifetimeMs?: number
  /** In the link; that of the owner unless a test lies. */
  readonly fingerprint?: string
}

/** Makes a request link of alice. */
export async function requestLink(
  { world, network }: Scene,
  { label, filesMax = 10, bytesMax = 2 ** 30, lifetimeMs = HOUR_MS, fingerprint }: RequestLinkOptions = {},
) {
  const { client, fingerprint: own } = await memberOf(world, 'alice')
  const secret = newLinkSecret()
  const requestId = newTransferId()
  const { bearerHash: secretHash } = await requestSecretsOf(secret)
  const expiresAt = new Date(Date.now() + lifetimeMs).toISOString()
  const sealed = label === undefined ? null : await sealLabel(secret, label)
  await client.guests.request({ requestId, secretHash, label: sealed, expiresAt, filesMax, bytesMax })
  const link = linkOf({ kind: 'request', portalUrl: network.url, secret, fingerprint: fingerprint ?? own })
  return { link, requestId, client }
}
