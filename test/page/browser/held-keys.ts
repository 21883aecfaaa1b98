/** Keys that nobody can take away: made, kept over a reload, and used. */
import { change, openDatabase } from '../../../src/page/platform/database.ts'
import type { PublicKeys } from '../../../src/protocol/index.ts'
import {
  AccountKeys,
  ContentKey,
  type HeldKeys,
  readReceipt,
  signReceipt,
  verifyReceipt,
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

/** Wraps a content key for the kept keys, and opens it with them. @returns whether it is the same */
export async function openWhatIsSealedForThem(): Promise<boolean> {
  const keys = await kept()
  const key = await ContentKey.generate(transferId)
  const opened = await ContentKey.unwrap(await key.wrap(context, keys.publicKeys), context, keys)
  return opened.partKey.join() === key.partKey.join()
}

/** @returns what verifies a receipt that they signed; the receipt itself */
export async function signWithThem(claims: Parameters<typeof signReceipt>[0]): Promise<string> {
  const keys = await kept()
  const receipt = await signReceipt(claims, keys)
  await verifyReceipt(receipt, keys.publicKeys)
  readReceipt(receipt)
  return receipt
}

/** @returns the errors of trying to take them away */
export async function takeThem(): Promise<string[]> {
  const { signingKey, decryptionKey } = await kept()
  const taken = [signingKey, decryptionKey].flatMap((key) =>
    (['pkcs8', 'jwk'] as const).map((format) => crypto.subtle.exportKey(format, key)),
  )
  return (await Promise.allSettled(taken)).map((one) => (one.status === 'rejected' ? one.reason.name : 'taken'))
}
