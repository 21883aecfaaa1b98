/**
 * Everything that travels as JSON, as TypeBox schemas: the portal validates requests with them, clients validate
 * answers, `/openapi.json` is made from them, and the types of both sides are derived from them. Units stand last
 * in names; times are RFC 3339 in UTC; digests are lower-case hex of the transfer's `digestAlgorithm`.
 */
import * as Type from 'typebox'
import {
  digestAlgorithmLengthMax,
  eventsPerPageMax,
  inlineSizeBytesMax,
  instanceIdLengthMax,
  instanceIdLengthMin,
  leaseIdLengthMax,
  leaseIdLengthMin,
  mediaTypeLengthMax,
  nameLengthMax,
  partSizeBytesMax,
  partsPerTransferMax,
  problemCodeLengthMax,
  problemDetailLengthMax,
  problemTitleLengthMax,
  problemTypeLengthMax,
  receiversPerTransferMax,
  sealedLabelLengthMax,
  sealedMetadataLengthMax,
  signedTokenLengthMax,
} from './limits.ts'
import { deliveryStates, transferStates } from './states.ts'

/** No other members. */
export const closed = { additionalProperties: false } as const

const TRANSFER_ID = '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
const ACCOUNT_NAME = '^[a-z0-9][a-z0-9._-]{0,62}$'
/** Base64url of 32 bytes: no bits are set behind the last one. */
export const RAW_KEY = '[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]'
/** The ISO 8601 form that ECMA-262 writes, with valid numbers, so that every matching text can be parsed. */
const TIMESTAMP = '^\\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\\d|3[01])T(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z$'
const EVENT_ID = '^[0-9]{1,18}$'
/** The token of an account. */
export const TOKEN = '^glt_[A-Za-z0-9_-]{16}_[A-Za-z0-9_-]{43}$'

/** Whether a text has the form of a transfer id. */
export const isTransferId = (text: string): boolean => new RegExp(TRANSFER_ID).test(text)
/** Whether a text can be the name of an account. */
export const isAccountName = (text: string): boolean => new RegExp(ACCOUNT_NAME).test(text)
/** Whether a text has the form of an event's id. */
export const isEventId = (text: string): boolean => new RegExp(EVENT_ID).test(text)

/** UUIDv7 (RFC 9562 section 5.7), lower case. */
export const TransferId = Type.String({ pattern: TRANSFER_ID })
export const AccountName = Type.String({ pattern: ACCOUNT_NAME })
export const DigestHex = Type.String({ pattern: '^(?:[0-9a-f]{2}){16,64}$' })
export const Timestamp = Type.String({ pattern: TIMESTAMP })
/** Decimal digits. A later event has a larger number. Clients treat it as opaque otherwise. */
export const EventId = Type.String({ pattern: EVENT_ID })
export const LeaseId = Type.String({ pattern: `^[A-Za-z0-9_-]{${leaseIdLengthMin},${leaseIdLengthMax}}$` })
/** Identifies a receiver's folder, so that the receiver gets its own offers again after a restart. */
export const InstanceId = Type.String({ pattern: `^[A-Za-z0-9_-]{${instanceIdLengthMin},${instanceIdLengthMax}}$` })
export const PartNumber = Type.Integer({ minimum: 1, maximum: partsPerTransferMax })
/** Inclusive runs of part numbers. */
// Not `Type.Tuple`, which writes a form of schema that JSON Schema 2020-12 and OpenAPI 3.1 do not know.
const PartRange = Type.Unsafe<[number, number]>({
  type: 'array',
  prefixItems: [PartNumber, PartNumber],
  items: false,
  minItems: 2,
})
export const PartRanges = Type.Array(PartRange, { maxItems: partsPerTransferMax })

/** RFC 9457. Members that are not named here are passed on as they came. */
export const ProblemBody = Type.Object(
  {
    type: Type.String({ maxLength: problemTypeLengthMax }),
    title: Type.String({ maxLength: problemTitleLengthMax }),
    status: Type.Integer({ minimum: 100, maximum: 599 }),
    code: Type.String({ pattern: `^[a-z0-9][a-z0-9-]{0,${problemCodeLengthMax - 1}}$` }),
    detail: Type.Optional(Type.String({ maxLength: problemDetailLengthMax })),
  },
  { additionalProperties: true },
)

