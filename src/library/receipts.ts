import { type Connection, type FileReceipts, type KnownSelf, shortRetryPolicy } from '../profile/index.ts'
import { checkReceipts } from '../sender/receipt-check.ts'
import type { ReceiptFile } from '../trust/index.ts'

/**
 * A receipt of one receiver with all data needed to verify it. `JSON.stringify` turns it into a receipt file, which `golooader
 * verify` and `verifyReceipt` read.
 */
export type Receipt = ReceiptFile

/** The receipts that were found, and where. */
export interface FoundReceipts {
  readonly connection: Connection
  readonly store: FileReceipts
  readonly self: () => Promise<KnownSelf>
}

/** @returns the receipts of all receivers; when the portal cannot be asked, those that are kept on this machine */
export async function findReceipts(
  { connection, store, self }: FoundReceipts,
  { transferId, receiver, signal }: { transferId: string; receiver: string | null; signal: AbortSignal },
): Promise<readonly Receipt[]> {
  const isAsked = (one: { receiver: string }): boolean => receiver === null || one.receiver === receiver
  const kept = (await store.of(transferId)).filter(isAsked)
  if (kept.length > 0 && receiver !== null) return kept
  try {
    const status = await shortRetryPolicy(signal).retry(() => connection.client.transfer(transferId, { signal }))
    const { keys } = await self()
    const accountOf = (name: string) =>
      shortRetryPolicy(signal).retry(() => connection.client.accountOf(name, { signal }))
    const checked = keys === null ? [] : await checkReceipts(status, { contacts: connection.contacts, keys, accountOf })
    const fetched = checked.filter(isAsked).map(({ receipt, problem }) => {
      if (receipt === null) throw problem
      return receipt
    })
    for (const receipt of fetched) await store.keep(receipt)
    return fetched.length > 0 ? fetched : kept
  } catch (error) {
    if (kept.length === 0) throw error
    return kept
  }
}
