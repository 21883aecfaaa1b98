/**
 * tus 1.0.0 (https://tus.io/protocols/resumable-upload): the fields of its requests and answers. A quoted sentence is of that document.
 */
import { createHash, type Hash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, RequestListener } from 'node:http'
import { Problem } from '../../protocol/index.ts'
import { bareMediaTypeOf, hasMediaType, textOf } from './file-head.ts'

/** Where tus uploads are created. The resource of each is below it. */
export const tusPath = '/v1/tus'
export const tusVersion = '1.0.0'
/**
 * Concatenation is left out: it would turn several uploads into one, and each of them is a transfer already. `checksum-trailer` is left
 * out, too.
 */
export const tusExtensions: readonly string[] = [
  'creation',
  'creation-defer-length',
  'creation-with-upload',
  'expiration',
  'checksum',
  'termination',
]
/** "All PATCH requests MUST use" it. */
export const tusMediaType = 'application/offset+octet-stream'
/** tus name -> name of the algorithm for `createHash`. "The Server MUST support at least the SHA1 checksum algorithm". */
const checksumAlgorithms: ReadonlyMap<string, string> = new Map([
  ['sha256', 'sha256'],
  ['sha1', 'sha1'],
])
export const tusChecksumAlgorithms: readonly string[] = [...checksumAlgorithms.keys()]

const METHODS: ReadonlySet<string> = new Set(['OPTIONS', 'POST', 'HEAD', 'PATCH', 'DELETE'])
const INTEGER = /^[0-9]{1,16}$/
/** RFC 4648 section 4, with its padding. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** "The key MUST NOT contain spaces and commas and MUST NOT be empty. The key SHOULD be ASCII encoded". */
const METADATA_KEY = /^[!-+\--~]+$/

/** "If the version specified by the Client is not supported […] the Server MUST NOT process the request." @throws Problem */
export function requireTusVersion({ 'tus-resumable': version }: IncomingHttpHeaders): void {
  if (version !== tusVersion) throw new Problem('tus-version-unsupported', { wanted: [tusVersion] })
}

/** What a client tells about a file when it creates an upload. */
export interface TusCreation {
  /** `Upload-Length`; null with `Upload-Defer-Length: 1`. */
  readonly sizeBytes: number | null
  /** `Upload-Metadata` as it came, because answers repeat it. */
  readonly metadataField: string
  /** Accounts, as they stand in the metadata: not checked yet. */
  readonly to: readonly string[]
  readonly name: string
  readonly mediaType: string | null
}

/** Reads the header of a `POST` that creates an upload. @throws Problem `request-invalid` */
export function tusCreationOf(headers: IncomingHttpHeaders): TusCreation {
  // A client that uploads in parallel joins its uploads at the end. Without that, each of them would be delivered as a file.
  if (headers['upload-concat'] !== undefined) throw invalid('Upload-Concat is not supported: upload the file as one')
  const metadataField = textOf(headers['upload-metadata']) ?? ''
  const metadata = tusMetadataOf(metadataField)
  const [to, name] = [utf8Of(metadata, 'to'), utf8Of(metadata, 'filename') ?? utf8Of(metadata, 'name')]
  if (!to) throw invalid('Upload-Metadata has no `to`: the receivers, separated by commas')
  if (!name) throw invalid('Upload-Metadata has no `filename`')
  const mediaType = bareMediaTypeOf(utf8Of(metadata, 'filetype') ?? utf8Of(metadata, 'type') ?? undefined)
  return {
    sizeBytes: createdSizeOf(headers),
    metadataField,
    to: to.split(',').map((one) => one.trim()),
    name,
    mediaType,
  }
}

/** "The request MUST include one of the following headers". */
function createdSizeOf(headers: IncomingHttpHeaders): number | null {
  const [length, deferred] = [textOf(headers['upload-length']), textOf(headers['upload-defer-length'])]
  if ((length === undefined) === (deferred === undefined)) {
    throw invalid('either Upload-Length or Upload-Defer-Length is required, and not both')
  }
  if (length !== undefined) return integerOf('Upload-Length', length)
  if (deferred !== '1') throw invalid('Upload-Defer-Length must be 1')
  return null
}

/** `Upload-Length` of a PATCH, which ends the deferral; null without one. @throws Problem `request-invalid` */
export function tusLengthOf(headers: IncomingHttpHeaders): number | null {
  const length = textOf(headers['upload-length'])
  return length === undefined ? null : integerOf('Upload-Length', length)
}

/** @throws Problem `request-invalid` without a valid `Upload-Offset` */
export function tusOffsetOf(headers: IncomingHttpHeaders): number {
  return integerOf('Upload-Offset', textOf(headers['upload-offset']) ?? '')
}