/** Raw public keys of an account, base64url of 32 bytes each: Ed25519 to verify with, X25519 to seal for. */
export const PublicKeys = Type.Object(
  {
    signing: Type.String({ pattern: `^${RAW_KEY}$` }),
    encryption: Type.String({ pattern: `^${RAW_KEY}$` }),
  },
  closed,
)
export type PublicKeys = Type.Static<typeof PublicKeys>

/** Data about the file for the receiver. The portal does not need it. */
export const PlainMetadata = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: nameLengthMax }),
    mediaType: Type.Optional(Type.String({ maxLength: mediaTypeLengthMax })),
  },
  closed,
)
export type PlainMetadata = Type.Static<typeof PlainMetadata>

/** The same, encrypted. Only the receivers and the sender can read it. */
export const SealedMetadata = Type.Object(
  {
    /** The commitment to the content key, then the encrypted metadata; base64url. */
    sealed: Type.String({ pattern: '^[A-Za-z0-9_-]+$', maxLength: sealedMetadataLengthMax }),
    /** Account -> the content key wrapped for it, base64url. The accounts are exactly those of `to` and the sender. */
    // Written out, because `Type.Record` would make the page load half of TypeBox.
    keys: Type.Unsafe<Record<string, string>>({
      type: 'object',
      patternProperties: { [ACCOUNT_NAME]: Type.String({ pattern: '^[A-Za-z0-9_-]{107}$' }) },
      additionalProperties: false,
      minProperties: 1,
      maxProperties: receiversPerTransferMax + 1,
    }),
  },
  closed,
)
export type SealedMetadata = Type.Static<typeof SealedMetadata>

/** Opaque to the portal. Metadata and content are sealed together or not at all. */
export const Metadata = Type.Union([PlainMetadata, SealedMetadata])
export type Metadata = Type.Static<typeof Metadata>

/**
 * The content key as it is wrapped for an account; undefined when there is none. An account may be called `constructor`, so only own
 * members count: a plain look-up would find members that every object has.
 */
export function wrappedKeyOf(metadata: Metadata, account: string): string | undefined {
  return 'sealed' in metadata && Object.hasOwn(metadata.keys, account) ? metadata.keys[account] : undefined
}

/** A signed token: a JSON Web Signature in its compact form (RFC 7515 section 7.1). The portal passes it on as it came. */
export const SignedToken = Type.String({
  pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$',
  maxLength: signedTokenLengthMax,
})

/** Body of `PUT /v1/transfers/{transferId}`. */
export const Announcement = Type.Object(
  {
    /** Each account once. The portal checks that itself, because `uniqueItems` would compare items before it counts them. */
    to: Type.Array(AccountName, { minItems: 1, maxItems: receiversPerTransferMax }),
    metadata: Metadata,
    /**
     * Without a maximum, so that the portal can refuse with `transfer-too-large` and `part-size-unsuitable`. Null for a stream: its
     * size is known only at `complete`.
     */
    sizeBytes: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
    partSizeBytes: Type.Integer({ minimum: 1 }),
    digestAlgorithm: Type.String({ pattern: `^[a-z0-9-]{1,${digestAlgorithmLengthMax}}$` }),
  },
  closed,
)
export type Announcement = Type.Static<typeof Announcement>

