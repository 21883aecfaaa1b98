/**
 * Before the sender reports `delivered`, it verifies the receiver's signature that this receiver got this transfer with the
 * manifestDigest that the sender itself signed. The portal's word alone proves nothing.
 */
import { type PortalClient, RetryPolicy } from '../client/index.ts'
import { isGuestName, Problem, type PublicKeys, type TransferStatus } from '../protocol/index.ts'
import {
  type AccountKeys,
  type Contacts,
  checkGuest,
  type ManifestClaims,
  ownManifest,
  proveDelivery,
  type ReceiptFile,
} from '../trust/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { type KeptReceipt, receiptSalt } from './trust.ts'

export class ReceiptCheck {
  readonly #context: SendContext
  readonly #entry: JournalEntry
  /** The manifest that this run signed; null before that, or when an earlier run signed it. */
  manifest: ManifestClaims | null = null
  /** The content digest that the receipt must have; null when an earlier run read the file. */
  contentDigest: string | null = null
  /** The salt of that digest, null for none; undefined when an earlier run began the transfer. */
  salt: string | null | undefined = undefined

  constructor(context: SendContext, entry: JournalEntry) {
    this.#context = context
    this.#entry = entry
  }

  /**
   * Verifies a receipt.
   *
   * @returns the receipt to {@link keep}; a problem when it proves nothing; `unsigned` when one side has no keys to verify it with
   * @throws the signal's reason
   */
  async verify(receiver: string, receipt: string | undefined): Promise<KeptReceipt | 'unsigned' | Problem> {
    const { trust, receiverKeys, account } = this.#context
    const keys = receiverKeys.get(receiver) ?? null
    if (trust === null || keys === null) return 'unsigned'
    try {
      if (receipt === undefined) throw new Problem('receipt-invalid', { detail: 'the portal gave none' })
      const manifest = await this.#signedManifest()
      await proveDelivery(receipt, { manifest, receiver, keys, contentDigest: this.contentDigest })
      const { transferId, metadata } = this.#entry
      const salt = this.salt !== undefined ? this.salt : await receiptSalt(transferId, account, metadata, trust.keys)
      return { transferId, receiver, receipt, keys, salt }
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      if (error.code === 'receipt-invalid') return error
      return new Problem('receipt-invalid', { detail: error.message }, { cause: error })
    }
  }

  /** Keeps a receipt on this machine. If that fails, the delivery is still proven, and the portal keeps the receipt, too. */
  async keep(receipt: KeptReceipt): Promise<void> {
    const { trust, onEvent } = this.#context
    const { transferId, receiver } = receipt
    await trust?.receipts.keep(receipt).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      onEvent({ type: 'receipt-unkept', transferId, receiver, reason })
    })
  }

  /** The manifest that this sender signed. The portal keeps it and cannot change it. */
  async #signedManifest(): Promise<ManifestClaims> {
    if (this.manifest !== null) return this.manifest
    const { client, trust, account, signal } = this.#context
    if (trust === null) throw new Error('without keys nothing was signed')
    const { transferId, metadata } = this.#entry
    const retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal })
    const { manifest } = await retryPolicy.retry((bounds) => client.transfer(transferId, bounds))
    if (manifest === null) throw new Problem('receipt-invalid', { detail: 'the portal has lost the manifest' })
    return ownManifest(manifest, trust.keys.publicKeys, { transferId, from: account, metadata })
  }
}

/** The receipt of one receiver if it proves the delivery, or why it proves nothing. */
export type CheckedReceipt =
  | { readonly receiver: string; readonly receipt: ReceiptFile; readonly problem: null }
  | { readonly receiver: string; readonly receipt: null; readonly problem: Problem }

/**
 * Verifies all receipts in the status of a transfer.
 *
 * @throws Problem `signature-invalid`, `receipt-invalid`, `seal-unopenable`, `seal-broken` when the manifest or the metadata at the
 *   portal are not those that this account made
 */
export async function checkReceipts(
  { transferId, manifest, metadata, from, notifications }: TransferStatus,
  {
    contacts,
    keys,
    accountOf,
  }: {
    readonly contacts: Contacts
    readonly keys: AccountKeys
    /** Asks the portal for a guest, whose keys no contacts keep. */
    readonly accountOf: (name: string) => ReturnType<PortalClient['accountOf']>
  },
): Promise<CheckedReceipt[]> {
  if (manifest === null) return []
  const signed = await ownManifest(manifest, keys.publicKeys, { transferId, from, metadata })
  const salt = await receiptSalt(transferId, from, metadata, keys)
  const checked: CheckedReceipt[] = []
  for (const notification of notifications) {
    if (notification.notification !== 'delivered' || notification.receipt === undefined) continue
    const { receiver, receipt } = notification
    try {
      const trusted = isGuestName(receiver) ? await guestKeysOf(receiver, accountOf) : await keysOf(contacts, receiver)
      await proveDelivery(receipt, { manifest: signed, receiver, keys: trusted, contentDigest: null })
      checked.push({ receiver, receipt: { transferId, receiver, receipt, keys: trusted, salt }, problem: null })
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem
      checked.push({ receiver, receipt: null, problem })
    }
  }
  return checked
}

/** A guest is known by its name. @throws Problem `keys-missing`, `keys-changed`; RemoteProblem `receiver-unknown` */
async function guestKeysOf(
  guest: string,
  accountOf: (name: string) => ReturnType<PortalClient['accountOf']>,
): Promise<PublicKeys> {
  const { keys } = await accountOf(guest)
  if (keys === null) throw new Problem('keys-missing', { account: guest })
  return (await checkGuest(guest, keys)).keys
}

async function keysOf(contacts: Contacts, receiver: string): Promise<PublicKeys> {
  const trusted = await contacts.known(receiver)
  if (trusted !== null) return trusted
  const detail = `the keys of ${receiver} are not known here. Compare fingerprints, and trust them first`
  throw new Problem('keys-missing', { account: receiver, detail })
}
