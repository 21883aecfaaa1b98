/**
 * App 1, the sender: hands files to the portal and waits for what it is told about them. Here is what runs anywhere, over
 * contracts for the journal, the seal records and the files; `node.ts` sends files of this machine.
 */
export type { SendContext } from './context.ts'
export { EventWatch, type EventWatchOptions } from './event-watch.ts'
export type * from './events.ts'
export { asEntry, type Journal, type JournalEntry, type JournalKey, keyText } from './journal.ts'
export { type CheckedReceipt, checkReceipts } from './receipts.ts'
export { type RecordLayout, SealedOtherwise, type SealRecord, type SealRecords } from './seal-record.ts'
export { beginSending, followOne, forget, type SendingOptions, type SendOneOptions, sendOne } from './sending.ts'
export type * from './source.ts'
export type { KeptReceipt, Receipts, SenderTrust } from './trust.ts'
export { ownContentKey, receiptSalt } from './trust.ts'
export { Pause, sharedLine, type TakePlace } from './turn.ts'
