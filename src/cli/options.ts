/** Options that several commands share. Each is also an environment variable `GOLOOADER_…`; the flag takes precedence. */
import { isIP } from 'node:net'
import { InvalidArgumentError, Option } from 'commander'
import { bareHost } from '../client/loopback.ts'
import type { ConnectionOptions } from '../client/node-transport.ts'
import type { Profile } from '../library/profile.ts'
import type { UploadOptions } from '../library/upload-options.ts'
import {
  type DigestAlgorithm,
  isAccountName,
  isDigestAlgorithm,
  isTransferId,
  knownDigestAlgorithms,
  notAnAccountName,
  parseFingerprint,
  withoutUndefined,
} from '../protocol/index.ts'
import { UsageError } from './exit.ts'
import { parseBytes, parseDurationMs, printable } from './text.ts'

/**
 * An option whose environment variable is named after its long flag. An empty variable counts as not set, because env files and
 * containers often pass one.
 */
export function option(flags: string, description: string): Option {
  const made = new Option(flags, description)
  const variable = variableOf(made)
  return process.env[variable] === '' ? described(made, variable) : made.env(variable)
}

/**
 * An option without a value. Its variable counts only when it says yes. Commander itself would switch the option on for any value,
 * even for `0` and an empty one.
 */
export function flag(flags: string, description: string): Option {
  const made = new Option(flags, description)
  const variable = variableOf(made)
  const isOn = /^(?:1|true|yes|on)$/i.test(process.env[variable] ?? '')
  return isOn ? made.env(variable) : described(made, `${variable}=1`)
}

/**
 * The former name of an option, which the help does not show. It sets the option with the new name. Flags take precedence over
 * variables here, too.
 *
 * @param attributeName of the option with the new name
 */
export function formerOption(flags: string, attributeName: string): Option {
  const made = option(flags, '').hideHelp()
  made.attributeName = () => attributeName
  return made
}

/** Adds the variable to the help, in commander's own format. */
function described(made: Option, variable: string): Option {
  made.description = `${made.description} (env: ${variable})`
  return made
}

/**
 * An option with several values, separated by commas. If it is given more than once, the values are collected: `--to bob --to carol`
 * is `--to bob,carol`. Flags replace a default or a variable.
 *
 * @param parse parses one text
 */
export function listOption<Item>(flags: string, description: string, parse: (text: string) => Item[]): Option {
  const collected = new Set<Item>()
  return option(flags, description).argParser((text: string) => {
    for (const item of parse(text)) collected.add(item)
    return [...collected]
  })
}

function variableOf({ long, flags }: Option): string {
  return `GOLOOADER_${(long ?? flags).replace(/^--/, '').replaceAll('-', '_').toUpperCase()}`
}

/** For `argParser`: the path of a folder or a file. */
export function pathOf(text: string): string {
  if (text === '') throw new InvalidArgumentError('Give the way to a folder or a file.')
  return text
}

/** For `argParser`: a duration in milliseconds. */
export function durationMs(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === null) throw new InvalidArgumentError('Give a number and a unit: 500ms, 90s, 5m, 24h or 7d.')
  return ms
}

/** For `argParser`: a size in bytes. */
export function sizeBytes(text: string): number {
  const bytes = parseBytes(text)
  if (bytes === null) throw new InvalidArgumentError('Give a number, with a unit if you like: 1048576, 500MB, 10GiB.')
  return bytes
}

/** For `argParser`: a size in bytes that is not 0. */
export function positiveSizeBytes(text: string): number {
  const bytes = sizeBytes(text)
  if (bytes === 0) throw new InvalidArgumentError('Give a size above 0: 1MiB, 16MiB.')
  return bytes
}

/** For `argParser`: a size in bytes that is not larger than `bytesMax`. */
export function sizeBytesUpTo(bytesMax: number): (text: string) => number {
  return (text) => {
    const bytes = sizeBytes(text)
    if (bytes > bytesMax) throw new InvalidArgumentError(`The protocol has room for ${bytesMax} bytes at most.`)
    return bytes
  }
}

