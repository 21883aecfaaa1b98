/**
 * Wake-ups between parts of the portal, and between its nodes. A signal carries no truth: what it is about stands in the
 * ledger or the store. Losing one costs time, never a delivery.
 *
 * Obligations of every driver, which `test/suites/signals.ts` checks:
 * - `publish` never waits and never throws. Who subscribed in this process has heard it when it returns.
 * - Signals of one process are heard in the order in which it published them; repetitions may be left out.
 * - Where signals may have been lost, every `onGap` is called, soon: that of one who subscribed just now, too.
 */
export interface Signals {
  readonly traits: {
    /** Whether signals may get lost, so that whoever waits should look by itself now and then. */
    readonly lossy: boolean
  }
  publish(topic: string, payload?: string): void
  /**
   * @param onGap called when signals of that topic may have been lost: whatever it is about may have changed
   * @returns the way to end the subscription
   */
  subscribe(topic: string, onSignal: (payload: string) => void, onGap: () => void): () => void
}

/** What signals are about. */
export const topics = {
  /** Something happened to an account. */
  accounts: 'accounts',
  /** Something changed in what is offered to an account. The payload is the transferId; where it is empty, it may be any. */
  inbox: (accountId: number) => `inbox:${accountId}`,
  /** Which connection of a receiving process is its newest one: see `presence.ts`. */
  takeover: (accountId: number, instanceId: string) => `takeover:${accountId}:${instanceId}`,
  /** The event log of an account grew. */
  events: (accountId: number) => `events:${accountId}`,
  /** A receiver fetched something of an account's transfer. The payload is the message itself: it may get lost. */
  progress: (accountId: number) => `progress:${accountId}`,
  /** A part of an account's transfer is on its way in, slowly. The payload is the message itself: it may get lost. */
  arriving: (accountId: number) => `arriving:${accountId}`,
  /** A part of a transfer came in: then its number is the payload. Or its state changed: then there is none. */
  transfer: (transferId: string) => `transfer:${transferId}`,
} as const
