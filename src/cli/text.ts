/** Words and figures for people. */

export { bytesText, printable } from '../protocol/index.ts'

/** 93_000 -> '1 min 33 s' */
export function durationText(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
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

/** 600_000 -> '10m': as {@link parseDurationMs} takes it, in the largest unit that is even. */
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

/** A list of names: 'bob', 'bob and carol', 'bob, carol and dave'. */
export function listText(names: readonly string[]): string {
  const last = names.at(-1) ?? ''
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} and ${last}`
}
