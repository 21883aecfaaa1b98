/** The receipts of a transfer that the portal keeps, each held against what this account itself signed. */
import { Problem, type PublicKeys, type TransferStatus } from '../protocol/index.ts'
import { type AccountKeys, type Contacts, ownManifest, proveDelivery, type ReceiptFile } from '../trust/index.ts'
import { receiptSalt } from './trust.ts'

/** What one receiver signed: a receipt that proves the delivery, or why it proves nothing. */
export type CheckedReceipt =
  | { readonly receiver: string; readonly receipt: ReceiptFile; readonly problem: null }
  | { readonly receiver: string; readonly receipt: null; readonly problem: Problem }

/**
 * Verifies all receipts that are in the status of a transfer.
 *
 * @throws Problem `signature-invalid`, `receipt-invalid`, `seal-unopenable`, `seal-broken` where what the portal keeps of the
 *   transfer itself is not what this account made
 */
export async function checkReceipts(
  { transferId, manifest, metadata, from, notifications }: TransferStatus,
  { contacts, keys }: { readonly contacts: Contacts; readonly keys: AccountKeys },
): Promise<CheckedReceipt[]> {
  if (manifest === null) return []
  const signed = await ownManifest(manifest, keys.publicKeys, { transferId, from, metadata })
  const salt = await receiptSalt(transferId, from, metadata, keys)
  const checked: CheckedReceipt[] = []
  for (const notification of notifications) {
    if (notification.notification !== 'delivered' || notification.receipt === undefined) continue
    const { receiver, receipt } = notification
    try {
      const trusted = await keysOf(contacts, receiver)
      await proveDelivery(receipt, { manifest: signed, receiver, keys: trusted, contentDigest: null })
      checked.push({ receiver, receipt: { transferId, receiver, receipt, keys: trusted, salt }, problem: null })
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem
      checked.push({ receiver, receipt: null, problem })
    }
  }
  return checked
}

async function keysOf(contacts: Contacts, receiver: string): Promise<PublicKeys> {
  const trusted = await contacts.known(receiver)
  if (trusted !== null) return trusted
  const detail = `the keys of ${receiver} are not known here. Compare fingerprints, and trust them first`
  throw new Problem('keys-missing', { account: receiver, detail })
}
