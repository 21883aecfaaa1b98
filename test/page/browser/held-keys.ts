/** Keys that cannot be exported: made, stored, read after a reload, and used. */
import { change, openDatabase } from '../../../src/page/platform/database.ts'
import type { PublicKeys } from '../../../src/protocol/index.ts'
import {
  AccountKeys,
  ContentKey,
  type HeldKeys,
  readReceipt,
  signReceipt,
  verifyReceiptToken,
} from '../../../src/trust/index.ts'

const transferId = '01975c2f-7c3a-7000-8000-000000000001'
const context = { transferId, from: 'alice', to: 'bob' }

export async function makeAndKeep(): Promise<PublicKeys> {
  const { publicKeys, signingKey, decryptionKey } = await AccountKeys.generateHeld()
  const database = await openDatabase(location.href)
  const held: HeldKeys = { publicKeys, signingKey, decryptionKey }
  await change(database, 'identity', (identity) => identity.put(held, 'own'))
  database.close()
  return publicKeys
}

async function kept(): Promise<AccountKeys> {
  const database = await openDatabase(location.href)
  const held = (await database.get('identity', 'own')) as HeldKeys
  database.close()
  return AccountKeys.fromHeld(held)
}

/**
 * Wraps a content key for the stored keys, and unwraps it with them.
 *
 * @returns whether both are equal
 */
export async function openWhatIsSealedForThem(): Promise<boolean> {
  const keys = await kept()
  const key = await ContentKey.generate(transferId)
  const opened = await ContentKey.unwrap(await key.wrap(context, keys.publicKeys), context, keys)
  return opened.partKey.join() === key.partKey.join()
}

/** @returns what is needed to verify a receipt, and the receipt that the keys signed */
export async function signWithThem(claims: Parameters<typeof signReceipt>[0]): Promise<string> {
  const keys = await kept()
  const receipt = await signReceipt(claims, keys)
  await verifyReceiptToken(receipt, keys.publicKeys)
  readReceipt(receipt)
  return receipt
}

/** @returns the errors of the attempts to export them */
export async function takeThem(): Promise<string[]> {
  const { signingKey, decryptionKey } = await kept()
  const taken = [signingKey, decryptionKey].flatMap((key) =>
    (['pkcs8', 'jwk'] as const).map((format) => crypto.subtle.exportKey(format, key)),
  )
  return (await Promise.allSettled(taken)).map((one) => (one.status === 'rejected' ? one.reason.name : 'taken'))
}
