/**
 * Before the sender says `delivered` it has verified what the receiver signed: that this receiver got this transfer, with
 * the manifestDigest that the sender itself signed. What a portal says alone proves nothing.
 */
import { Patience } from '../client/index.ts'
import { Problem } from '../protocol/index.ts'
import { type ManifestClaims, ownManifest, proveDelivery } from '../trust/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { type KeptReceipt, receiptSalt } from './trust.ts'

export class ReceiptCheck {
  readonly #context: SendContext
  readonly #entry: JournalEntry
  /** What this sender signed, in this run; null until then, or where an earlier run signed it. */
  manifest: ManifestClaims | null = null
  /** What the receipt has to say of the content; null where an earlier run read the file. */
  contentDigest: string | null = null
  /** What that is salted with, null for nothing, where this run began the transfer; undefined where an earlier one did. */
  salt: string | null | undefined = undefined

  constructor(context: SendContext, entry: JournalEntry) {
    this.#context = context
    this.#entry = entry
  }

  /**
   * Verifies a receipt and keeps it.
   *
   * @returns why it proves nothing; `unsigned` where there is nothing to verify it with: no keys on one side
   * @throws the signal's reason
   */
  async verify(receiver: string, receipt: string | undefined): Promise<'proven' | 'unsigned' | Problem> {
    const { trust, receiverKeys, account } = this.#context
    const keys = receiverKeys.get(receiver) ?? null
    if (trust === null || keys === null) return 'unsigned'
    try {
      if (receipt === undefined) throw new Problem('receipt-invalid', { detail: 'the portal gave none' })
      const manifest = await this.#signedManifest()
      await proveDelivery(receipt, { manifest, receiver, keys, contentDigest: this.contentDigest })
      const { transferId, metadata } = this.#entry
      const salt = this.salt !== undefined ? this.salt : await receiptSalt(transferId, account, metadata, trust.keys)
      await this.#keep({ transferId, receiver, receipt, keys, salt })
      return 'proven'
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      if (error.code === 'receipt-invalid') return error
      return new Problem('receipt-invalid', { detail: error.message }, { cause: error })
    }
  }

  /** The delivery is proven, whether this machine has room for the receipt or not: the portal keeps it, too. */
  async #keep(receipt: KeptReceipt): Promise<void> {
    const { trust, onEvent } = this.#context
    const { transferId, receiver } = receipt
    await trust?.receipts.keep(receipt).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      onEvent({ type: 'receipt-unkept', transferId, receiver, reason })
    })
  }

  /** What this sender signed; the portal keeps it, and cannot change it. */
  async #signedManifest(): Promise<ManifestClaims> {
    if (this.manifest !== null) return this.manifest
    const { client, trust, account, signal } = this.#context
    if (trust === null) throw new Error('without keys nothing was signed')
    const { transferId, metadata } = this.#entry
    const patience = new Patience({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal })
    const { manifest } = await patience.insist(() => client.transfer(transferId, { stallMs: patience.stallMs, signal }))
    if (manifest === null) throw new Problem('receipt-invalid', { detail: 'the portal has lost the manifest' })
    return ownManifest(manifest, trust.keys.publicKeys, { transferId, from: account, metadata })
  }
}
