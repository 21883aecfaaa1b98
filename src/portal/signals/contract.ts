/**
 * Wake-ups between parts of the portal, and between its nodes. A signal only says that something may have changed; the data are in
 * the ledger or the store. A lost signal costs time, never a delivery.
 *
 * Obligations of every driver, which `test/suites/signals.ts` checks:
 * - `publish` never waits and never throws. When it returns, all subscribers in this process have been called.
 * - Subscribers get the signals of one process in the order in which it published them; repetitions may be left out.
 * - When signals may have been lost, every `onGap` is called soon, also that of a subscriber that has just subscribed.
 */
export interface Signals {
  readonly traits: {
    /** Whether signals may get lost. Then waiters also look from time to time. */
    readonly lossy: boolean
  }
  publish(topic: string, payload?: string): void
  /**
   * @param onGap called when signals of that topic may have been lost, so that anything may have changed
   * @returns the function that unsubscribes
   */
  subscribe(topic: string, onSignal: (payload: string) => void, onGap: () => void): () => void
}

/** The topics of signals. */
export const topics = {
  /** An account has changed. */
  accounts: 'accounts',
  /** There is a new webhook, or a test of one. */
  webhooks: 'webhooks',
  /** The offers to an account have changed. The payload is the transferId; empty if it may be any. */
  inbox: (accountId: number) => `inbox:${accountId}`,
  /** Which connection of a receiving process is its newest one: see `connection-takeover.ts`. */
  takeover: (accountId: number, instanceId: string) => `takeover:${accountId}:${instanceId}`,
  /** The event log of an account has grown. */
  events: (accountId: number) => `events:${accountId}`,
  /** A receiver has fetched bytes of an account's transfer. The payload is the message itself, which may get lost. */
  progress: (accountId: number) => `progress:${accountId}`,
  /** Bytes of a slow part of an account's transfer have arrived. The payload is the message itself, which may get lost. */
  arriving: (accountId: number) => `arriving:${accountId}`,
  /** Which request writes to an upload resource: `stop` asks the present one to end, `free` says that none does. */
  upload: (transferId: string) => `upload:${transferId}`,
  /** A part of a transfer has arrived: the payload is its number. Or the state of the transfer has changed: no payload. */
  transfer: (transferId: string) => `transfer:${transferId}`,
} as const
