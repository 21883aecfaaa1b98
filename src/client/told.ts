/** Validates the portal's messages, whether they came by a stream or in a held answer. */
import { Arriving, InboxNotice, Notification, Offer, Progress, Withdrawal } from '../protocol/index.ts'
import { checked, RemoteProblem } from './answers.ts'
import type { InboxEvent, SenderEvent } from './calls.ts'

/** NTP lets a clock run faster or slower by up to 500 ppm, and crystals differ by less than that. */
const CLOCK_RATE_ERROR_MAX = 0.001

/**
 * @param data called only for known events
 * @returns null for an unknown event of a newer portal, which is ignored
 * @throws NoResponseError for invalid data
 */
export function senderEvent(event: string | undefined, data: () => unknown): SenderEvent | null {
  switch (event) {
    case 'notification':
      return { type: 'notification', notification: checked(Notification, data()) }
    case 'progress':
      return { type: 'progress', progress: checked(Progress, data()) }
    case 'arriving':
      return { type: 'arriving', arriving: checked(Arriving, data()) }
    case 'current':
      return { type: 'current' }
    default:
      return null
  }
}

/**
 * @param askedAtMs when the request was made, by `performance.now()`
 * @returns, @throws like {@link senderEvent}; RemoteProblem `instance-in-use` when another process was there first
 */
export function inboxEvent(event: string | undefined, data: () => unknown, askedAtMs: number): InboxEvent | null {
  switch (event) {
    case 'offer': {
      const offer = checked(Offer, data())
      return { type: 'offer', offer, leasedAtMs: leasedAtMs(offer, askedAtMs) }
    }
    case 'withdrawn':
      return { type: 'withdrawn', withdrawal: checked(Withdrawal, data()) }
    case 'current':
      return { type: 'current' }
    case 'contested':
      return { type: 'contested', problem: checked(InboxNotice, data()).problem }
    case 'refused':
      throw new RemoteProblem(checked(InboxNotice, data()).problem)
    default:
      return null
  }
}

/**
 * The earliest time at which the lease can have begun: the stream began after the request, and the lease `streamMs` later. The clocks
 * of two machines run at almost the same rate.
 */
function leasedAtMs({ streamMs }: Offer, askedAtMs: number): number {
  return streamMs === undefined ? Number.NEGATIVE_INFINITY : askedAtMs + streamMs * (1 - CLOCK_RATE_ERROR_MAX)
}
