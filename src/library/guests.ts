/** What links and requests have in common. */
import { type Limits, optionsInvalid, Problem } from '../protocol/index.ts'

const EXPIRY_MS_DEFAULT = 7 * 24 * 60 * 60 * 1000

/**
 * When something for guests ends that a portal with these limits makes now.
 *
 * @param expiryMs undefined for the default
 * @throws Problem `guests-off`; `options-invalid` for a time that is longer than the portal allows
 */
export function linkExpiry(limits: Limits, expiryMs: number | undefined): string {
  const { guests } = limits
  if (guests === undefined) throw new Problem('guests-off', { detail: 'it is of a version without them' })
  if (guests === null) throw new Problem('guests-off')
  const { expiryMsMax } = guests
  if (expiryMs !== undefined && expiryMs > expiryMsMax) {
    throw optionsInvalid(`this portal lets links work for ${hoursText(expiryMsMax)} at most`)
  }
  const chosenMs = expiryMs ?? Math.min(EXPIRY_MS_DEFAULT, expiryMsMax)
  return new Date(timeOf(limits) + chosenMs).toISOString()
}

/** The time at the portal. */
export function timeOf({ at }: Limits): number {
  return at === undefined ? Date.now() : Date.parse(at)
}

const HOUR_MS = 60 * 60 * 1000

function hoursText(ms: number): string {
  const [count, unit] = ms < HOUR_MS ? [Math.floor(ms / 60_000), 'minute'] : [Math.floor(ms / HOUR_MS), 'hour']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
