/**
 * Everything that travels as JSON, as TypeBox schemas: the portal validates requests with them, clients validate
 * answers, `/openapi.json` is made from them, and the types of both sides are derived from them. Units stand last
 * in names; times are RFC 3339 in UTC; digests are lower-case hex of the transfer's `digestAlgorithm`.
 */
import * as Type from 'typebox'
import {
  eventsPerPageMax,
  inlineSizeBytesMax,
  nameLengthMax,
  partSizeBytesMax,
  partsPerTransferMax,
  receiversPerTransferMax,
  sealedMetadataLengthMax,
  signedTokenLengthMax,
  transferSizeBytesMax,
} from './limits.ts'
import { deliveryStates, transferStates } from './states.ts'

const closed = { additionalProperties: false } as const

const TRANSFER_ID = '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
const ACCOUNT_NAME = '^[a-z0-9][a-z0-9._-]{0,62}$'
/** Base64url of 32 bytes: no bits are set behind the last one. */
const RAW_KEY = '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$'
const INVITE = '^gli_[A-Za-z0-9_-]{43}$'

/** Whether a text has the form of a transfer id. */
export const isTransferId = (text: string): boolean => new RegExp(TRANSFER_ID).test(text)
/** Whether a text can be the name of an account. */
export const isAccountName = (text: string): boolean => new RegExp(ACCOUNT_NAME).test(text)
/** Whether a text has the form of an invite. */
export const isInvite = (text: string): boolean => new RegExp(INVITE).test(text)

/** UUIDv7 (RFC 9562 section 5.7), lower case. */
export const TransferId = Type.String({ pattern: TRANSFER_ID })
export const AccountName = Type.String({ pattern: ACCOUNT_NAME })
export const DigestHex = Type.String({ pattern: '^(?:[0-9a-f]{2}){16,64}$' })
export const Timestamp = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' })
/** Decimal digits; an event that happened later has a larger number. To be treated as opaque otherwise. */
export const EventId = Type.String({ pattern: '^[0-9]{1,18}$' })
export const LeaseId = Type.String({ pattern: '^[A-Za-z0-9_-]{16,64}$' })
/** Names one receiving process for one folder, so that it gets its own offers again after a restart. */
export const InstanceId = Type.String({ pattern: '^[A-Za-z0-9_-]{8,64}$' })
export const PartNumber = Type.Integer({ minimum: 1, maximum: partsPerTransferMax })
/** Inclusive runs of part numbers. */
export const PartRanges = Type.Array(Type.Tuple([PartNumber, PartNumber]), { maxItems: partsPerTransferMax })

/** RFC 9457. Members that are not named here are passed on as they came. */
export const ProblemBody = Type.Object(
  {
    type: Type.String({ maxLength: 256 }),
    title: Type.String({ maxLength: 512 }),
    status: Type.Integer({ minimum: 100, maximum: 599 }),
    code: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' }),
    detail: Type.Optional(Type.String({ maxLength: 4096 })),
  },
  { additionalProperties: true },
)

/** Raw public keys of an account, base64url of 32 bytes each: Ed25519 to verify with, X25519 to seal for. */
export const PublicKeys = Type.Object(
  {
    signing: Type.String({ pattern: RAW_KEY }),
    encryption: Type.String({ pattern: RAW_KEY }),
  },
  closed,
)
export type PublicKeys = Type.Static<typeof PublicKeys>

/** What the receiver needs to know of the file, and the portal does not. */
export const PlainMetadata = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: nameLengthMax }),
    mediaType: Type.Optional(Type.String({ maxLength: 128 })),
  },
  closed,
)
export type PlainMetadata = Type.Static<typeof PlainMetadata>

/** The same for those alone who hold a key: the receivers, and the sender itself. */
export const SealedMetadata = Type.Object(
  {
    /** The commitment to the content key, then the encrypted metadata; base64url. */
    sealed: Type.String({ pattern: '^[A-Za-z0-9_-]+$', maxLength: sealedMetadataLengthMax }),
    /** Account -> the content key, wrapped for it; base64url. */
    // What `Type.Record` gives. That alone would make a page load half of TypeBox.
    keys: Type.Unsafe<Record<string, string>>({
      type: 'object',
      patternProperties: { [ACCOUNT_NAME]: Type.String({ pattern: '^[A-Za-z0-9_-]{107}$' }) },
      minProperties: 1,
      maxProperties: receiversPerTransferMax + 1,
    }),
  },
  closed,
)
export type SealedMetadata = Type.Static<typeof SealedMetadata>

/** To the portal it is opaque. Where it is sealed, so is the content. */
export const Metadata = Type.Union([PlainMetadata, SealedMetadata])
export type Metadata = Type.Static<typeof Metadata>

/** A signed token: a JSON Web Signature in its compact form (RFC 7515 section 7.1). The portal passes it on as it came. */
export const SignedToken = Type.String({
  pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$',
  maxLength: signedTokenLengthMax,
})

