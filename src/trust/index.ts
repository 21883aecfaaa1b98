/**
 * Keys, seals and signatures: what makes it possible to go by way of a portal that nobody has to believe. `node-part-cipher.ts`
 * knows Node, and is imported by its own name; `part-seal.ts` does the same in browsers.
 */
export * from './contacts.ts'
export * from './content-digest.ts'
export { ContentKey, type WrapContext } from './content-key.ts'
export * from './delivery-proof.ts'
export {
  AccountKeys,
  fingerprintOf,
  type HeldKeys,
  type PortableKeys,
  parseFingerprint,
  type SubtleKey,
} from './keys.ts'
export { type ManifestClaims, sealedDigestOf, signManifest, verifyManifest } from './manifest.ts'
export * from './part-seal.ts'
export { type ReceiptClaims, readReceipt, signReceipt, verifyReceipt } from './receipt.ts'
export { parseReceiptFile, ReceiptFile, receiptText } from './receipt-file.ts'
export * from './seal-layout.ts'
