/**
 * Whom a receiver trusts: the accepted senders, their known keys, and how their sealed files are opened.
 */
import {
  type Offer,
  type PartLayout,
  type PlainMetadata,
  Problem,
  type PublicKeys,
  transferTimeMs,
  wrappedKeyOf,
} from '../protocol/index.ts'
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
import type { IncomingFile, PartBody, PartialLayout } from './incoming-file.ts'
import type { StoredOffer } from './leased-offer.ts'
import { isForgotten } from './memory.ts'

/** Keys and contacts of an account that receives. */
export interface ReceiverTrust {
  readonly account: string
  readonly keys: AccountKeys
  readonly contacts: Contacts
}

/** Which files are accepted. `trust` is null where this account has no keys. */
export interface AcceptPolicy {
  readonly trust: ReceiverTrust | null
  /** The accepted senders; null for all. */
  readonly from: readonly string[] | null
  /** The time since which everything received is remembered. Older transfers are refused. */
  readonly rememberedSinceMs: number
}

/** Asks the portal for the keys of an account; null when it has none or does not exist any more. */
export type AskKeys = (account: string) => Promise<PublicKeys | null>

/** An offer whose sender has been checked and whose metadata has been opened. */
export interface OpenedOffer {
  readonly metadata: PlainMetadata
  /** The sizes of the file itself. */
  readonly layout: PartLayout
  /** Null where the transfer is not sealed. */
  readonly contentKey: ContentKey | null
  /** The keys with which the sender signs; null when none are known. */
  readonly senderKeys: PublicKeys | null
}

/**
 * Makes all checks of a sender and its seal that are possible before any content travels.
 *
 * @throws Problem `sender-not-accepted`, `transfer-too-old`, `keys-changed`, `signature-missing`, `seal-unopenable`,
 *   `seal-broken`
 */
export async function openOffer(acceptPolicy: AcceptPolicy, offer: Offer, askKeys: AskKeys): Promise<OpenedOffer> {
  const { trust, from, rememberedSinceMs } = acceptPolicy
  if (from !== null && !from.includes(offer.from)) throw new Problem('sender-not-accepted', { from: offer.from })
  if (isForgotten(offer.transferId, rememberedSinceMs)) {
    const [madeAt, sinceAt] = [transferTimeMs(offer.transferId), rememberedSinceMs].map((ms) =>
      new Date(ms).toISOString(),
    )
    const detail = `by its id it was made at ${madeAt}, and the receiver remembers what came since ${sinceAt}; if it is newer, the clock of the sender was wrong`
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
  // Otherwise a portal could hide the sender's keys and forge an unsigned file of an account whose fingerprint was compared.
  if (await contacts.isPinned(sender)) {
    throw new Problem('signature-missing', {
      from: sender,
      detail: 'the portal names no keys that could have signed it',
    })
  }
  return null
}

async function contentKeyOf(trust: ReceiverTrust | null, { transferId, from, metadata }: Offer): Promise<ContentKey> {
  const wrapped = trust === null ? undefined : wrappedKeyOf(metadata, trust.account)
  if (trust === null || wrapped === undefined) {
    throw new Problem('seal-unopenable', { detail: 'it is not sealed for the keys that the receiver has' })
  }
  return ContentKey.unwrap(wrapped, { transferId, from, to: trust.account }, trust.keys)
}

/**
 * Verifies that the sender signed this very transfer. Called once all parts are held, before anything is committed.
 *
 * @throws Problem `signature-missing`, `signature-invalid`; `keys-changed` when it was signed with other keys than the trusted ones,
 *   and the portal names those keys
 */
export async function requireSigned(
  { trust }: AcceptPolicy,
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
    // If the sender has new keys, `keys-changed` tells it what to do.
    const named = await askKeys(from)
    if (named !== null && (await fingerprintOf(named)) !== (await fingerprintOf(senderKeys))) {
      await trust.contacts.check(from, named)
    }
    throw error
  }
}

/**
 * A stream has ended at the portal: its layouts with their true size.
 *
 * @param layout of the parts as they travel
 * @param sizeBytes as it travels
 * @throws Problem `seal-broken` for a size that no sealed file has
 */
export function endedStream(
  opened: OpenedOffer,
  { partSizeBytes, digestAlgorithm }: PartialLayout,
  sizeBytes: number,
): { opened: OpenedOffer; layout: PartialLayout } {
  const layout = { sizeBytes, partSizeBytes, digestAlgorithm }
  return { layout, opened: { ...opened, layout: opened.contentKey === null ? layout : openedLayout(layout) } }
}

/** The claims of the receipt for a whole and verified file that is about to be published. */
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
 * The signed receipt; undefined where this account has no keys. The claims may name another account that received into the same
 * folder before; then this account signs claims of its own.
 */
export async function receiptOf(
  trust: ReceiverTrust | null,
  claims: ReceiptClaims | null,
): Promise<string | undefined> {
  if (trust === null || claims === null) return undefined
  return signReceipt({ ...claims, receiver: trust.account }, trust.keys)
}
