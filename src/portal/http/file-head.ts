/** What the path and the headers of a request say about the file that it brings, for requests whose body is (a part of) the file itself. */
import type { IncomingHttpHeaders } from 'node:http'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import {
  Announcement,
  isTransferId,
  nameLengthMax,
  PlainMetadata,
  Problem,
  receiversPerTransferMax,
} from '../../protocol/index.ts'
import { faultsOf } from './validation.ts'

const Addressed = Type.Object({ to: Announcement.properties.to, metadata: PlainMetadata })
type Addressed = Static<typeof Addressed>
const addressed = Compile(Addressed)
const ACCOUNT_NAME_LENGTH_MAX = 64
const MEDIA_TYPE = /^[\w!#$&^.+-]{1,64}\/[\w!#$&^.+-]{1,64}/
/** RFC 9112 section 7.1: the transfer coding of a body of unknown length. */
const ONLY_TRANSFER_CODING = 'chunked'
/** Media types of HTML forms. curl sends the second one with `--data`, which changes the content. */
const FORM_TYPES: readonly (string | null)[] = ['multipart/form-data', 'application/x-www-form-urlencoded']

export const FileParams = Type.Object({
  receivers: Type.String({
    minLength: 1,
    maxLength: receiversPerTransferMax * ACCOUNT_NAME_LENGTH_MAX,
    description: 'accounts, separated by commas',
  }),
  name: Type.String({ minLength: 1, maxLength: nameLengthMax, description: 'of the file' }),
})

/**
 * The length of the content of a request; null when it is not known before its end.
 *
 * @param without the length of a request that says neither a length nor a coding
 * @throws Problem `media-type-unsupported`, `request-invalid`, and `length-required` when it says neither and `without` is null
 */
export function contentBytesOf(headers: IncomingHttpHeaders, without: number | null): number | null {
  const { 'content-length': contentLength, 'content-encoding': coding = 'identity' } = headers
  const { 'transfer-encoding': transferCoding } = headers
  if (contentLength === undefined && transferCoding === undefined && without === null) {
    throw new Problem('length-required')
  }
  // RFC 9112 section 6.1: with a further coding the body is not the file itself.
  if (transferCoding !== undefined && transferCoding.trim().toLowerCase() !== ONLY_TRANSFER_CODING) {
    const detail = `the file is wanted as it is, with no Transfer-Encoding but ${ONLY_TRANSFER_CODING}`
    throw new Problem('media-type-unsupported', { detail })
  }
  // RFC 9110 section 14.5: a part of a file must not be taken for the whole. curl sends this header to resume.
  if (headers['content-range'] !== undefined) {
    throw new Problem('request-invalid', { detail: 'send the whole file, not a range of it' })
  }
  if (coding !== 'identity') {
    throw new Problem('media-type-unsupported', { detail: 'send the file as it is, without a Content-Encoding' })
  }
  if (contentLength !== undefined) return Number(contentLength)
  return transferCoding === undefined ? without : null
}

/**
 * RFC 9530 allows a digest in a trailer, after the body. It is too late then to compute it, and ignoring it would make the sender
 * believe that the digest was verified. So it is refused.
 *
 * @throws Problem `request-invalid`
 */
export function requireNoLateDigest(trailers: NodeJS.Dict<string>): void {
  if (trailers['repr-digest'] === undefined && trailers['content-digest'] === undefined) return
  throw new Problem('request-invalid', { detail: 'send the digest of the file in a header, not in a trailer' })
}

/** @throws Problem `request-invalid` */
export function addressOf({ receivers, name }: Static<typeof FileParams>, mediaType: string | null): Addressed {
  const value = { to: receivers.split(','), metadata: { name, ...(mediaType === null ? {} : { mediaType }) } }
  if (addressed.Check(value)) return value
  throw new Problem('request-invalid', { detail: faultsOf(addressed, value, 'the address') })
}

/** @throws Problem `media-type-unsupported` for a form, because its boundaries or escapes would become part of the file */
export function mediaTypeOf(contentType: string | undefined): string | null {
  const mediaType = bareMediaTypeOf(contentType)
  if (FORM_TYPES.includes(mediaType)) {
    throw new Problem('media-type-unsupported', { detail: 'send the file itself (curl -T), not a form with it' })
  }
  return mediaType
}

/** Whether the content of a request is of a media type, whatever its parameters. */
export function hasMediaType({ 'content-type': contentType }: IncomingHttpHeaders, mediaType: string): boolean {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() === mediaType
}

/** Type and subtype in lower case, without parameters; null for another form. */
export function bareMediaTypeOf(text: string | undefined): string | null {
  return MEDIA_TYPE.exec(text ?? '')?.[0].toLowerCase() ?? null
}

/**
 * The transferId that the sender chose as its idempotency key (draft-ietf-httpapi-idempotency-key-header), with or without quotes.
 *
 * @throws Problem `request-invalid`
 */
export function idempotencyKeyOf(field: string | undefined): string | null {
  if (field === undefined) return null
  const key = field.replace(/^"(.*)"$/, '$1').toLowerCase()
  if (!isTransferId(key)) throw new Problem('request-invalid', { detail: 'the Idempotency-Key must be a UUIDv7' })
  return key
}

export function textOf(field: string | string[] | undefined): string | undefined {
  return Array.isArray(field) ? field.join(', ') : field
}
