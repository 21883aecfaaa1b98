/**
 * Requests for files: links by which anybody sends files to this account, sealed for its keys. The portal knows neither a link nor a
 * label. Both are kept in the folder of the profiles, before the portal hears of the request, because nothing else could show them again.
 */
import * as Type from 'typebox'
import { type Connection, type KnownSelf, Records, requestsFolder, shortRetryPolicy } from '../profile/index.ts'
import {
  checkOptions,
  type FileRequest,
  isTransferId,
  labelLengthMax,
  linkOf,
  newTransferId,
  optionsInvalid,
  Problem,
  requestBytesMax,
  requestFilesMax,
  TransferId,
  transfersPerPageMax,
} from '../protocol/index.ts'
import { fingerprintOf, newLinkSecret, requestSecretsOf, sealLabel } from '../trust/index.ts'
import { linkExpiry } from './guests.ts'

export interface NewRequestOptions {
  /** What the files are for. Only people with the link can read it. 160 characters at most. */
  readonly label?: string
  /** Milliseconds until the link stops working. Default: 7 days, or less where the portal allows less. */
  readonly expiryMs?: number
  /** How many files are taken. Default: 100. */
  readonly filesMax?: number
  /** How many bytes are taken, of all files together. Default: as many as the portal allows. */
  readonly bytesMax?: number
  /** Aborts the call. */
  readonly signal?: AbortSignal
}

/** A request of this account. `link` and `label` are null where it was made on another machine, or in the page. */
export interface OwnFileRequest extends Omit<FileRequest, 'label'> {
  readonly link: string | null
  readonly label: string | null
}

const FILES_MAX_DEFAULT = 100

const optionRules = {
  label: 'text?',
  expiryMs: 'number?',
  filesMax: 'number?',
  bytesMax: 'number?',
  signal: 'signal?',
} as const

/** What this machine keeps of a request that it has made. */
export const RequestRecord = Type.Object({
  /** `Connection.stateUrl`. */
  portalUrl: Type.String(),
  account: Type.String(),
  requestId: TransferId,
  secret: Type.String(),
  label: Type.Union([Type.String(), Type.Null()]),
})
export type RequestRecord = Type.Static<typeof RequestRecord>

export const requestRecords = () => new Records(requestsFolder(), RequestRecord)

/** @throws Problem `options-invalid` */
export function requireRequestOptions(options: NewRequestOptions): void {
  checkOptions('request()', options, optionRules)
  const { label = '', filesMax = 1, bytesMax = 1 } = options
  if (label.trim().length > labelLengthMax) throw optionsInvalid(`a label has ${labelLengthMax} characters at most`)
  const isCount = (value: number, most: number): boolean => Number.isInteger(value) && value >= 1 && value <= most
  if (!isCount(filesMax, requestFilesMax)) throw optionsInvalid(`a request takes from 1 to ${requestFilesMax} files`)
  if (!isCount(bytesMax, requestBytesMax)) throw optionsInvalid(`a request takes from 1 to ${requestBytesMax} bytes`)
}

/** @throws Problem `profile-unusable` for an account without keys; `guests-off`, `too-many-guests`, `options-invalid` */
export async function requestFiles(
  { client, portalUrl, stateUrl }: Connection,
  { account, keys }: KnownSelf,
  options: NewRequestOptions,
  signal: AbortSignal,
): Promise<OwnFileRequest> {
  if (keys === null) throw new Problem('profile-unusable', { detail: 'an account without keys cannot request files' })
  const retryPolicy = shortRetryPolicy(signal)
  const limits = await retryPolicy.retry((bounds) => client.limits(bounds))
  const expiresAt = linkExpiry(limits, options.expiryMs)
  const label = options.label?.trim() || null
  const secret = newLinkSecret()
  const requestId = newTransferId()
  const record = { portalUrl: stateUrl, account, requestId, secret, label }
  await requestRecords().write(requestId, record)
  const request = {
    requestId,
    secretHash: (await requestSecretsOf(secret)).bearerHash,
    label: label === null ? null : await sealLabel(secret, label),
    expiresAt,
    filesMax: options.filesMax ?? FILES_MAX_DEFAULT,
    bytesMax: options.bytesMax ?? Math.min(requestBytesMax, limits.guests?.openBytesMax ?? requestBytesMax),
  }
  const made = await retryPolicy.retry(() => client.guests.request(request, { signal }))
  return shown(made, record, portalUrl, await fingerprintOf(keys.publicKeys))
}

/** The requests of the account, newest first. */
export async function listRequests(
  { client, portalUrl, stateUrl }: Connection,
  { account, keys }: KnownSelf,
  signal: AbortSignal,
): Promise<readonly OwnFileRequest[]> {
  const records = await requestRecords().all()
  const fingerprint = keys === null ? null : await fingerprintOf(keys.publicKeys)
  const found: OwnFileRequest[] = []
  let before: string | null = null
  do {
    const page: { before?: string } = before === null ? {} : { before }
    const ask = () => client.guests.requests({ ...page, limit: transfersPerPageMax }, { signal })
    const answer = await shortRetryPolicy(signal).retry(ask)
    for (const one of answer.requests) found.push(shown(one, ownRecord(one.requestId), portalUrl, fingerprint))
    if (answer.before !== null && before !== null && answer.before >= before) break
    before = answer.before
  } while (before !== null)
  return found

  function ownRecord(requestId: string): RequestRecord | null {
    const record = records.get(requestId)
    return record?.portalUrl === stateUrl && record.account === account ? record : null
  }
}

/** @throws Problem `options-invalid`; RemoteProblem `not-found` */
export async function closeRequest(
  { client }: Connection,
  requestId: string,
  signal: AbortSignal,
): Promise<FileRequest> {
  if (!isTransferId(requestId)) throw optionsInvalid(`'${requestId}' is not the id of a request`)
  return shortRetryPolicy(signal).retry(() => client.guests.closeRequest(requestId, { signal }))
}

function shown(
  request: FileRequest,
  record: RequestRecord | null,
  portalUrl: string,
  fingerprint: string | null,
): OwnFileRequest {
  const { secret = null, label = null } = record ?? {}
  const link =
    secret === null || fingerprint === null ? null : linkOf({ kind: 'request', portalUrl, secret, fingerprint })
  return { ...request, link, label }
}
