/**
 * GoLooader as a library: see docs/library.md. A portal, with its server and its database, is loaded when `startPortal` is called.
 */
export {
  type Accounts,
  type MoveAccountsOptions,
  type MovedLedger,
  type MoveProgress,
  moveAccounts,
  openAccounts,
} from './library/accounts.ts'
export type { ConnectionOptions } from './library/connection.ts'
export { GoLooaderError } from './library/error.ts'
export type { NewRequestOptions, OwnFileRequest } from './library/file-requests.ts'
export { type JoinedProfile, type JoinOptions, join } from './library/join.ts'
export type { LinkOptions } from './library/link-options.ts'
export { type Portal, type StartPortalOptions, startPortal } from './library/portal.ts'
export {
  type Identity,
  openProfile,
  type Profile,
} from './library/profile.ts'
export {
  changeProfileAddress,
  type ExportProfileOptions,
  exportProfile,
  type ImportedProfile,
  type ImportProfileOptions,
  importProfile,
  listProfiles,
  type ProfileAddressOptions,
  type ProfileDetails,
  type ProfileExport,
  type ProfileSummary,
  removeProfile,
  renameProfile,
  showProfile,
} from './library/profiles/index.ts'
export type { Receipt } from './library/receipts.ts'
export {
  type ReceiveLinkOptions,
  type ReceiveLinkStreamOptions,
  receiveLink,
  receiveLinkInto,
} from './library/receive-link.ts'
export type { ReceivedStream, ReceiveOptions, ReceiveStreamOptions } from './library/receiving.ts'
export {
  type OpenRequestOptions,
  openRequest,
  type RequestVisit,
  type VisitSendOptions,
} from './library/request-visit.ts'
export type { SendInput, SendOptions } from './library/sending.ts'
export type { UploadOptions } from './library/upload-options.ts'
export { type ReceiptProof, verifyReceipt } from './library/verify-receipt.ts'
export type { WatchOptions } from './library/watching.ts'
export type { AddedWebhook, NewWebhookOptions, Webhook, WebhookMessage, Webhooks } from './library/webhooks.ts'
export type { StoredFile, WatchEvent, WatchedFile } from './outbox/index.ts'
export type { ProblemJson } from './protocol/index.ts'
export type { Decision, HandledFile, OpenOffer, ReceivedFile, ReceiveEvent } from './receiver/index.ts'
export type { SendEvent, SendOutcome } from './sender/index.ts'
