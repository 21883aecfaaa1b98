/**
 * The address of a bucket, as an operator writes it:
 *
 *     s3://BUCKET[/PREFIX][?endpoint=https://HOST&region=REGION&pathStyle=true&publicEndpoint=https://HOST]
 *
 * It appears in command lines and logs, so it must contain no secret. This file does not load the SDK.
 */
import { Problem } from '../../../protocol/index.ts'

export interface S3Address {
  readonly bucket: string
  /** The prefix of every key: empty, or with a slash at its end. */
  readonly prefix: string
  /** null: Amazon's, by region. */
  readonly endpoint: string | null
  /** The address in links for receivers; null when they use the endpoint itself. */
  readonly publicEndpoint: string | null
  /** null: that of the environment or the profile. */
  readonly region: string | null
  /** Whether the bucket is in the path instead of the host name. */
  readonly isPathStyle: boolean
}

const FORM = "write it as 's3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION'; PREFIX and settings may be left out"
const SETTINGS: readonly string[] = ['endpoint', 'publicEndpoint', 'region', 'pathStyle']
const CREDENTIALS =
  'credentials do not belong into the address, where others can see them: give them as AWS_ACCESS_KEY_ID and ' +
  'AWS_SECRET_ACCESS_KEY, or as a profile or role'
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/
const PREFIX = /^[A-Za-z0-9!_.*'()-]+(?:\/[A-Za-z0-9!_.*'()-]+)*$/
const REGION = /^[A-Za-z0-9-]{1,64}$/
/** Names of settings that look like secrets. They are refused. */
const SECRET = /key|secret|token|password|credential/i
/** The region of self-hosted S3 servers. */
const OWN_REGION = 'us-east-1'

/** @throws Problem `storage-unusable`, which says what to write instead without repeating the address */
export function parseS3Address(text: string): S3Address {
  if (!URL.canParse(text)) throw unusable(`this is not an address of S3; ${FORM}`)
  const url = new URL(text)
  if (url.protocol !== 's3:') throw unusable(`an address of S3 begins with s3://; ${FORM}`)
  if (url.username !== '' || url.password !== '') throw unusable(CREDENTIALS)
  if (!BUCKET.test(url.hostname)) throw unusable(`the address names no bucket, or one that cannot be; ${FORM}`)
  if (url.port !== '' || url.hash !== '') throw unusable(`the address has a port or a '#', which mean nothing; ${FORM}`)
  const settings = settingsOf(url.searchParams)
  const endpoint = endpointOf('endpoint', settings)
  return {
    bucket: url.hostname,
    prefix: prefixOf(url.pathname),
    endpoint,
    publicEndpoint: endpointOf('publicEndpoint', settings),
    region: regionOf(settings) ?? (endpoint === null ? null : OWN_REGION),
    isPathStyle: isPathStyleOf(settings) ?? endpoint !== null,
  }
}

function settingsOf(given: URLSearchParams): ReadonlyMap<string, string> {
  const settings = new Map<string, string>()
  for (const [name, value] of given) {
    if (SECRET.test(name)) throw unusable(CREDENTIALS)
    if (!SETTINGS.includes(name)) throw unusable(`there is no setting '${name}'; there are ${SETTINGS.join(', ')}`)
    if (settings.has(name)) throw unusable(`'${name}' is given twice`)
    settings.set(name, value)
  }
  return settings
}

function prefixOf(path: string): string {
  const prefix = path.replace(/^\/+|\/+$/g, '')
  if (prefix === '') return ''
  if (!PREFIX.test(prefix)) throw unusable('a prefix consists of letters, digits and -_.!*()/, without empty parts')
  return `${prefix}/`
}

function endpointOf(name: string, settings: ReadonlyMap<string, string>): string | null {
  const text = settings.get(name)
  if (text === undefined) return null
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw unusable(`'${name}' is not an address as https://HOST or http://HOST:PORT`)
  }
  if (url.username !== '' || url.password !== '') throw unusable(CREDENTIALS)
  return url.href.replace(/\/$/, '')
}

function regionOf(settings: ReadonlyMap<string, string>): string | null {
  const region = settings.get('region')
  if (region === undefined) return null
  if (!REGION.test(region)) throw unusable("'region' is the name of a region, like us-east-1")
  return region
}

function isPathStyleOf(settings: ReadonlyMap<string, string>): boolean | null {
  const text = settings.get('pathStyle')
  if (text === undefined) return null
  if (text !== 'true' && text !== 'false') throw unusable("'pathStyle' is true or false")
  return text === 'true'
}

function unusable(detail: string): Problem {
  return new Problem('storage-unusable', { detail })
}
