/**
 * The send links of this account. Everything that a link needs is made of its secret, which this browser stores before the portal hears of
 * its guests, so that the link can be shown again.
 */
import { type ReadonlySignal, signal } from '@preact/signals'
import * as Type from 'typebox'
import { type PortalClient, RetryPolicy } from '../../client/index.ts'
import { AccountName, conforms, linkOf } from '../../protocol/index.ts'
import { guestOf, newGuestOf, newLinkSecret, passphraseKeyOf } from '../../trust/index.ts'
import { change, type PageDatabase } from '../platform/database.ts'
import type { LinkOptions, ShownLink } from './types.ts'

/** The clock of this device may be ahead of the portal's, which refuses a link that works for too long. */
const CLOCK_SLACK_MS = 60_000

const StoredLink = Type.Object({
  secret: Type.String(),
  hasPassphrase: Type.Boolean(),
  accounts: Type.Array(AccountName),
  expiresAt: Type.String(),
})
type StoredLink = Type.Static<typeof StoredLink>

export interface OwnLinksOptions {
  readonly client: PortalClient
  readonly database: PageDatabase
  readonly portalUrl: string
  /** Of this account. */
  readonly fingerprint: string
  readonly signal: AbortSignal
}

export class OwnLinks {
  /** All links of this browser, by the account of each guest. */
  readonly byGuest: ReadonlySignal<ReadonlyMap<string, ShownLink>>
  readonly #options: OwnLinksOptions
  readonly #byGuest = signal<ReadonlyMap<string, ShownLink>>(new Map())

  private constructor(options: OwnLinksOptions) {
    this.#options = options
    this.byGuest = this.#byGuest
  }

  /** Reads the links of this browser, and forgets those that have expired. */
  static async open(options: OwnLinksOptions): Promise<OwnLinks> {
    const links = new OwnLinks(options)
    const { database } = options
    for (const name of await database.getAllKeys('links')) {
      const value: unknown = await database.get('links', name)
      const isCurrent = conforms(StoredLink, value) && Date.parse(value.expiresAt) > Date.now()
      if (isCurrent) links.#show(value)
      else await change(database, 'links', (stored) => stored.delete(name))
    }
    return links
  }

  /**
   * Makes the guests of a link, to which the file is then sent like to any account.
   *
   * @param expiryMsMax the portal's limit
   * @returns their accounts
   * @throws Problem, RemoteProblem `too-many-guests`, `guests-off`
   */
  async make({ takes, expiryMs, passphrase }: LinkOptions, expiryMsMax: number): Promise<readonly string[]> {
    const { client, database, signal: stop } = this.#options
    const secret = newLinkSecret()
    const passphraseKey = passphrase === null ? null : await passphraseKeyOf(secret, passphrase)
    const numbers = Array.from({ length: takes }, (_, at) => at + 1)
    const guests = await Promise.all(numbers.map((number) => guestOf(secret, number, passphraseKey)))
    const expiresAt = expiryOf(expiryMs, expiryMsMax)
    const accounts = guests.map(({ account }) => account)
    const stored: StoredLink = { secret, hasPassphrase: passphrase !== null, accounts, expiresAt }
    await change(database, 'links', (links) => links.put(stored, accounts[0]))
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal: stop })
    await retryPolicy.retry((bounds) => client.guests.make({ guests: guests.map(newGuestOf), expiresAt }, bounds))
    this.#show(stored)
    return accounts
  }

  #show({ secret, hasPassphrase, accounts, expiresAt }: StoredLink): void {
    const { portalUrl, fingerprint } = this.#options
    const text = linkOf({ kind: 'send', portalUrl, secret, fingerprint, hasPassphrase })
    const shown: ShownLink = { text, hasPassphrase, takes: accounts.length, expiresAt }
    this.#byGuest.value = new Map([...this.#byGuest.value, ...accounts.map((account) => [account, shown] as const)])
  }
}

/** When a link ends that is made now. */
export function expiryOf(expiryMs: number, expiryMsMax: number): string {
  return new Date(Date.now() + Math.min(expiryMs, expiryMsMax - CLOCK_SLACK_MS)).toISOString()
}
