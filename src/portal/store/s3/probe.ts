/**
 * Finds out by trial, before a portal serves, whether a bucket has the abilities that the store needs. S3 servers differ, and may answer
 * an unknown request with anything.
 */
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { certificateFaultIn } from '../../../client/certificates.ts'
import { Problem } from '../../../protocol/index.ts'
import type { S3Address } from './address.ts'
import { failureOf, isContentRefused, nameOf, retryPassing, statusOf } from './failures.ts'
import type { NewObject, S3Requests } from './requests.ts'

const PROBE_BYTES = 64

/** Optional abilities of S3 servers. */
export interface S3Traits {
  /** Whether the server can refuse to replace an existing object (`If-None-Match: *`). */
  readonly canPutConditionally: boolean
}

/** @throws Problem `storage-unusable` with the reason and advice */
export async function probe(requests: S3Requests, address: S3Address, retryMs: number): Promise<S3Traits> {
  const folder = `golooader-probe/${randomBytes(8).toString('hex')}`
  const sound = probeObject(`${folder}/sound`)
  const damaged = { ...probeObject(`${folder}/damaged`), sha256: sound.sha256 }
  try {
    await requests.requireCredentials()
    const canPutConditionally = await putTwice(requests, sound, retryMs)
    await requireSame(requests, sound, retryMs)
    await requireRefusal(requests, damaged, retryMs)
    await requireListed(requests, folder, [sound.key], retryMs)
    await requests.delete([sound.key, damaged.key], retryMs)
    await requireListed(requests, folder, [], retryMs)
    return { canPutConditionally }
  } catch (error) {
    await requests.delete([sound.key, damaged.key], 0).catch(() => {})
    throw explained(error, address)
  }
}

function probeObject(key: string): NewObject {
  const bytes = randomBytes(PROBE_BYTES)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { key, lengthBytes: PROBE_BYTES, sha256, isConditional: true, content: () => Readable.from([bytes]) }
}

/** Puts an object twice, conditionally. @returns whether the server refuses the second put */
async function putTwice(requests: S3Requests, object: NewObject, retryMs: number): Promise<boolean> {
  try {
    await requests.put(object, retryMs)
    return !(await requests.put(object, retryMs))
  } catch (error) {
    // The server may answer that it does not support conditional requests.
    if (![400, 405, 501].includes(statusOf(causeOf(error)) ?? 0)) throw error
    await requests.put({ ...object, isConditional: false }, retryMs)
    return false
  }
}

async function requireSame(requests: S3Requests, { key, content }: NewObject, retryMs: number): Promise<void> {
  const bytes = await retried(retryMs, async () => {
    const read = await requests.get(key, null, 0)
    return read === null ? null : buffer(read.body)
  })
  if (bytes?.equals(await buffer(content())) !== true)
    throw unusable('it does not give back what was stored a moment ago')
}

/**
 * The server has to refuse damaged content. Otherwise a damaged part could be acknowledged as stored. A server that has no time just now, or
 * whose answer is lost, is asked again, because that tells nothing.
 */
async function requireRefusal(requests: S3Requests, object: NewObject, retryMs: number): Promise<void> {
  const isRefused = await retried(retryMs, async () => {
    try {
      await requests.put({ ...object, isConditional: false }, 0)
      return false
    } catch (error) {
      if (isContentRefused(causeOf(error))) return true
      throw error
    }
  })
  if (isRefused) return
  await requests.delete([object.key], retryMs)
  throw unusable(
    'it does not verify the SHA-256 of what it is sent (x-amz-content-sha256), so damage would go unnoticed',
  )
}

async function requireListed(requests: S3Requests, folder: string, keys: readonly string[], retryMs: number) {
  const { objects } = await requests.list({ prefix: `${folder}/`, retryMs })
  const listed = objects.map(({ key }) => key)
  if (listed.join() !== keys.join()) throw unusable('its listings do not show at once what was stored and removed')
}

/** Retries errors that may pass, of the whole of `act`: of several requests, and of answers that break off. */
function retried<Result>(retryMs: number, act: () => Promise<Result>): Promise<Result> {
  return retryPassing(retryMs, () =>
    act().catch((error: unknown) => {
      throw causeOf(error)
    }),
  )
}

function causeOf(error: unknown): unknown {
  return error instanceof Problem ? error.cause : error
}

function unusable(detail: string, cause?: unknown): Problem {
  return new Problem('storage-unusable', { detail: `the S3 server cannot be used: ${detail}` }, { cause })
}

/** Advice for the operator. These texts stay at the portal, so they may name the bucket. */
function explained(error: unknown, { bucket, endpoint, region }: S3Address): Problem {
  if (error instanceof Problem && error.code === 'storage-unusable') return error
  const cause = causeOf(error)
  const where = endpoint ?? 'Amazon S3'
  const said =
    cause instanceof Error ? `${nameOf(cause)}: ${cause.message}`.replaceAll(/\s+/g, ' ').trim() : String(cause)
  const detail = (text: string): Problem => new Problem('storage-unusable', { detail: text }, { cause })
  switch (nameOf(cause)) {
    case 'NoSuchBucket':
      return detail(`there is no bucket '${bucket}' at ${where}; create it, or correct the address`)
    case 'CredentialsProviderError':
      return detail(
        'there are no credentials for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role',
      )
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
      return detail(
        `${where} does not know the credentials (${nameOf(cause)}); correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
      )
    case 'AccessDenied':
      return detail(
        `the credentials may not use the bucket '${bucket}' at ${where}; allow s3:ListBucket for it, and s3:GetObject, ` +
          's3:PutObject and s3:DeleteObject for what is in it',
      )
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
      return detail(
        `the bucket '${bucket}' is not in the region ${region ?? 'of the environment'}; give the right one: ?region=REGION`,
      )
    case 'RequestTimeTooSkewed':
      return detail('the clock of this machine is not that of the S3 server; set it right')
  }
  if (cause instanceof Error && /region is missing/i.test(cause.message)) {
    return detail('the address says no region, and neither does the environment; add ?region=REGION, or set AWS_REGION')
  }
  const certificate = certificateFaultIn(cause)
  if (certificate !== null) return detail(`the certificate of ${where} cannot be accepted: ${certificate}`)
  if (statusOf(cause) === null && failureOf(cause).code === 'unavailable') {
    return detail(`${where} cannot be reached (${said}); start it, or correct 'endpoint' in the address`)
  }
  return detail(`${where} does not do what is needed (${said})`)
}
