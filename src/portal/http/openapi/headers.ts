/** Header fields, as `/openapi.json` describes them. */
import { Type } from 'typebox'
import { waitSecondsMax } from '../../../protocol/index.ts'
import type { HeaderField, HeaderFields } from './operation.ts'

const DIGEST_FIELD = '^[a-z0-9-]+=:[A-Za-z0-9+/]+=*:'

const text = (description: string): HeaderField => ({ description, schema: Type.String() })
const required = (field: HeaderField): HeaderField => ({ ...field, isRequired: true })
const digest = (description: string): HeaderField => ({ description, schema: Type.String({ pattern: DIGEST_FIELD }) })

// Request headers.

export const contentDigestOfPart = required(
  digest("The digest of the part (RFC 9530), by the transfer's algorithm: `sha-256=:BASE64:`"),
)
export const digestOfFile = digest('The digest of the whole file (RFC 9530). The portal verifies it')
export const preferWait = text(
  `\`wait=N\` (RFC 7240): the portal may hold the answer for N seconds. More than ${waitSecondsMax} counts as ${waitSecondsMax}`,
)
export const preferWaitOrRedirect = text(
  `${preferWait.description}. \`redirect\`: the portal may answer 307 instead. Both may stand in one field, with a comma`,
)
export const preferWaitForReceivers = text(
  '`wait=N` (RFC 7240): the answer ends after N seconds at the latest; 0: at once',
)
export const preferInterim = text(
  '`interim`: the portal sends interim answers (102) while the part arrives slowly. For clients that pass over them',
)
export const range = text('One range of bytes (RFC 9110 section 14): `bytes=0-1023`')
export const ifRange = text('The `ETag` of an earlier answer: the range is sent only if the part is still the same')
export const lastEventId = text(
  'The id of the last event received: the stream continues after it. It counts more than `after`. One that the account does not have is 410',
)
export const digestOfContent = digest(
  'The digest of the content of this request (RFC 9530). Nothing of it counts before it is verified',
)
export const uploadComplete = text('`?1`: the end of the content is the end of the file; `?0`: more will follow')
export const uploadOffset = text('Where in the file the content begins')
export const uploadLength = text('The length of the file')
export const uploadVersion = text(
  'The version of the draft of resumable uploads that the client follows. The portal then sends 104',
)
export const idempotencyKey = text('A UUIDv7, in quotes or not. It becomes the transferId')
export const expect = text('`100-continue` (RFC 9110): the portal asks for the body only once it admits the file')

// tus 1.0.0, in requests and answers.

export const tusResumable = required(text('`1.0.0`'))
export const tusVersions = required(text('`1.0.0`'))
export const tusExtensionList = required(text('The supported extensions, separated by commas'))
export const tusMaxSize = required(text('The size of the largest file, in bytes'))
export const tusChecksumList = required(text('The algorithms for `Upload-Checksum`, separated by commas'))
export const tusChecksum = text('An algorithm and the checksum of this body in base64, with a blank between them')
export const tusMetadata = text(
  'Keys, each with a blank and its value in base64: `to`, `filename`, `filetype`, and others',
)
export const requiredTusMetadata = required(tusMetadata)
export const tusDeferLength = text('`1`: the length is not known yet')
export const uploadExpires = text('Until then the upload can be continued (a date of RFC 9110)')
export const transferOfUpload = text(
  'The transferId: `GET /v1/transfers/{transferId}/events` has the second notifications',
)
export const notificationOfUpload = text('The first notification, once the upload is complete: `stored`')

// Response headers.

export const retryAfter: HeaderField = {
  description: 'Seconds after which the request may succeed (RFC 9110 section 10.2.3)',
  schema: Type.Integer({ minimum: 0 }),
}
export const wwwAuthenticate = text('`Bearer`, with `error="invalid_token"` where a token came (RFC 6750)')
export const contentDigest = required(
  digest('The digest of the bytes of this answer, which are the whole part (RFC 9530)'),
)
export const reprDigest = required(digest('The digest of the whole part (RFC 9530)'))
export const etag = required(text('Strong: the digest of the part in hex, in quotes'))
export const nextPart = text('`<./N>; rel="next"` (RFC 8288): another part follows. The last part has none')
export const acceptRanges = required(text('`bytes`'))
export const contentRange = required(text('Which bytes of the part these are'))
export const lengthOfPart = required(text('The length of the part: `bytes */LENGTH` (RFC 9110 section 15.5.17)'))
export const uploadLimits = required(text('The limits of the upload: `min-size`, `max-size`, and `max-age` in seconds'))
export const durableBytes = required(text('How many bytes of the file are durable. The next request continues there'))
/** What every answer about an upload says. */
export const stateHeaders: HeaderFields = {
  'Upload-Complete': required(
    text('`?1`: the file is stored, and its notifications can be asked for; `?0`: more can be appended'),
  ),
  'Upload-Offset': durableBytes,
  'Upload-Length': text('The length of the file, if it is known'),
  'Upload-Limit': uploadLimits,
}
/** What the answer to a request says that has completed an upload. */
export const completionHeaders: HeaderFields = {
  'Upload-Complete': text('`?1`'),
  'Upload-Offset': text('The length of the file'),
}
export const locationOfUpload = required(text('The address of the upload. It is a secret'))
export const location = required(text('The address of the part in the store. It is valid for a short time'))
export const preferenceApplied = required(text('`redirect` (RFC 7240)'))