/** For `argParser`: a positive whole number. */
export function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError('Give a whole number from 1 on.')
  return Number(text)
}

/** For `argParser`: a whole number, or 0. */
export function wholeNumberOrNone(text: string): number {
  return text === '0' ? 0 : wholeNumber(text)
}

/** For `argParser`: the name of an account. */
export function accountName(text: string): string {
  if (!isAccountName(text)) throw new InvalidArgumentError(notAnAccountName(text))
  return text
}

/** For `argParser`: the id of a transfer. */
export function transferId(text: string): string {
  if (isTransferId(text)) return text
  throw new InvalidArgumentError(`'${printable(text)}' is not the id of a transfer. See them with: golooader status`)
}

/** For `argParser`: the id of a request for files. */
export function requestId(text: string): string {
  if (isTransferId(text)) return text
  throw new InvalidArgumentError(`'${printable(text)}' is not the id of a request. See them with: golooader request`)
}

/** For `argParser`: the fingerprint of an account's keys. */
export function fingerprint(text: string): string {
  const parsed = parseFingerprint(text)
  if (parsed !== null) return parsed
  throw new InvalidArgumentError(
    `'${printable(text)}' is not a fingerprint: it looks like abcd-efgh-ijkl-mnop-qrst-uvwx`,
  )
}

/** For {@link listOption}: names of accounts, separated by commas. */
export function accountNames(text: string): string[] {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  if (names.length === 0) throw new InvalidArgumentError('Give the name of an account.')
  return names.map(accountName)
}

/** For {@link listOption}: names of accounts, or the link of a request for files. */
export function receivers(text: string): string[] {
  return text.includes('://') ? [text.trim()] : accountNames(text)
}

/** For {@link listOption}: digest algorithms, separated by commas. */
export function digestNames(text: string): DigestAlgorithm[] {
  return text.split(',').map((one) => {
    const name = one.trim()
    if (isDigestAlgorithm(name)) return name
    throw new InvalidArgumentError(
      `'${name}' is no digest algorithm of this version: ${knownDigestAlgorithms.join(', ')}.`,
    )
  })
}

/** For `argParser`: an address to listen on. */
export function hostAndPort(text: string): { host: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):(\d{1,5})$/.exec(text)
  const port = Number(match?.[2])
  if (match?.[1] === undefined || port > 65535) {
    throw new InvalidArgumentError('Give HOST:PORT, for instance 127.0.0.1:7878 or [::1]:7878.')
  }
  return { host: bareHost(match[1]), port }
}

/** For `argParser`: an http or https URL. */
export function webAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('Give an address that begins with http:// or https://.')
  }
  if (`${url.search}${url.hash}${url.username}${url.password}` !== '') {
    throw new InvalidArgumentError('Give a plain address, for instance https://files.example/gl.')
  }
  return url.href.replace(/\/+$/, '')
}

/** For `argParser`: the address of a PostgreSQL database. An address with a secret is accepted only from the environment. */
export function databaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^postgres(?:ql)?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('Give an address of PostgreSQL: postgres://USER@HOST:5432/DATABASE.')
  }
  const hasPassword = url.password !== '' || url.searchParams.has('password')
  if (hasPassword && process.env[DATABASE_VARIABLE] !== text) {
    // Not commander's error for an invalid argument, which would print the secret.
    throw new UsageError(
      `anyone on this machine can read a password on a command line: give it as PGPASSWORD, or all of the address as ${DATABASE_VARIABLE}`,
    )
  }
  return text
}

/** For {@link listOption}: addresses and networks, `127.0.0.1,10.0.0.0/8`. */
export function networks(text: string): string[] {
  const found = text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
  const wrong = found.find((one) => !isNetwork(one))
  if (wrong !== undefined) {
    throw new InvalidArgumentError(`'${wrong}' is neither an address nor a network: 127.0.0.1,10.0.0.0/8,fd00::/8.`)
  }
  return found
}

function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

export const dataOption = (): Option =>
  option('--data <dir>', 'folder of the portal: its ledger and its temporary storage')
    .argParser(pathOf)
    .default('./golooader-data')

