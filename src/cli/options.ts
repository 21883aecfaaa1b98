/** Options that several commands share. Each is an environment variable too, `GOLOOADER_…`; the flag wins. */
import { isIP } from 'node:net'
import { InvalidArgumentError, Option } from 'commander'
import { type DigestAlgorithm, isAccountName, isDigestAlgorithm, knownDigestAlgorithms } from '../protocol/index.ts'
import { UsageError } from './exit.ts'
import { parseBytes, parseDurationMs } from './text.ts'

/** An option whose environment variable is named after its long flag. */
export function option(flags: string, description: string): Option {
  const made = new Option(flags, description)
  return made.env(variableOf(made))
}

/**
 * An option without a value. Its variable has to say yes: to commander alone, `0` and nothing at all would do as well.
 */
export function flag(flags: string, description: string): Option {
  const made = new Option(flags, description)
  const variable = variableOf(made)
  made.description = `${description} (env: ${variable}=1)`
  // What `--no-page` sets is `page`.
  return /^(?:1|true|yes|on)$/i.test(process.env[variable] ?? '') ? made.default(!made.negate) : made
}

function variableOf({ long, flags }: Option): string {
  return `GOLOOADER_${(long ?? flags).replace(/^--/, '').replaceAll('-', '_').toUpperCase()}`
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

/** For `argParser`: a positive whole number. */
export function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError('Give a whole number from 1 on.')
  return Number(text)
}

/** For `argParser`: names of accounts, separated by commas; each once. */
export function accountNames(text: string): string[] {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const wrong = names.find((name) => !isAccountName(name))
  if (wrong !== undefined) throw new InvalidArgumentError(`'${wrong}' cannot be the name of an account.`)
  if (names.length === 0) throw new InvalidArgumentError('Give the name of an account.')
  return [...new Set(names)]
}

/** For `argParser`: digest algorithms, separated by commas. */
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
  return { host: match[1].replace(/^\[|\]$/g, ''), port }
}

/** For `argParser`: an address of the web. */
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

/** For `argParser`: the address of a PostgreSQL database. A secret in it may come from the environment alone. */
export function databaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^postgres(?:ql)?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('Give an address of PostgreSQL: postgres://USER@HOST:5432/DATABASE.')
  }
  const hasPassword = url.password !== '' || url.searchParams.has('password')
  if (hasPassword && process.env[DATABASE_VARIABLE] !== text) {
    // Not as an argument that is invalid: those are shown.
    throw new UsageError(
      `everybody on this machine can read a password on a command line: give it as PGPASSWORD, or all of the address as ${DATABASE_VARIABLE}`,
    )
  }
  return text
}

/** For `argParser`: addresses and networks, `127.0.0.1,10.0.0.0/8`. */
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
  option('--data <dir>', 'folder of the portal: its ledger and its temporary storage').default('./golooader-data')

export const DATABASE_VARIABLE = 'GOLOOADER_DATABASE'

export const databaseOption = (): Option =>
  option('--database <url>', 'PostgreSQL that keeps the ledger instead, for one portal or several')
    .argParser(databaseUrl)
    .default(undefined, 'a file in the data folder')

export const profileOption = (): Option =>
  option('--profile <name>', 'account to act as, where this machine has joined with several')

/** For every command that talks to a portal. It is never remembered: each time is a decision. */
export const insecureOption = (): Option =>
  flag('--insecure', 'talk plain http to another machine, where everybody on the way can read and change everything')

export const jsonOption = (): Option => flag('--json', 'one JSON object a line, for programs')
