/**
 * The header fields of the IETF's resumable uploads (draft-ietf-httpbis-resumable-upload), as structured fields (RFC 9651). The draft has
 * an item that is a Boolean or a non-negative Integer in each of them, and a Dictionary of Integers in `Upload-Limit`; so this is all of
 * the syntax that is needed. "Other values MUST cause the entire header field to be ignored."
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { UploadState } from '../uploads/resumable/index.ts'
import { hasMediaType } from './file-head.ts'

/** RFC 9651 section 3.1.2: parameters of an item, which no field of the draft uses. */
const BARE_ITEM = String.raw`-?\d{1,15}(?:\.\d{1,3})?|"(?:[ !#-\[\]-~]|\\["\\])*"|[A-Za-z*][\w!#$%&'*+\-.^|~:/\x60]*|:[A-Za-z0-9+/=]*:|\?[01]|@-?\d{1,15}`
const PARAMETERS = `(?:; *[a-z*][a-z0-9_.*-]*(?:=(?:${BARE_ITEM}))?)*`
const BOOLEAN = new RegExp(String.raw`^ *\?([01])${PARAMETERS} *$`)
/** At most 15 digits, so every value is a safe integer. */
const INTEGER = new RegExp(String.raw`^ *(\d{1,15})${PARAMETERS} *$`)

export const partialUploadMediaType = 'application/partial-upload'

/**
 * The versions of the drafts whose messages this portal understands: from draft -03 (5) to -12 (9), the newest that could be read. They
 * differ in what they require of a server and in names of limits, not in the messages by which an upload is created, asked for, continued
 * and cancelled. Version 5 appends with any media type.
 */
const interopVersions: readonly number[] = [5, 6, 7, 8, 9]
const INTEROP_WITHOUT_MEDIA_TYPE = 5

/** What a request says about its upload. Null stands for a field that is missing or of another form. */
export interface UploadFields {
  /** Whether the end of the content is the end of the file. */
  readonly complete: boolean | null
  readonly offsetBytes: number | null
  readonly lengthBytes: number | null
  /** The version of the draft that the client follows, if it is one of those that this portal knows. */
  readonly interopVersion: number | null
}

export function uploadFieldsOf(headers: IncomingHttpHeaders): UploadFields {
  const version = integerOf(headers['upload-draft-interop-version'])
  return {
    complete: booleanOf(headers['upload-complete']),
    offsetBytes: integerOf(headers['upload-offset']),
    lengthBytes: integerOf(headers['upload-length']),
    interopVersion: version !== null && interopVersions.includes(version) ? version : null,
  }
}

/** Whether the content of an append is one of the media type that the draft requires. */
export function isPartialUpload(headers: IncomingHttpHeaders, { interopVersion }: UploadFields): boolean {
  return hasMediaType(headers, partialUploadMediaType) || interopVersion === INTEROP_WITHOUT_MEDIA_TYPE
}

export function formatBoolean(value: boolean): string {
  return value ? '?1' : '?0'
}

/** `Upload-Limit`. @param maxAgeSeconds null where no upload exists yet */
export function uploadLimit(maxSizeBytes: number, maxAgeSeconds: number | null): string {
  const limits = {
    'min-size': 0,
    'max-size': maxSizeBytes,
    ...(maxAgeSeconds === null ? {} : { 'max-age': maxAgeSeconds }),
  }
  return Object.entries(limits)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')
}

/** The fields of an answer about an upload. */
export function stateFields(
  { isComplete, offsetBytes, lengthBytes, maxAgeSeconds }: UploadState,
  maxSizeBytes: number,
): Record<string, string> {
  return {
    'upload-complete': formatBoolean(isComplete),
    'upload-offset': String(offsetBytes),
    ...(lengthBytes === null ? {} : { 'upload-length': String(lengthBytes) }),
    'upload-limit': uploadLimit(maxSizeBytes, maxAgeSeconds),
    'cache-control': 'no-store',
  }
}

function booleanOf(field: string | string[] | undefined): boolean | null {
  const value = typeof field === 'string' ? BOOLEAN.exec(field)?.[1] : undefined
  return value === undefined ? null : value === '1'
}

function integerOf(field: string | string[] | undefined): number | null {
  const value = typeof field === 'string' ? INTEGER.exec(field)?.[1] : undefined
  return value === undefined ? null : Number(value)
}