/** Whether the body of a request is content of an upload, by its media type. */
export function isTusContent(headers: IncomingHttpHeaders): boolean {
  return hasMediaType(headers, tusMediaType)
}

/** "otherwise the server SHOULD return a 415 Unsupported Media Type status". @throws Problem `media-type-unsupported` */
export function requireTusContent(headers: IncomingHttpHeaders): void {
  if (isTusContent(headers)) return
  throw new Problem('media-type-unsupported', { detail: `the Content-Type must be ${tusMediaType}` })
}

/**
 * The values of `Upload-Metadata` by key. A key without a value has an empty one.
 *
 * @throws Problem `request-invalid` for a key or a value of another form, and for a key that comes twice
 */
export function tusMetadataOf(field: string): ReadonlyMap<string, Buffer> {
  const metadata = new Map<string, Buffer>()
  // Some clients send the field without any content when they have no metadata.
  if (field.trim() === '') return metadata
  for (const pair of field.split(',')) {
    const [key = '', value = '', ...rest] = pair.trim().split(' ')
    const isValid = METADATA_KEY.test(key) && BASE64.test(value) && rest.length === 0
    if (!isValid) throw invalid('Upload-Metadata must be pairs of a key and a value in base64, separated by commas')
    if (metadata.has(key)) throw invalid('Upload-Metadata has a key twice')
    metadata.set(key, Buffer.from(value, 'base64'))
  }
  return metadata
}

/** A value that is text; null without that key. */
function utf8Of(metadata: ReadonlyMap<string, Buffer>, key: string): string | null {
  const value = metadata.get(key)
  if (value === undefined) return null
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  } catch (cause) {
    throw new Problem('request-invalid', { detail: `\`${key}\` of Upload-Metadata is not UTF-8` }, { cause })
  }
}

/** The `Upload-Checksum` of one request. Nothing of that request counts before `verify` has returned. */
export class TusChecksum {
  readonly #algorithm: string
  readonly #expected: Buffer
  readonly #hash: Hash

  private constructor(algorithm: string, hashName: string, expected: Buffer) {
    this.#algorithm = algorithm
    this.#expected = expected
    this.#hash = createHash(hashName)
  }

  /** @returns null without the field @throws Problem `request-invalid` for another algorithm or a value of another form */
  static of(headers: IncomingHttpHeaders): TusChecksum | null {
    const field = textOf(headers['upload-checksum'])
    if (field === undefined) return null
    const [algorithm = '', value = '', ...rest] = field.trim().split(' ')
    const hashName = checksumAlgorithms.get(algorithm)
    if (hashName === undefined) {
      throw invalid(`the algorithms of Upload-Checksum are ${tusChecksumAlgorithms.join(' and ')}`)
    }
    const expected = Buffer.from(value, 'base64')
    if (!BASE64.test(value) || rest.length > 0 || expected.length !== createHash(hashName).digest().length) {
      throw invalid('Upload-Checksum must be an algorithm and the checksum in base64')
    }
    return new TusChecksum(algorithm, hashName, expected)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** Called once, at the end of the request's body. @throws Problem `checksum-mismatching` */
  verify(): void {
    if (timingSafeEqual(this.#hash.digest(), this.#expected)) return
    throw new Problem('checksum-mismatching', { algorithm: this.#algorithm })
  }
}

/** A checksum after the body would come too late, and a client would take an ignored one for verified. @throws Problem */
export function requireNoLateChecksum({ trailers }: IncomingMessage): void {
  if (trailers['upload-checksum'] !== undefined) throw invalid('send Upload-Checksum in a header, not in a trailer')
}

/**
 * "X-HTTP-Method-Override […] MUST be interpreted as the request's method", for clients that have no PATCH or DELETE. Only below
 * `/v1/tus`, because proxies may have rules about methods; others than those of tus stay what they are.
 */
export function withTusMethods(listener: RequestListener): RequestListener {
  return (request, response) => {
    const override = textOf(request.headers['x-http-method-override'])?.trim().toUpperCase()
    if (override !== undefined && METHODS.has(override) && isTusPath(request.url ?? '')) request.method = override
    listener(request, response)
  }
}

function isTusPath(url: string): boolean {
  return url.startsWith(tusPath) && /^(?:[/?]|$)/.test(url.slice(tusPath.length))
}

function integerOf(field: string, text: string): number {
  const value = INTEGER.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(value)) return value
  throw invalid(`${field} must be a number of bytes`)
}

function invalid(detail: string): Problem {
  return new Problem('request-invalid', { detail })
}
