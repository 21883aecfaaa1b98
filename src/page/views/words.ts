/** Numbers and times in a readable form. */

const SECOND_MS = 1000
const MINUTE_S = 60
const HOUR_S = 3600
const DAY_S = 86_400

const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const dayAndTime = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
})
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

/**
 * The time for today; the date and the time for other days.
 *
 * @param at RFC 3339; other text is returned unchanged
 */
export function timeText(at: string): string {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return at
  return date.toDateString() === new Date().toDateString() ? timeOfDay.format(date) : dayAndTime.format(date)
}

/**
 * Date and time to the second.
 *
 * @param at RFC 3339; other text is returned unchanged
 */
export function exactTimeText(at: string): string {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? at : exact.format(date)
}

/** 95_000 -> '2 min'. The precision is enough for users. */
export function roundDurationText(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / SECOND_MS))
  if (seconds < MINUTE_S) return `${seconds} s`
  if (seconds < HOUR_S) return `${Math.round(seconds / MINUTE_S)} min`
  if (seconds < DAY_S) return `${(seconds / HOUR_S).toFixed(1)} h`
  return `${Math.round(seconds / DAY_S)} days`
}
