/**
 * The guest of a send link that a receiver becomes. A link for several people has several guests, and each of them takes the file once. The
 * link does not say how many, so they are asked one by one. Nothing of this changes anything at the portal.
 */
import { type CallOptions, type PortalClient, RemoteProblem } from '../client/index.ts'
import {
  type DeliveryState,
  guestsPerRequestMax,
  Problem,
  type ReceivedDelivery,
  type SendLink,
} from '../protocol/index.ts'
import { type Guest, guestOf, type NamedOwner, OwnerContacts } from '../trust/index.ts'

export interface LinkGuest {
  readonly guest: Guest
  /** From 1. */
  readonly index: number
  /** Who made the link. The link says the fingerprint of these keys. */
  readonly owner: NamedOwner
  /** Know the owner, and no other account. */
  readonly contacts: OwnerContacts
  /** When the link stops working. */
  readonly expiresAt: string
  /** Null until the owner has announced the file. */
  readonly delivery: ReceivedDelivery | null
}

export interface LinkGuestOptions {
  readonly link: SendLink
  /** Of `passphraseKeyOf`; null where the link has no passphrase. */
  readonly passphraseKey: Uint8Array | null
  readonly clientOf: (token: string) => Pick<PortalClient, 'account' | 'deliveries'>
  /** Makes a request, and repeats it as the caller likes. */
  readonly retry: <Result>(request: (bounds: CallOptions) => Promise<Result>) => Promise<Result>
  /** Only this guest, for instance that of an earlier run. */
  readonly index?: number | null
}

/** Guests whose delivery is in an earlier one of these states are preferred. */
const preference: readonly (DeliveryState | null)[] = ['waiting', 'offered', null, 'delivered', 'failed']

/**
 * The guests of a link that the portal knows, in their order.
 *
 * @throws Problem `link-invalid` when it knows none (unknown, expired, revoked, or the passphrase is wrong), `keys-changed` (the portal
 *   names other keys for the owner than the link); RemoteProblem, NoResponseError
 */
async function* linkGuests(options: LinkGuestOptions): AsyncGenerator<LinkGuest, void, undefined> {
  const { link, passphraseKey, clientOf, retry, index: only = null } = options
  let about: Pick<LinkGuest, 'owner' | 'contacts' | 'expiresAt'> | null = null
  for (let index = only ?? 1; index <= (only ?? guestsPerRequestMax); index++) {
    const guest = await guestOf(link.secret, index, passphraseKey)
    const client = clientOf(guest.token)
    const delivery = await deliveryTo(client, retry)
    if (delivery === undefined) break
    about ??= await aboutLink(client, options)
    yield { guest, index, delivery, ...about }
  }
  if (about === null) throw new Problem('link-invalid')
}

/**
 * Finds the guest to be: one whose file nobody takes at the moment; else the one that says most about why there is none.
 *
 * @throws like {@link linkGuests}
 */
export async function findGuest(options: LinkGuestOptions): Promise<LinkGuest> {
  let best: LinkGuest | null = null
  for await (const one of linkGuests(options)) {
    if (best === null || rankOf(one.delivery) < rankOf(best.delivery)) best = one
    if (one.delivery?.state === 'waiting') break
  }
  if (best === null) throw new Problem('link-invalid')
  return best
}

async function aboutLink(
  client: Pick<PortalClient, 'account'>,
  { link, retry }: LinkGuestOptions,
): Promise<Pick<LinkGuest, 'owner' | 'contacts' | 'expiresAt'>> {
  const { guest } = await retry((bounds) => client.account(bounds))
  if (guest === undefined) throw new Problem('link-invalid', { detail: 'the portal knows an account, and no link' })
  const { owner, expiresAt } = guest
  return { owner, contacts: await OwnerContacts.of(link.fingerprint, owner), expiresAt }
}

function rankOf(delivery: ReceivedDelivery | null): number {
  return preference.indexOf(delivery?.state ?? null)
}

/** The only delivery of a guest, which is the newest one. @returns undefined where there is no such guest, null where it has none yet */
async function deliveryTo(
  client: Pick<PortalClient, 'deliveries'>,
  retry: LinkGuestOptions['retry'],
): Promise<ReceivedDelivery | null | undefined> {
  try {
    const { deliveries } = await retry((bounds) => client.deliveries({ limit: 1 }, bounds))
    return deliveries[0] ?? null
  } catch (error) {
    if (error instanceof RemoteProblem && error.code === 'credentials-invalid') return undefined
    throw error
  }
}