/** Body of `PUT /v1/transfers/{transferId}`. */
export const Announcement = Type.Object(
  {
    to: Type.Array(AccountName, { minItems: 1, maxItems: receiversPerTransferMax, uniqueItems: true }),
    metadata: Metadata,
    sizeBytes: Type.Integer({ minimum: 0, maximum: transferSizeBytesMax }),
    partSizeBytes: Type.Integer({ minimum: 1, maximum: partSizeBytesMax }),
    digestAlgorithm: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
  },
  closed,
)
export type Announcement = Type.Static<typeof Announcement>

/** Body of `POST /v1/transfers/{transferId}/complete`. */
export const Completion = Type.Object(
  {
    manifestDigest: DigestHex,
    /** The attempt that this ends, so that the answer to an earlier one can be asked for again. */
    attempt: Type.Integer({ minimum: 1 }),
    /** The manifest as the sender signed it, for the receivers. Without it nobody can tell who sent the file. */
    manifest: Type.Optional(SignedToken),
  },
  closed,
)
export type Completion = Type.Static<typeof Completion>

/** What stands before the content in the body of `PUT /v1/transfers/{transferId}/whole`: announcement and completion in one. */
export const WholeTransfer = Type.Object(
  { ...Announcement.properties, manifestDigest: DigestHex, manifest: Type.Optional(SignedToken) },
  closed,
)
export type WholeTransfer = Type.Static<typeof WholeTransfer>

const notificationBase = {
  eventId: EventId,
  at: Timestamp,
  transferId: TransferId,
  /** Which attempt at the upload this is about, from 1. */
  attempt: Type.Integer({ minimum: 1 }),
}

/** A notification in the log: the first about the hop to the portal, the second about one receiver. */
export const Notification = Type.Union([
  Type.Object({ ...notificationBase, notification: Type.Literal('stored') }),
  Type.Object({ ...notificationBase, notification: Type.Literal('resend'), problem: ProblemBody, wanted: PartRanges }),
  Type.Object({ ...notificationBase, notification: Type.Literal('refused'), problem: ProblemBody }),
  Type.Object({
    ...notificationBase,
    notification: Type.Literal('delivered'),
    receiver: AccountName,
    /** What the receiver signed, as it came; absent where it has no keys. */
    receipt: Type.Optional(SignedToken),
  }),
  Type.Object({
    ...notificationBase,
    notification: Type.Literal('failed'),
    receiver: AccountName,
    problem: ProblemBody,
  }),
])
export type Notification = Type.Static<typeof Notification>
export type NotificationKind = Notification['notification']

/** How a delivery stands, as its sender sees it. */
export const DeliveryStatus = Type.Object({
  receiver: AccountName,
  state: Type.Enum(deliveryStates),
  /** How much of the file the receiver has fetched and verified, as it last said. */
  fetchedBytes: Type.Integer({ minimum: 0 }),
  /** How often the file was offered. */
  offers: Type.Integer({ minimum: 0 }),
  problem: Type.Optional(ProblemBody),
  /** When it was offered first. */
  offeredAt: Type.Optional(Timestamp),
  /** When it was delivered, or failed. */
  endedAt: Type.Optional(Timestamp),
})
export type DeliveryStatus = Type.Static<typeof DeliveryStatus>

export const HeldPart = Type.Object({ partNumber: PartNumber, digest: DigestHex })
export type HeldPart = Type.Static<typeof HeldPart>

/** A transfer without its parts, as listed. */
export const TransferSummary = Type.Object({
  transferId: TransferId,
  state: Type.Enum(transferStates),
  attempt: Type.Integer({ minimum: 1 }),
  from: AccountName,
  to: Type.Array(AccountName),
  metadata: Metadata,
  sizeBytes: Type.Integer({ minimum: 0 }),
  partSizeBytes: Type.Integer({ minimum: 1 }),
  digestAlgorithm: Type.String(),
  createdAt: Timestamp,
  expiresAt: Timestamp,
  /** When the portal held all of it. */
  storedAt: Type.Optional(Timestamp),
  /** When nothing was left to happen to it. */
  endedAt: Type.Optional(Timestamp),
  /** Why it was not stored. */
  problem: Type.Optional(ProblemBody),
  deliveries: Type.Array(DeliveryStatus),
})
export type TransferSummary = Type.Static<typeof TransferSummary>

/** Answer of `GET /v1/transfers/{transferId}`: what a resume needs. `parts` is empty once nothing is wanted. */
export const TransferStatus = Type.Object({
  ...TransferSummary.properties,
  /** As the sender signed it; null until stored, and where it signed nothing. */
  manifest: Type.Union([SignedToken, Type.Null()]),
  parts: Type.Array(HeldPart),
  notifications: Type.Array(Notification),
})
export type TransferStatus = Type.Static<typeof TransferStatus>

export const TransferPage = Type.Object({
  transfers: Type.Array(TransferSummary),
  before: Type.Union([TransferId, Type.Null()]),
})
export type TransferPage = Type.Static<typeof TransferPage>

/** One page of the event log; `after` is where the next page starts. */
export const EventPage = Type.Object({
  events: Type.Array(Notification, { maxItems: eventsPerPageMax }),
  after: EventId,
})
export type EventPage = Type.Static<typeof EventPage>