/** Body of `POST /v1/transfers/{transferId}/complete`. */
export const Completion = Type.Object(
  {
    manifestDigest: DigestHex,
    /** The attempt that this ends. With an earlier number, the portal repeats its answer to that attempt. */
    attempt: Type.Integer({ minimum: 1 }),
    /** The manifest as the sender signed it, for the receivers. Without it the receivers cannot tell who sent the file. */
    manifest: Type.Optional(SignedToken),
    /** For a transfer that was announced without a size. */
    sizeBytes: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  closed,
)
export type Completion = Type.Static<typeof Completion>

/** The JSON before the content in the body of `PUT /v1/transfers/{transferId}/whole`: announcement and completion in one. */
export const WholeTransfer = Type.Object(
  {
    ...Announcement.properties,
    sizeBytes: Type.Integer({ minimum: 0 }),
    manifestDigest: DigestHex,
    manifest: Type.Optional(SignedToken),
  },
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
    /** The receipt as the receiver signed it; absent where it has no keys. */
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

/** The state of a delivery, as its sender sees it. */
export const DeliveryStatus = Type.Object({
  receiver: AccountName,
  state: Type.Enum(deliveryStates),
  /** How much of the file the receiver has fetched and verified, by its last report. */
  fetchedBytes: Type.Integer({ minimum: 0 }),
  /** How often the file was offered. */
  offers: Type.Integer({ minimum: 0 }),
  problem: Type.Optional(ProblemBody),
  /** When the file was first offered. */
  offeredAt: Type.Optional(Timestamp),
  /** When it was delivered, or failed. */
  endedAt: Type.Optional(Timestamp),
})
export type DeliveryStatus = Type.Static<typeof DeliveryStatus>

export const HeldPart = Type.Object({ partNumber: PartNumber, digest: DigestHex })
export type HeldPart = Type.Static<typeof HeldPart>

/**
 * Beside `sizeBytes`, while the size of a stream is not known: then `sizeBytes` is how far the parts reach that have begun to arrive.
 * Left out when the size is known.
 */
const IsSizeKnown = Type.Optional(Type.Boolean())

/** A transfer without its parts, as listed. */
export const TransferSummary = Type.Object({
  transferId: TransferId,
  state: Type.Enum(transferStates),
  attempt: Type.Integer({ minimum: 1 }),
  from: AccountName,
  to: Type.Array(AccountName),
  metadata: Metadata,
  sizeBytes: Type.Integer({ minimum: 0 }),
  isSizeKnown: IsSizeKnown,
  partSizeBytes: Type.Integer({ minimum: 1 }),
  digestAlgorithm: Type.String(),
  createdAt: Timestamp,
  expiresAt: Timestamp,
  /** When the portal held all of it. */
  storedAt: Type.Optional(Timestamp),
  /** When it ended: all deliveries have their outcome. */
  endedAt: Type.Optional(Timestamp),
  /** Why it was not stored. */
  problem: Type.Optional(ProblemBody),
  deliveries: Type.Array(DeliveryStatus),
})
export type TransferSummary = Type.Static<typeof TransferSummary>

/** Answer of `GET /v1/transfers/{transferId}`, with all that a resume needs. `parts` is empty once no content is wanted. */
export const TransferStatus = Type.Object({
  ...TransferSummary.properties,
  /** The manifest as the sender signed it; null until stored, and where the sender signed nothing. */
  manifest: Type.Union([SignedToken, Type.Null()]),
  parts: Type.Array(HeldPart),
  /** Only of an upload that later requests continue, while it is being received. `offsetBytes` are durable. */
  upload: Type.Optional(
    Type.Object({
      protocol: Type.Union([Type.Literal('ietf'), Type.Literal('tus')]),
      offsetBytes: Type.Integer({ minimum: 0 }),
    }),
  ),
  notifications: Type.Array(Notification),
})
export type TransferStatus = Type.Static<typeof TransferStatus>

export const TransferPage = Type.Object({
  transfers: Type.Array(TransferSummary),
  before: Type.Union([TransferId, Type.Null()]),
})
export type TransferPage = Type.Static<typeof TransferPage>

/** A message of a stream as a held answer has it: the name of the event, and its data. */
const HeldMessage = Type.Object({ event: Type.String(), data: Type.Unknown() })

/** One page of the event log. `after` is where the next page starts. Only held answers have `passing` messages, which are not logged. */
export const EventPage = Type.Object({
  events: Type.Array(Notification, { maxItems: eventsPerPageMax }),
  after: EventId,
  passing: Type.Optional(Type.Array(HeldMessage)),
})
export type EventPage = Type.Static<typeof EventPage>

/** A passing message on the sender's event stream. It has no id and is not replayed. `fetchedBytes` are verified. */
export const Progress = Type.Object({
  transferId: TransferId,
  receiver: AccountName,
  fetchedBytes: Type.Integer({ minimum: 0 }),
})
export type Progress = Type.Static<typeof Progress>

/** Another passing message there: bytes of a part that is not complete yet have just arrived. */
export const Arriving = Type.Object({ transferId: TransferId, partNumber: Type.Integer({ minimum: 1 }) })
export type Arriving = Type.Static<typeof Arriving>

/** The request of the receiver by which a guest sends, and the request's sealed label. */
export const RequestOfTransfer = Type.Object({
  requestId: TransferId,
  label: Type.Union([Type.String({ maxLength: sealedLabelLengthMax }), Type.Null()]),
})
export type RequestOfTransfer = Type.Static<typeof RequestOfTransfer>

/** Portal to receiver: a file to fetch. The offer is valid until its lease ends; fetching parts renews the lease. */
export const Offer = Type.Object({
  transferId: TransferId,
  leaseId: LeaseId,
  leaseMs: Type.Integer({ minimum: 1 }),
  /** `receiving` while the file is still on its way to the portal. Nothing is committed before it says `stored`. */
  state: Type.Union([Type.Literal('receiving'), Type.Literal('stored')]),
  from: AccountName,
  metadata: Metadata,
  sizeBytes: Type.Integer({ minimum: 0, maximum: partsPerTransferMax * partSizeBytesMax }),
  /** False only in offers of streams that are on their way, which go to receivers that asked for them. */
  isSizeKnown: IsSizeKnown,
  partSizeBytes: Type.Integer({ minimum: 1, maximum: partSizeBytesMax }),
  digestAlgorithm: Type.String(),
  /** The digest that the sender sent with `complete`; null until stored. */
  manifestDigest: Type.Union([DigestHex, Type.Null()]),
  /** The manifest as the sender signed it; null until stored, and where the sender signs nothing. */
  manifest: Type.Union([SignedToken, Type.Null()]),
  expiresAt: Timestamp,
  /**
   * Only in the inbox's stream: how long after the beginning of the stream the lease began, by the portal's clock. An offer may lie
   * in buffers for any time; from this the receiver computes how old its lease is at most.
   */
  streamMs: Type.Optional(Type.Number({ minimum: 0 })),
  /** Only in the inbox's stream, and only on request: the only part of a small file, base64. The receiver verifies it by its digest. */
  content: Type.Optional(Type.String({ maxLength: 2 * inlineSizeBytesMax })),
  /** Only from a sending guest. */
  request: Type.Optional(RequestOfTransfer),
})
export type Offer = Type.Static<typeof Offer>

/** Portal to receiver: the offer is void, and the receiver deletes its parts. */
export const Withdrawal = Type.Object({ transferId: TransferId, problem: ProblemBody })
export type Withdrawal = Type.Static<typeof Withdrawal>

/** The messages of an inbox's stream in one held answer. */
export const InboxMessages = Type.Object({ messages: Type.Array(HeldMessage) })
export type InboxMessages = Type.Static<typeof InboxMessages>
/** Portal to receiver: why this stream ends. */
export const InboxNotice = Type.Object({ problem: ProblemBody })
export type InboxNotice = Type.Static<typeof InboxNotice>

/** Body of `POST /v1/inbox/{transferId}/disposition`: the receiver's notification to the portal. */
export const Disposition = Type.Union([
  Type.Object(
    {
      leaseId: LeaseId,
      disposition: Type.Literal('received'),
      manifestDigest: DigestHex,
      /** The signed receipt; absent where the receiver has no keys. */
      receipt: Type.Optional(SignedToken),
    },
    closed,
  ),
  Type.Object(
    { leaseId: LeaseId, disposition: Type.Literal('resend'), problem: ProblemBody, wanted: PartRanges },
    closed,
  ),
  Type.Object({ leaseId: LeaseId, disposition: Type.Literal('refused'), problem: ProblemBody }, closed),
  /** The receiver ends, and keeps nothing of the file. */
  Type.Object({ leaseId: LeaseId, disposition: Type.Literal('released') }, closed),
])
export type Disposition = Type.Static<typeof Disposition>

/** Answer to a disposition: the state of the delivery now. `offered` means that the lease continues. */
export const DispositionResult = Type.Object({ state: Type.Enum(deliveryStates) })
export type DispositionResult = Type.Static<typeof DispositionResult>