/** The address in links that an operator makes. */
export const publicUrlOption = (): Option =>
  option('--public-url <url>', 'address of the portal, if it is not the one it listens on').argParser(webAddress)

export const DATABASE_VARIABLE = 'GOLOOADER_DATABASE'

export const databaseOption = (): Option =>
  option('--database <url>', 'PostgreSQL for the ledger, for one portal or several')
    .argParser(databaseUrl)
    .default(undefined, 'a file in the data folder')

export const storeOption = (): Option =>
  option('--store <url>', 'S3 for the parts: s3://BUCKET?endpoint=URL&region=NAME').default(
    undefined,
    'a folder in the data folder',
  )

export const profileOption = (): Option => option('--profile <name>', 'profile to use, where this machine has several')

/** For every command that connects to a portal. It is not stored in the profile, so that each use is a decision. */
export const insecureOption = (): Option =>
  flag('--insecure', 'use plain http to another machine: anyone on the way can read and change everything')

/** For every command that connects to a portal. */
export const systemCaOption = (): Option =>
  flag('--no-system-ca', "trust no authorities of the system's certificate store, only those that Node brings along")

/** For commands that move files. */
export const limitRateOption = (): Option =>
  option(
    '--limit-rate <size>',
    'bytes a second that it sends at most, and as many that it receives: 500KiB, 2MiB',
  ).argParser(positiveSizeBytes)

/** Options of a command that connects to a portal. */
export interface ConnectionFlags {
  readonly insecure?: boolean
  /** False for `--no-system-ca`. */
  readonly systemCa?: boolean
  readonly limitRate?: number
}

/** How a command connects. The proxies of the environment are used unless NODE_USE_ENV_PROXY says no. */
export function connectionOf({ insecure = false, systemCa = true, limitRate }: ConnectionFlags): ConnectionOptions {
  const proxies = process.env.NODE_USE_ENV_PROXY !== '0'
  return withoutUndefined({ insecure, systemCa, proxies, limitBytesPerSecond: limitRate })
}

/** Options of a command about its account. */
export interface ProfileFlags extends ConnectionFlags {
  readonly profile?: string
}

/** Opens the profile that the options name. */
export async function openedProfile(flags: ProfileFlags): Promise<Profile> {
  const { openProfile } = await import('../library/profile.ts')
  return openProfile(flags.profile, connectionOf(flags))
}

/** Patterns of gitignore(5). One pattern may contain a comma. */
export const excludeOption = (description: string): Option =>
  listOption('--exclude <pattern>', description, (text) => [text])

export const jsonOption = (): Option => flag('--json', 'one JSON object a line, for programs')

export const verboseOption = (): Option =>
  flag('--verbose', 'one line a request on standard error: method, path, status, time, tries; no secrets')

export const plainOption = (): Option =>
  flag('--plain', 'do not seal (encrypt end to end): the portal, and an intruder there, can read the files')

export const noTimesOption = (): Option =>
  flag('--no-times', 'do not tell the receivers when the files were modified last')

export const partSizeOption = (): Option =>
  option('--part-size <size>', 'size of the parts, 64 KiB to 64 MiB; small ones suit slow lines').argParser(
    positiveSizeBytes,
  )

export const partsInFlightOption = (): Option =>
  option(
    '--parts-in-flight <number>',
    'parts in flight at the same time; 2 to 12, found by trying, if not given',
  ).argParser(wholeNumber)

/** Options of a command that sends. */
export interface UploadFlags {
  readonly plain?: boolean
  /** False for `--no-times`. */
  readonly times?: boolean
  readonly exclude?: readonly string[]
  readonly strict?: boolean
  readonly partSize?: number
  readonly partsInFlight?: number
}

/** How a command sends. */
export function uploadOptionsOf(flags: UploadFlags): UploadOptions {
  const { plain = false, times = true, strict = false, exclude, partSize: partSizeBytes, partsInFlight } = flags
  return withoutUndefined({ plain, times, strict, exclude, partSizeBytes, partsInFlight })
}
