/**
 * GoLooader as a library: sender, receiver and the client they stand on. The portal is `golooader/portal`, and what
 * goes over the wire `golooader/protocol`; nothing of a database is loaded from here.
 */
export * from './client/index.ts'
export { nodeTransport } from './client/node-transport.ts'
export * from './profile/index.ts'
export type { ReceiveEvent, ReceiverTrust } from './receiver/index.ts'
export { type ReceiveOptions, receive } from './receiver/node-receive.ts'
export type { KeptReceipt, Receipts, SendEvent, SenderTrust, SendOutcome } from './sender/index.ts'
export { type SendOptions, send } from './sender/node.ts'
export * from './trust/index.ts'
