/** What a person keeps on this machine: profiles, contacts and receipts. */
export { type Connection, connect, type KnownSelf, knownSelf, shortRetryPolicy } from './connect.ts'
export { FileContacts, type StoredContact } from './contacts.ts'
export { joinPortal } from './join.ts'
export { loadProfile } from './profiles.ts'
export { FileReceipts } from './receipts.ts'
export { Records, recordNameOf } from './records.ts'
export { configFolder, isStateTemporary, requestsFolder, stateFolder } from './user-folders.ts'
