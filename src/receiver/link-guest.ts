/**
 * The guest of a send link that a receiver becomes. A link for several people has several guests, and each of them takes the file once. The
 * link does not say how many, so they are asked one by one. Nothing of this changes anything at the portal.
 */
import { type CallOptions, type PortalClient, RemoteProblem } from '../client/index.ts'
import {
  type DeliveryState,
  guestsPerRequestMax,
  Problem,
  type PublicKeys,
  type ReceivedDelivery,
  type SendLink,
} from '../protocol/index.ts'
import { fingerprintOf, type Guest, guestOf } from '../trust/index.ts'

export interface LinkGuest {
  readonly guest: Guest
  /** From 1. */
  readonly index: number
  /** Who made the link. The link itself says the fingerprint of these keys. */
  readonly owner: { readonly account: string; readonly keys: PublicKeys }
  /** When the link stops working. */
  readonly expiresAt: string
  /** Null until the owner has announced the file. */
  readonly delivery: ReceivedDelivery | null
}

export interface FindGuestOptions {
  readonly link: SendLink
  /** Of `passphraseKeyOf`; null where the link has no passphrase. */
  readonly passphraseKey: Uint8Array | null
  readonly clientOf: (token: string) => Pick<PortalClient, 'account' | 'deliveries'>
  /** Makes a request, and repeats it as the caller likes. */
  readonly retry: <Result>(request: (bounds: CallOptions) => Promise<Result>) => Promise<Result>
  /** The guest of an earlier run. It is taken again, whatever has become of its delivery. */
  readonly index?: number | null
}

/** Guests whose delivery is in an earlier one of these states are preferred. */
const preference: readonly (DeliveryState | null)[] = ['waiting', 'offered', null, 'delivered', 'failed']

/**
 * Finds the guest to be: one whose file nobody takes at the moment; else the one that says most about why there is none.
 *
 * @throws Problem `link-invalid` (unknown, expired, revoked, or the passphrase is wrong), `keys-changed` (the portal names other keys for
 *   the owner than the link); RemoteProblem, NoResponseError
 */
export async function findGuest(options: FindGuestOptions): Promise<LinkGuest> {
  const { link, passphraseKey, clientOf, retry, index: known = null } = options
  let best: { readonly guest: Guest; readonly index: number; readonly delivery: ReceivedDelivery | null } | null = null
  for (let index = known ?? 1; index <= (known ?? guestsPerRequestMax); index++) {
    const guest = await guestOf(link.secret, index, passphraseKey)
    const delivery = await deliveryTo(clientOf(guest.token), retry)
    if (delivery === undefined) break
    if (best === null || rankOf(delivery) < rankOf(best.delivery)) best = { guest, index, delivery }
    if (delivery?.state === 'waiting') break
  }
  if (best === null) throw new Problem('link-invalid')
  const { guest: status } = await retry((bounds) => clientOf(best.guest.token).account(bounds))
  if (status === undefined) throw new Problem('link-invalid', { detail: 'the portal knows an account, and no link' })
  const { owner, expiresAt } = status
  await checkOwner(owner, link.fingerprint)
  return { ...best, owner, expiresAt }
}

/**
 * Checks that the portal names the keys that a link says.
 *
 * @param fingerprint of the link
 * @throws Problem `keys-changed` with the members `account`, `trusted` and `offered`
 */
export async function checkOwner(
  { account, keys }: { readonly account: string; readonly keys: PublicKeys },
  fingerprint: string,
): Promise<void> {
  const offered = await fingerprintOf(keys)
  if (offered === fingerprint) return
  const detail = `the link says that ${account} has the keys ${fingerprint}, and the portal names others: ${offered}`
  throw new Problem('keys-changed', { account, trusted: fingerprint, offered, detail })
}

function rankOf(delivery: ReceivedDelivery | null): number {
  return preference.indexOf(delivery?.state ?? null)
}

/** The only delivery of a guest, which is the newest one. @returns undefined where there is no such guest, null where it has none yet */
async function deliveryTo(
  client: Pick<PortalClient, 'deliveries'>,
  retry: FindGuestOptions['retry'],
): Promise<ReceivedDelivery | null | undefined> {
  try {
    const { deliveries } = await retry((bounds) => client.deliveries({ limit: 1 }, bounds))
    return deliveries[0] ?? null
  } catch (error) {
    if (error instanceof RemoteProblem && error.code === 'credentials-invalid') return undefined
    throw error
  }
}
