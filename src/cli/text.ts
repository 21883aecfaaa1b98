/** Text and figures for people. */
import { isGuestName, listText, printable } from '../protocol/index.ts'

export { bytesText, durationText, listText, printable, treeText } from '../protocol/index.ts'

/** Receivers: guests are people with the link. */
export function receiversText(accounts: readonly string[]): string {
  const guests = accounts.filter(isGuestName).length
  const people = guests === 0 ? [] : [guests === 1 ? 'a person with the link' : `${guests} people with the link`]
  return listText([...accounts.filter((account) => !isGuestName(account)), ...people])
}

/** A sender: a guest came by the link of a request. @param label of that request; null where it is not known */
export function senderText(account: string, label: string | null = null): string {
  if (!isGuestName(account)) return account
  return label === null ? 'a guest of your request' : `a guest of your request '${printable(label)}'`
}

const DURATION_UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const SIZE_UNITS_BYTES = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 } as const
const SIZE_UNITS_DECIMAL = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 } as const

/** '90s', '5m', '24h', '7d', '500ms' -> milliseconds; null for anything else. */
export function parseDurationMs(text: string): number | null {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text.trim())
  if (match === null) return null
  const unit = match[2] as keyof typeof DURATION_UNITS_MS
  return Math.round(Number(match[1]) * DURATION_UNITS_MS[unit])
}

/** 600_000 -> '10m': the format of {@link parseDurationMs}, in the largest unit that divides it. */
export function durationFlag(ms: number): string {
  const unit = Object.entries(DURATION_UNITS_MS).findLast(([, unitMs]) => ms % unitMs === 0)
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`
}

/** '10GiB', '500MB', '1024' -> bytes; null for anything else. */
export function parseBytes(text: string): number | null {
  const match = /^(\d{1,15}(?:\.\d{1,3})?)\s*([KMGT]iB|[KMGT]?B|)$/.exec(text.trim())
  if (match === null) return null
  const units: Record<string, number> = { ...SIZE_UNITS_BYTES, ...SIZE_UNITS_DECIMAL }
  const bytes = Math.round(Number(match[1]) * (units[match[2] ?? ''] ?? Number.NaN))
  return Number.isSafeInteger(bytes) ? bytes : null
}

/** A time of the protocol in local time, for people. */
export function localTime(timestamp: string): string {
  const date = new Date(timestamp)
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** A number of things: `1 link`, `2 links`. */
export function counted(count: number, singular: string): string {
  return `${count} ${singular}${count === 1 ? '' : 's'}`
}
