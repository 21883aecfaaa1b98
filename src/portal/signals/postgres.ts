/**
 * Signals between portal nodes, by LISTEN and NOTIFY. In this process they are heard at once; to the others they go in batches,
 * a few milliseconds later, over a connection of their own: never in a transaction of the ledger, which would hold up all
 * others at its commit. What cannot be told is not kept: the other nodes are told that something was lost, once that is possible.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Signals } from './contract.ts'
import { GAP, packSignals, type Signal, unpackSignals } from './notifications.ts'
import { PostgresLink } from './postgres-link.ts'
import { Subscriptions } from './subscriptions.ts'

/** For so long signals are gathered before they go, together. */
const BATCH_MS = 4
/** More than that while one batch is under way, and a gap says it all. */
const BATCH_SIGNALS_MAX = 10_000
/** How long the last batch may take when this node stops. */
const CLOSE_MS_MAX = 1_000

export interface PostgresSignalsOptions {
  /** `postgres://user:password@host:port/database`: directly, not through a pooler of transactions. */
  readonly url: string
  readonly log: Logger
  /** A node that does not read for so long is cut off by the database. */
  readonly unreadMsMax?: number
}

/**
 * Begins to connect, and does not wait for it: until then, and whenever the database is not there, signals stay in this
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
      await Promise.race([outgoing.sent(), pause(CLOSE_MS_MAX, null, { ref: false })])
      await link.close()
    },
  }
}

/** What another node said. It may be of another version. */
function hear(subscriptions: Subscriptions, body: string, log: Logger): void {
  try {
    if (body === GAP) subscriptions.tellGap()
    else for (const signal of unpackSignals(body)) subscriptions.tell(signal)
  } catch (error) {
    log.error({ err: error }, 'a signal of another node was of no use')
  }
}

/** What the other nodes are still to be told. */
class Outgoing {
  readonly #link: PostgresLink
  readonly #log: Logger
  /** By topic and payload: what is repeated goes once. */
  readonly #signals = new Map<string, Signal>()
  /** Something was not told. */
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

  /** Tells what there is to tell, unless that is under way. */
  send(): void {
    if (this.#isSending) return
    this.#isSending = true
    this.#sent = this.#sendAll()
  }

  /** Resolves when everything was told, or cannot be. */
  sent(): Promise<void> {
    return this.#sent
  }

  async #sendAll(): Promise<void> {
    while (this.#link.isUp && (this.#signals.size > 0 || this.#owesGap)) {
      await pause(BATCH_MS)
      const { bodies, tooLong } = packSignals(this.#signals.values(), this.#link.bodyBytesMax)
      for (const { topic } of tooLong) this.#log.error({ topic }, 'a signal is too long to be told to other nodes')
      this.#signals.clear()
      if (this.#owesGap) bodies.push(GAP)
      this.#owesGap = false
      try {
        await this.#link.send(bodies)
      } catch {
        // The link has told why, and comes back by itself.
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
