/**
 * Guests: accounts for one purpose, which an account makes for people who have none. A *receiving guest* receives one delivery of its
 * owner, and a send link is its secret. A *sending guest* sends files to its owner only; visitors of a request link make them.
 *
 * The name of a guest is the fingerprint of its keys. So the name proves the keys, and no portal can give a guest other ones.
 */
import * as Type from 'typebox'
import { plainFingerprint } from './fingerprints.ts'
import { guestsPerRequestMax, requestBytesMax, requestFilesMax, sealedLabelLengthMax } from './limits.ts'
import { AccountName, closed, PublicKeys, RAW_KEY, Timestamp, TOKEN, TransferId } from './messages.ts'

const GUEST_NAME = '^guest-[a-z2-7]{24}$'

/** Whether a name is that of a guest. No invite can be for such a name. */
export const isGuestName = (name: string): boolean => new RegExp(GUEST_NAME).test(name)

/** The name of the guest with keys of this fingerprint. */
export function guestNameOf(fingerprint: string): string {
  return `guest-${plainFingerprint(fingerprint)}`
}

const GuestName = Type.String({ pattern: GUEST_NAME })
/** Hex SHA-256 of a secret. The portal keeps no secret of a link. */
const SecretHash = Type.String({ pattern: '^[0-9a-f]{64}$' })
/** A sealed label (`sealLabel` of the trust folder). Only the owner of the request and people with its link can read it. */
const SealedLabel = Type.Union([
  Type.String({ pattern: '^[A-Za-z0-9_-]+$', maxLength: sealedLabelLengthMax }),
  Type.Null(),
])

/** A receiving guest as its owner makes it: what the portal needs of everything that the link derives. */
export const NewGuest = Type.Object(
  {
    account: GuestName,
    /** The 16 characters of the token between `glt_` and `_`. */
    tokenId: Type.String({ pattern: '^[A-Za-z0-9_-]{16}$' }),
    /** Hex SHA-256 of the whole text of the token. */
    tokenHash: SecretHash,
    keys: PublicKeys,
  },
  closed,
)
export type NewGuest = Type.Static<typeof NewGuest>

/** Body of `POST /v1/guests`. */
export const NewGuests = Type.Object(
  {
    guests: Type.Array(NewGuest, { minItems: 1, maxItems: guestsPerRequestMax }),
    expiresAt: Timestamp,
  },
  closed,
)
export type NewGuests = Type.Static<typeof NewGuests>

/** Answer of `POST /v1/guests`. A repetition gets the same. */
export const MadeGuests = Type.Object({ guests: Type.Array(AccountName), expiresAt: Timestamp })
export type MadeGuests = Type.Static<typeof MadeGuests>

/** `receiving`: takes one delivery of its owner. `sending`: sends files to its owner. */
export const guestKinds = ['receiving', 'sending'] as const
export type GuestKind = (typeof guestKinds)[number]

/** The owner of a guest or of a request: an account that has keys. */
const Owner = Type.Object({ account: AccountName, keys: PublicKeys })

/** In the answer to a guest about its own account. */
export const GuestStatus = Type.Object({
  kind: Type.Enum(guestKinds),
  owner: Owner,
  expiresAt: Timestamp,
})
export type GuestStatus = Type.Static<typeof GuestStatus>

/** Body of `POST /v1/requests`: a request for files from anybody who has its link. */
export const NewFileRequest = Type.Object(
  {
    /** UUIDv7. The owner makes it, so that the portal recognises a repetition. */
    requestId: TransferId,
    /** Hex SHA-256 of the request's secret, `glq_…`, as text. */
    secretHash: SecretHash,
    label: SealedLabel,
    expiresAt: Timestamp,
    filesMax: Type.Integer({ minimum: 1, maximum: requestFilesMax }),
    bytesMax: Type.Integer({ minimum: 1, maximum: requestBytesMax }),
  },
  closed,
)
export type NewFileRequest = Type.Static<typeof NewFileRequest>

const fileRequestStates = ['open', 'closed', 'expired'] as const

/** A request for files, as its owner sees it. */
export const FileRequest = Type.Object({
  requestId: TransferId,
  label: SealedLabel,
  createdAt: Timestamp,
  expiresAt: Timestamp,
  filesMax: Type.Integer(),
  bytesMax: Type.Integer(),
  state: Type.Enum(fileRequestStates),
  /** Visitors who have begun to send. */
  guests: Type.Integer(),
  /** Files that were sent or are on their way, and their bytes. */
  files: Type.Integer(),
  bytes: Type.Integer(),
})
export type FileRequest = Type.Static<typeof FileRequest>

/** Answer of `GET /v1/requests`, newest first. `before` asks for the next page, and is null on the last one. */
export const FileRequestPage = Type.Object({
  requests: Type.Array(FileRequest),
  before: Type.Union([TransferId, Type.Null()]),
})
export type FileRequestPage = Type.Static<typeof FileRequestPage>

const RequestSecret = Type.String({ pattern: `^glq_${RAW_KEY}$` })

/** Body of `POST /v1/requests/look`, which changes nothing. */
export const FileRequestQuestion = Type.Object({ secret: RequestSecret }, closed)
export type FileRequestQuestion = Type.Static<typeof FileRequestQuestion>

/** What a visitor with the link learns. `filesLeft` and `bytesLeft` count what can still be announced. */
export const FileRequestView = Type.Object({
  requestId: TransferId,
  owner: Owner,
  label: SealedLabel,
  expiresAt: Timestamp,
  filesMax: Type.Integer(),
  bytesMax: Type.Integer(),
  filesLeft: Type.Integer(),
  bytesLeft: Type.Integer(),
})
export type FileRequestView = Type.Static<typeof FileRequestView>

/** Body of `POST /v1/requests/join`. The visitor makes keys and token, so a repetition after a lost answer is recognised. */
export const FileRequestJoin = Type.Object(
  {
    secret: RequestSecret,
    account: GuestName,
    token: Type.String({ pattern: TOKEN }),
    keys: PublicKeys,
  },
  closed,
)
export type FileRequestJoin = Type.Static<typeof FileRequestJoin>
