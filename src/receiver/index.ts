/** The receiver: receives each file exactly once, and answers for it. The implementations for a runtime are in other files. */

export { type Decide, type Decision, declineReasonCharactersMax, type OpenOffer } from './decision.ts'
export type { ReceiveEvent } from './events.ts'
export type { BeforeAnswer, FileHandling, Handle, HandledFile, Handlers, ReceivedFile } from './handling.ts'
export type { CommitRecord } from './inbox.ts'
export { type Inbox, type Obstacle, type Published, PublishIncompleteError, publishedBy } from './inbox.ts'
export type {
  ArrivingPart,
  IncomingFile,
  IncomingTree,
  PartBody,
  PartialLayout,
  ReceiveLimits,
  TreeProgress,
} from './incoming-file.ts'
export { findGuest, type LinkGuest, type LinkGuestOptions, linkGuests } from './link-guest.ts'
export { agreedMs, type Clocks, isForgotten, rememberedSinceMs } from './memory.ts'
export { nameVariants } from './names.ts'
export { type ReceiveIntoOptions, type ReceiveResult, receiveInto } from './receive.ts'
export { requireRoom } from './room.ts'
export { describe, folderName, type RequestOfFile, type ShownTraits } from './traits.ts'
export { joinPath, type RenamedEntry, safeTreeName, splitPath } from './tree-names.ts'
export type { ReceiverTrust } from './trust.ts'
