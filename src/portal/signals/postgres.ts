/**
 * Signals between portal nodes, by LISTEN and NOTIFY. Subscribers in this process are called at once. Other nodes get the signals in
 * batches a few milliseconds later, over a separate connection: in a transaction of the ledger, a notification would delay the commits
 * of all others. Signals that cannot be sent are dropped, and the other nodes are told of the gap once that is possible.
 */
import type { Logger } from 'pino'
import { sleep, withDeadline } from '../../async/index.ts'
import type { Signals } from './contract.ts'
import { GAP, packSignals, type Signal, unpackSignals } from './notifications.ts'
import { PostgresLink } from './postgres-link.ts'
import { Subscriptions } from './subscriptions.ts'

/** Signals are collected for this time and sent together. */
const BATCH_MS = 4
/** With more signals during one batch, a gap is sent instead. */
const BATCH_SIGNALS_MAX = 10_000
/** How long the last batch may take when this node stops. */
const CLOSE_MS_MAX = 1_000

export interface PostgresSignalsOptions {
  /** `postgres://user:password@host:port/database`, not through a pooler in transaction mode. */
  readonly url: string
  readonly log: Logger
  /** The database disconnects a node that does not read for this time. */
  readonly unreadMsMax?: number
}

/**
 * Opens the signals without waiting for the connection. Until it is up, and whenever the database is away, signals reach only this
 * process.
 */
export async function postgresSignals(options: PostgresSignalsOptions): Promise<Signals & AsyncDisposable> {
  const { log } = options
  const subscriptions = new Subscriptions()
  const link = await PostgresLink.open({ ...options, onBody: (body) => hear(subscriptions, body, log) })
  const outgoing = new Outgoing(link, log)
  link.onUp = () => {
    subscriptions.tellGap()
    outgoing.send()
  }
  return {
    traits: { lossy: true },
    publish(topic, payload = '') {
      subscriptions.tell({ topic, payload })
      outgoing.add({ topic, payload })
    },
    subscribe: (topic, onSignal, onGap) => subscriptions.add(topic, { onSignal, onGap }),
    [Symbol.asyncDispose]: async () => {
      await withDeadline(outgoing.sent(), CLOSE_MS_MAX, () => {})
      await link.close()
    },
  }
}

/** Handles a notification of another node, which may have another version. */
function hear(subscriptions: Subscriptions, body: string, log: Logger): void {
  try {
    if (body === GAP) subscriptions.tellGap()
    else for (const signal of unpackSignals(body)) subscriptions.tell(signal)
  } catch (error) {
    log.error({ err: error }, 'a signal of another node could not be read')
  }
}

/** The signals that are still to be sent to other nodes. */
class Outgoing {
  readonly #link: PostgresLink
  readonly #log: Logger
  /** By topic and payload, so that a repeated signal is sent once. */
  readonly #signals = new Map<string, Signal>()
  /** Whether signals were dropped, so that a gap has to be sent. */
  #owesGap = false
  #isSending = false
  #sent: Promise<void> = Promise.resolve()

  constructor(link: PostgresLink, log: Logger) {
    this.#link = link
    this.#log = log
  }

  add(signal: Signal): void {
    this.#signals.set(`${signal.topic}\n${signal.payload}`, signal)
    if (this.#signals.size > BATCH_SIGNALS_MAX || !this.#link.isUp) this.#forget()
    this.send()
  }

  /** Starts sending, unless that is running. */
  send(): void {
    if (this.#isSending) return
    this.#isSending = true
    this.#sent = this.#sendAll()
  }

  /** Resolves when all signals have been sent or dropped. */
  sent(): Promise<void> {
    return this.#sent
  }

  async #sendAll(): Promise<void> {
    while (this.#link.isUp && (this.#signals.size > 0 || this.#owesGap)) {
      await sleep(BATCH_MS)
      const { bodies, tooLong } = packSignals(this.#signals.values(), this.#link.bodyBytesMax)
      for (const { topic } of tooLong) this.#log.error({ topic }, 'a signal is too long to be sent to other nodes')
      this.#signals.clear()
      if (this.#owesGap) bodies.push(GAP)
      this.#owesGap = false
      try {
        await this.#link.send(bodies)
      } catch {
        // The link has logged the reason and reconnects by itself.
        this.#forget()
      }
    }
    if (this.#signals.size > 0) this.#forget()
    this.#isSending = false
  }

  #forget(): void {
    this.#signals.clear()
    this.#owesGap = true
  }
}
