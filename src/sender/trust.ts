/**
 * Whom a sender trusts, and how its files are sealed.
 *
 * One content key seals one version of one file for the receivers of one transfer. It travels with the transfer, wrapped
 * for each of them and for the sender itself, so that no copy of it has to be kept anywhere.
 */
import type { PortalClient } from '../client/index.ts'
import { type Metadata, Problem, type PublicKeys } from '../protocol/index.ts'
import { toBase64Url } from '../trust/encoding.ts'
import { type AccountKeys, type Contacts, ContentKey, fingerprintOf } from '../trust/index.ts'

/** A receipt with what it takes to check it against the file, without any portal. */
export interface KeptReceipt {
  readonly transferId: string
  readonly receiver: string
  /** As the receiver signed it. */
  readonly receipt: string
  /** By which its signature was verified. */
  readonly keys: PublicKeys
  /** What the content digest is salted with, base64url; null for a transfer that was not sealed. */
  readonly salt: string | null
}

/** Keeps receipts on this machine. */
export interface Receipts {
  keep(receipt: KeptReceipt): Promise<void>
}

/** What an account with keys brings to a `send`. */
export interface SenderTrust {
  readonly keys: AccountKeys
  readonly contacts: Contacts
  /** False sends what everybody on the way can read. It is signed all the same. */
  readonly isSealing: boolean
  readonly receipts: Receipts
}

/**
 * By which keys each receiver is known: those the portal names, held against the ones that are pinned.
 *
 * @throws Problem `keys-changed`; `keys-missing` for a receiver without keys where files are to be sealed; RemoteProblem
 *   `receiver-unknown`
 */
export async function learnReceiverKeys(
  trust: SenderTrust,
  to: readonly string[],
  accountOf: (name: string) => ReturnType<PortalClient['accountOf']>,
): Promise<Map<string, PublicKeys | null>> {
  const known = new Map<string, PublicKeys | null>()
  for (const receiver of to) {
    const { keys } = await accountOf(receiver)
    if (keys === null) {
      if (trust.isSealing || (await trust.contacts.isPinned(receiver)))
        throw new Problem('keys-missing', { account: receiver })
      known.set(receiver, null)
    } else {
      known.set(receiver, (await trust.contacts.check(receiver, keys)).keys)
    }
  }
  return known
}

/** The keys that a transfer is sealed for, as one text: other keys need another transfer. */
export async function sealedForText(
  own: PublicKeys,
  receiverKeys: ReadonlyMap<string, PublicKeys | null>,
): Promise<string> {
  const all = [...[...receiverKeys.values()].filter((keys) => keys !== null), own]
  return (await Promise.all(all.map(fingerprintOf))).sort().join(' ')
}

/**
 * What the content digest of a transfer is salted with, as it stands beside a receipt; null where nothing was sealed.
 *
 * @throws Problem `seal-unopenable`, `seal-broken`
 */
export async function receiptSalt(
  transferId: string,
  account: string,
  metadata: Metadata,
  keys: AccountKeys,
): Promise<string | null> {
  const contentKey = await ownContentKey(transferId, account, metadata, keys)
  if (contentKey === null || !('sealed' in metadata)) return null
  // The wrapped key is not signed; what it opens is. A receipt with a wrong salt would prove nothing later.
  await contentKey.openMetadata(metadata.sealed)
  return saltText(contentKey)
}

/** As it stands beside a receipt. */
export function saltText({ contentSalt }: ContentKey): string {
  return toBase64Url(contentSalt)
}

/** Who seals a transfer, and for whom. */
export interface SealFor {
  readonly transferId: string
  readonly from: string
  readonly keys: AccountKeys
  readonly receiverKeys: ReadonlyMap<string, PublicKeys | null>
}

/** A new content key for a transfer, wrapped for its receivers and its sender, and the metadata sealed with it. */
export async function sealMetadata(
  { transferId, from, keys, receiverKeys }: SealFor,
  metadata: { name: string },
): Promise<{ metadata: Metadata; contentKey: ContentKey }> {
  const contentKey = await ContentKey.generate(transferId)
  const wrapped: Record<string, string> = {}
  for (const [to, receiver] of [...receiverKeys, [from, keys.publicKeys] as const]) {
    if (receiver === null) throw new Problem('keys-missing', { account: to })
    wrapped[to] = await contentKey.wrap({ transferId, from, to }, receiver)
  }
  return { metadata: { sealed: await contentKey.sealMetadata(metadata), keys: wrapped }, contentKey }
}

/**
 * The content key of a transfer that this account has sealed.
 *
 * @returns null where the transfer is not sealed
 * @throws Problem `seal-unopenable`
 */
export async function ownContentKey(
  transferId: string,
  account: string,
  metadata: Metadata,
  keys: AccountKeys,
): Promise<ContentKey | null> {
  if (!('sealed' in metadata)) return null
  const wrapped = metadata.keys[account]
  if (wrapped === undefined) throw new Problem('seal-unopenable', { detail: 'it was not sealed for its sender' })
  return ContentKey.unwrap(wrapped, { transferId, from: account, to: account }, keys)
}
