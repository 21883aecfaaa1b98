/** App 3, the receiver: takes files in, each exactly once, and answers for each. */
export type { ReceiveEvent } from './events.ts'
export { type ReceiveOptions, type ReceiveResult, receive } from './receive.ts'
export type { ReceiverTrust } from './trust.ts'
