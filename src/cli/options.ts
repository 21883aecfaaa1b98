/** Options that several commands share. Each is an environment variable too, `GOLOOADER_…`; the flag wins. */
import { InvalidArgumentError, Option } from 'commander'
import { isAccountName } from '../protocol/index.ts'
import { parseBytes, parseDurationMs } from './text.ts'

/** An option whose environment variable is named after its long flag. */
export function option(flags: string, description: string): Option {
  const made = new Option(flags, description)
  const name = (made.long ?? flags).replace(/^--/, '').replaceAll('-', '_').toUpperCase()
  return made.env(`GOLOOADER_${name}`)
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
  return url.href.replace(/\/+$/, '')
}

export const dataOption = (): Option =>
  option('--data <dir>', 'folder of the portal: its ledger and its temporary storage').default('./golooader-data')

export const profileOption = (): Option =>
  option('--profile <name>', 'account to act as, where this machine has joined with several')

export const jsonOption = (): Option => option('--json', 'one JSON object a line, for programs')
