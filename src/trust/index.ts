/**
 * Keys, seals and signatures, with which senders and receivers need not trust the portal. `node-part-cipher.ts` needs Node and is
 * imported by its own name; `part-seal.ts` does the same in browsers.
 */
export * from './content-digest.ts'
export { ContentKey } from './content-key.ts'
export { cryptoDriver } from './crypto.ts'
export * from './delivery-proof.ts'
export * from './guest.ts'
export {
  AccountKeys,
  type Contact,
  type Contacts,
  fingerprintOf,
  type HeldKeys,
  type PortableKeys,
  signingKeyBytes,
} from './keys.ts'
export { type ManifestClaims, sealedDigestOf, signManifest, verifyManifest } from './manifest.ts'
export { type NamedOwner, OwnerContacts } from './owner-contacts.ts'
export { openedLayout, sealedLayout, sealTagBytes } from './part-position.ts'
export * from './part-seal.ts'
export { openProfileExport, sealProfileExport } from './profile-export.ts'
export {
  parseReceiptFile,
  type ReceiptClaims,
  ReceiptFile,
  readReceipt,
  receiptText,
  saltText,
  signReceipt,
  verifyReceiptToken,
} from './receipt.ts'
