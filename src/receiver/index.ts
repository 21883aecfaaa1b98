/** App 3, the receiver: takes files in, each exactly once, and answers for each. What a runtime brings is in other files. */
export { type CommitRecord, isForgotten } from './commit-record.ts'
export { type Decide, type Decision, declineReasonCharactersMax, type OpenOffer } from './decision.ts'
export type { ReceiveEvent } from './events.ts'
export { type Inbox, NotDurableYet, type Published } from './inbox.ts'
export type { ArrivingPart, IncomingFile, PartBody, PartialLayout, PartSeal, TakeLimits } from './incoming-file.ts'
export { numberedName, sameNamesMax } from './names.ts'
export { type ReceiveIntoOptions, type ReceiveResult, receiveInto } from './receive.ts'
export type { ReceiverTrust } from './trust.ts'
