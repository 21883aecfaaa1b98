/**
 * The keys that a sender trusts, and how it seals files for them.
 *
 * One content key seals one version of one file for the receivers of one transfer. It travels with the transfer, wrapped
 * for each receiver and for the sender, so that nobody has to keep a copy of it.
 */
import type { PortalClient } from '../client/index.ts'
import { type Metadata, type PlainMetadata, Problem, type PublicKeys, wrappedKeyOf } from '../protocol/index.ts'
import { type AccountKeys, type Contacts, ContentKey, fingerprintOf, saltText } from '../trust/index.ts'

/** A receipt with all data needed to check it against the file, without a portal. */
export interface KeptReceipt {
  readonly transferId: string
  readonly receiver: string
  /** The token that the receiver signed. */
  readonly receipt: string
  /** The keys with which its signature was verified. */
  readonly keys: PublicKeys
  /** The salt of the content digest, base64url; null for a transfer that was not sealed. */
  readonly salt: string | null
}

/** Keeps receipts on this machine. */
export interface Receipts {
  keep(receipt: KeptReceipt): Promise<void>
}

/** Keys and contacts of an account that sends. */
export interface SenderTrust {
  readonly keys: AccountKeys
  readonly contacts: Contacts
  /** False to send without end-to-end encryption. The transfer is still signed. */
  readonly isSealing: boolean
  readonly receipts: Receipts
}

/**
 * Gets the keys of each receiver from the portal, and checks them against the pinned ones.
 *
 * @throws Problem `keys-changed`; `keys-missing` for a receiver without keys when files are to be sealed; RemoteProblem
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

/** The keys that a transfer is sealed for, as one text. Other keys need another transfer. */
export async function sealedForText(
  own: PublicKeys,
  receiverKeys: ReadonlyMap<string, PublicKeys | null>,
): Promise<string> {
  const all = [...[...receiverKeys.values()].filter((keys) => keys !== null), own]
  return (await Promise.all(all.map(fingerprintOf))).sort().join(' ')
}

/**
 * The salt of a transfer's content digest, as a kept receipt has it; null where the transfer was not sealed.
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
  // The wrapped key is not signed, but the metadata is, so opening it proves the key. A wrong salt would make the receipt useless later.
  await contentKey.openMetadata(metadata.sealed)
  return saltText(contentKey)
}

/** The sender and the receivers of a sealed transfer, with their keys. */
export interface SealFor {
  readonly transferId: string
  readonly from: string
  readonly keys: AccountKeys
  readonly receiverKeys: ReadonlyMap<string, PublicKeys | null>
}

/** A new content key for a transfer, wrapped for its receivers and its sender, and the metadata sealed with it. */
export async function sealMetadata(
  { transferId, from, keys, receiverKeys }: SealFor,
  metadata: PlainMetadata,
): Promise<{ metadata: Metadata; contentKey: ContentKey }> {
  const contentKey = await ContentKey.generate(transferId)
  const wrapped = new Map<string, string>()
  for (const [to, receiver] of [...receiverKeys, [from, keys.publicKeys] as const]) {
    if (receiver === null) throw new Problem('keys-missing', { account: to })
    wrapped.set(to, await contentKey.wrap({ transferId, from, to }, receiver))
  }
  return {
    metadata: { sealed: await contentKey.sealMetadata(metadata), keys: Object.fromEntries(wrapped) },
    contentKey,
  }
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
  const wrapped = wrappedKeyOf(metadata, account)
  if (wrapped === undefined) throw new Problem('seal-unopenable', { detail: 'it was not sealed for its sender' })
  return ContentKey.unwrap(wrapped, { transferId, from: account, to: account }, keys)
}
