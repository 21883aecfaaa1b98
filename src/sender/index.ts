/**
 * The sender: sends files to the portal and waits for the notifications about them. This part runs in any runtime, over contracts
 * for journal, seal records and files; `node.ts` sends files of this machine.
 */
export type { SendContext } from './context.ts'
export { EventWatch } from './event-watch.ts'
export type * from './events.ts'
export { asEntry, type Journal, type JournalEntry, type JournalKey, keyText } from './journal.ts'
export { PartsRead, type ReadPart } from './parts-read.ts'
export { type CheckedReceipt, checkReceipts } from './receipt-check.ts'
export { type RecordLayout, SealConflictError, type SealRecord, type SealRecords } from './seal-record.ts'
export { Pause, sendSlots } from './send-slot.ts'
export { beginSending, followOne, forget, sendOne } from './sending.ts'
export type * from './source.ts'
export type { KeptReceipt, Receipts, SenderTrust } from './trust.ts'
