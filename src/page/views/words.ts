/** Figures and times as people read them. */

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

/** Today only the time, before that the day as well. @param at RFC 3339; what is no time is shown as it is */
export function timeText(at: string): string {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return at
  return date.toDateString() === new Date().toDateString() ? timeOfDay.format(date) : dayAndTime.format(date)
}

/** To the second. @param at RFC 3339; what is no time is shown as it is */
export function exactTimeText(at: string): string {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? at : exact.format(date)
}

/** 95_000 -> '2 min'. Nobody needs to know it better. */
export function durationText(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / SECOND_MS))
  if (seconds < MINUTE_S) return `${seconds} s`
  if (seconds < HOUR_S) return `${Math.round(seconds / MINUTE_S)} min`
  if (seconds < DAY_S) return `${(seconds / HOUR_S).toFixed(1)} h`
  return `${Math.round(seconds / DAY_S)} days`
}

/** How a page calls an account: its own is "you". */
export function calledOf(name: string, own: string): string {
  return name === own ? 'you' : name
}

/** bob; bob and carol; bob, carol and dave */
export function listText(names: readonly string[]): string {
  if (names.length < 2) return names.join('')
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