/** A passing message on the sender's event stream: has no id, is not replayed. `fetchedBytes` are verified ones. */
export const Progress = Type.Object({
  transferId: TransferId,
  receiver: AccountName,
  fetchedBytes: Type.Integer({ minimum: 0 }),
})
export type Progress = Type.Static<typeof Progress>

/** Another passing message there: bytes of this part have just come in, and the part is not whole yet. */
export const Arriving = Type.Object({ transferId: TransferId, partNumber: Type.Integer({ minimum: 1 }) })
export type Arriving = Type.Static<typeof Arriving>

/** Portal to receiver: take this file. Valid until the lease ends; fetching parts renews the lease. */
export const Offer = Type.Object({
  transferId: TransferId,
  leaseId: LeaseId,
  leaseMs: Type.Integer({ minimum: 1 }),
  /** `receiving` while the file is still on its way to the portal. Nothing is committed before it says `stored`. */
  state: Type.Union([Type.Literal('receiving'), Type.Literal('stored')]),
  from: AccountName,
  metadata: Metadata,
  sizeBytes: Type.Integer({ minimum: 0, maximum: transferSizeBytesMax }),
  partSizeBytes: Type.Integer({ minimum: 1, maximum: partSizeBytesMax }),
  digestAlgorithm: Type.String(),
  /** What the sender said in `complete`; null until stored. */
  manifestDigest: Type.Union([DigestHex, Type.Null()]),
  /** The manifest as the sender signed it; null until stored, and where the sender signs nothing. */
  manifest: Type.Union([SignedToken, Type.Null()]),
  expiresAt: Timestamp,
  /**
   * In the inbox's stream alone: how long after the beginning of the stream the lease began, by the portal's clock. An offer
   * may lie in buffers for any time; this tells how old its lease is at most.
   */
  streamMs: Type.Optional(Type.Number({ minimum: 0 })),
  /** In the inbox's stream alone, where that was asked for: the only part of a small file, base64. Verified by its digest. */
  content: Type.Optional(Type.String({ maxLength: 2 * inlineSizeBytesMax })),
})
export type Offer = Type.Static<typeof Offer>

/** Portal to receiver: that offer is void; delete what you have of it. */
export const Withdrawal = Type.Object({ transferId: TransferId, problem: ProblemBody })
export type Withdrawal = Type.Static<typeof Withdrawal>

/** Body of `POST /v1/inbox/{transferId}/disposition`: the receiver's notification to the portal. */
export const Disposition = Type.Union([
  Type.Object(
    {
      leaseId: LeaseId,
      disposition: Type.Literal('received'),
      manifestDigest: DigestHex,
      /** What the receiver signs; absent where it has no keys. */
      receipt: Type.Optional(SignedToken),
    },
    closed,
  ),
  Type.Object(
    { leaseId: LeaseId, disposition: Type.Literal('resend'), problem: ProblemBody, wanted: PartRanges },
    closed,
  ),
  Type.Object({ leaseId: LeaseId, disposition: Type.Literal('refused'), problem: ProblemBody }, closed),
])
export type Disposition = Type.Static<typeof Disposition>

/** Answer to a disposition: how the delivery stands now. `offered` means that the lease goes on. */
export const DispositionResult = Type.Object({ state: Type.Enum(deliveryStates) })
export type DispositionResult = Type.Static<typeof DispositionResult>

/** Body of `POST /v1/join`. The token is made by the one who joins, so that a lost answer can be repeated. */
export const JoinRequest = Type.Object(
  {
    invite: Type.String({ pattern: INVITE }),
    token: Type.String({ pattern: '^glt_[A-Za-z0-9_-]{16}_[A-Za-z0-9_-]{43}$' }),
  },
  closed,
)
export type JoinRequest = Type.Static<typeof JoinRequest>

export const AccountStatus = Type.Object({ account: AccountName })
export type AccountStatus = Type.Static<typeof AccountStatus>

/** An account with its public keys; null as long as it has none. */
export const AccountWithKeys = Type.Object({
  account: AccountName,
  keys: Type.Union([PublicKeys, Type.Null()]),
  /** Told to the account itself alone, where it may ask for `GET /v1/operations`. */
  isOperator: Type.Optional(Type.Boolean()),
})
export type AccountWithKeys = Type.Static<typeof AccountWithKeys>

/** Answer of `GET /v1/limits`. */
export const Limits = Type.Object({
  digestAlgorithms: Type.Array(Type.String()),
  partSizeBytesMin: Type.Integer(),
  partSizeBytesMax: Type.Integer(),
  partsPerTransferMax: Type.Integer(),
  transferSizeBytesMax: Type.Integer(),
  /** A file up to this size can be sent in one request. */
  wholeSizeBytesMax: Type.Integer(),
  receiversPerTransferMax: Type.Integer(),
  attemptsMax: Type.Integer(),
  uploadTimeoutMs: Type.Integer(),
  leaseMs: Type.Integer(),
  expiryMs: Type.Integer(),
  heartbeatMs: Type.Integer(),
  /** Whether transfers that are not sealed are refused. */
  sealedOnly: Type.Boolean(),
})
export type Limits = Type.Static<typeof Limits>
