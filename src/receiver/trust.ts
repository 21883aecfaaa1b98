/**
 * Whom a receiver trusts: from whom it takes files, by which keys it knows them, and how what they sealed is opened.
 */
import { type Offer, type PartLayout, type PlainMetadata, Problem, type PublicKeys } from '../protocol/index.ts'
import {
  type AccountKeys,
  type Contacts,
  ContentKey,
  contentDigestOf,
  fingerprintOf,
  openedLayout,
  type ReceiptClaims,
  requireManifest,
  signReceipt,
} from '../trust/index.ts'
import { isForgotten } from './commit-record.ts'
import type { IncomingFile, PartBody, PartialLayout } from './incoming-file.ts'
import type { StoredOffer } from './standing-offer.ts'

/** What an account with keys brings to a `receive`. */
export interface ReceiverTrust {
  readonly account: string
  readonly keys: AccountKeys
  readonly contacts: Contacts
}

/** From whom files are taken, and by which keys; null where this account has none. */
export interface Acceptance {
  readonly trust: ReceiverTrust | null
  /** Null for anybody. */
  readonly from: readonly string[] | null
}

/** Asks the portal for the keys of an account; null where it has none, or is not known any more. */
export type AskKeys = (account: string) => Promise<PublicKeys | null>

/** An offer, as far as it can be understood before any content. */
export interface OpenedOffer {
  readonly metadata: PlainMetadata
  /** The sizes of the file itself. */
  readonly layout: PartLayout
  /** Null where nothing is sealed. */
  readonly contentKey: ContentKey | null
  /** By which the sender signs; null where nobody knows any. */
  readonly senderKeys: PublicKeys | null
}

/**
 * Everything that can be refused of a sender and its seal before a byte has travelled.
 *
 * @throws Problem `sender-not-accepted`, `transfer-too-old`, `keys-changed`, `signature-missing`, `seal-unopenable`,
 *   `seal-broken`
 */
export async function openOffer({ trust, from }: Acceptance, offer: Offer, askKeys: AskKeys): Promise<OpenedOffer> {
  if (from !== null && !from.includes(offer.from)) throw new Problem('sender-not-accepted', { from: offer.from })
  if (isForgotten(offer.transferId)) {
    const detail = 'by its id it was made months ago; if it was not, the clock of the sender is wrong'
    throw new Problem('transfer-too-old', { detail })
  }
  const senderKeys = trust === null ? null : await keysOfSender(trust, offer.from, askKeys)
  const { metadata } = offer
  if (!('sealed' in metadata)) return { metadata, layout: offer, contentKey: null, senderKeys }
  const layout = openedLayout(offer)
  const contentKey = await contentKeyOf(trust, offer)
  return { metadata: await contentKey.openMetadata(metadata.sealed), layout, contentKey, senderKeys }
}

async function keysOfSender({ contacts }: ReceiverTrust, sender: string, askKeys: AskKeys): Promise<PublicKeys | null> {
  const known = await contacts.known(sender)
  if (known !== null) return known
  const keys = await askKeys(sender)
  if (keys !== null) return (await contacts.check(sender, keys)).keys
  // Or a portal that hides the keys could pass anything off as coming from somebody whose fingerprint was compared.
  if (await contacts.isPinned(sender)) {
    throw new Problem('signature-missing', {
      from: sender,
      detail: 'the portal names no keys that could have signed it',
    })
  }
  return null
}

async function contentKeyOf(trust: ReceiverTrust | null, { transferId, from, metadata }: Offer): Promise<ContentKey> {
  const wrapped = 'sealed' in metadata && trust !== null ? metadata.keys[trust.account] : undefined
  if (trust === null || wrapped === undefined) {
    throw new Problem('seal-unopenable', { detail: 'it is not sealed for the keys that the receiver has' })
  }
  return ContentKey.unwrap(wrapped, { transferId, from, to: trust.account }, trust.keys)
}

/**
 * Verifies, once everything is there and before anything is committed, that the sender signed this very transfer.
 *
 * @throws Problem `signature-missing`, `signature-invalid`; `keys-changed` where it was signed with keys that the portal
 *   names and that are not the trusted ones
 */
export async function requireSigned(
  { trust }: Acceptance,
  { senderKeys, contentKey }: OpenedOffer,
  offer: StoredOffer,
  askKeys: AskKeys,
): Promise<void> {
  if (trust === null) return
  if (senderKeys === null && contentKey === null) return
  const { from, manifest } = offer
  if (senderKeys === null || manifest === null) throw new Problem('signature-missing', { from })
  try {
    await requireManifest(manifest, { sender: senderKeys, receiver: trust.account }, offer)
  } catch (error) {
    // To a sender that has got new keys it should be said what is to be done about it.
    const named = await askKeys(from)
    if (named !== null && (await fingerprintOf(named)) !== (await fingerprintOf(senderKeys))) {
      await trust.contacts.check(from, named)
    }
    throw error
  }
}

/** What the receipt of a file says that is whole, verified, and about to be published. */
export function receiptClaims(
  { account }: ReceiverTrust,
  { contentKey, layout }: OpenedOffer,
  { transferId, from, manifestDigest }: StoredOffer,
  partial: Pick<IncomingFile<PartBody>, 'contentDigests'>,
  digestAlgorithm: PartialLayout['digestAlgorithm'],
): ReceiptClaims {
  return {
    transferId,
    from,
    receiver: account,
    sizeBytes: layout.sizeBytes,
    partSizeBytes: layout.partSizeBytes,
    digestAlgorithm,
    manifestDigest,
    contentDigest: contentDigestOf(digestAlgorithm, contentKey?.contentSalt ?? null, partial.contentDigests()),
    disposition: 'received',
    at: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
  }
}

/**
 * The receipt, signed; undefined where this account has no keys. What another account has received into the same place does not
 * come twice, and each signs for itself.
 */
export async function receiptOf(
  trust: ReceiverTrust | null,
  claims: ReceiptClaims | null,
): Promise<string | undefined> {
  if (trust === null || claims === null) return undefined
  return signReceipt({ ...claims, receiver: trust.account }, trust.keys)
}
