/** What a person keeps on this machine: contacts and receipts. */
export { FileContacts, type StoredContact } from './contacts.ts'
export { FileReceipts, parseReceiptFile, ReceiptFile, receiptText } from './receipts.ts'
