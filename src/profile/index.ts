/** What a person keeps on this machine: contacts and receipts. */
export { FileContacts, type StoredContact } from './contacts.ts'
export { FileReceipts } from './receipts.ts'
