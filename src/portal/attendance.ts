/**
 * Tells the ledger that this portal is there, who is connected to it, and what it has moved: one small row, every ten seconds and
 * when somebody comes or goes. So any portal can show how all of them do. Nothing is decided by it, and nothing waits for it.
 */
import { hostname } from 'node:os'
import type { Logger } from 'pino'
import type { Ledger } from './ledger/contract.ts'
import type { ConnectedReceiver, PortalRecord } from './ledger/watch-contract.ts'
import { localSignals, Waiter } from './signals/index.ts'
import { MINUTE_MS, type Tally, THROUGHPUT_MINUTES } from './tally.ts'

const TELL_MS = 10_000
/** However many come and go. */
const TELL_PAUSE_MS = 1_000
/** Who has been silent for so long is not there. */
export const PORTAL_SILENT_MS = 3 * TELL_MS
/** The minute that is running, and those before it. */
const FORGET_MS = (THROUGHPUT_MINUTES + 1) * MINUTE_MS
/** So many are named, so that the row stays small. */
export const RECEIVERS_NAMED_MAX = 500

interface Standing {
  readonly portalId: string
  readonly ledger: Ledger
  readonly tally: Tally
  readonly log: Logger
}

export class Attendance {
  readonly #standing: Standing
  readonly #sinceMs: number
  readonly #connections = new Map<symbol, ConnectedReceiver>()
  readonly #waiter = new Waiter(localSignals(), '')
  readonly #stop = new AbortController()
  #hasChanged = true
  #isTold = false
  #telling: Promise<void> = Promise.resolve()
  #watching: Promise<void> = Promise.resolve()

  constructor(standing: Standing) {
    this.#standing = standing
    this.#sinceMs = standing.ledger.nowMs()
  }

  /** A receiver is connected until this is disposed of. */
  enter(account: string): Disposable {
    const connection = Symbol(account)
    this.#connections.set(connection, { account, sinceMs: this.#standing.ledger.nowMs() })
    this.#change()
    return {
      [Symbol.dispose]: () => {
        this.#connections.delete(connection)
        this.#change()
      },
    }
  }

  /** Tells from time to time, until stopped. */
  start(): void {
    this.#watching = this.#watch()
  }

  /** Says that this portal is gone. Where the ledger has not been there lately, it finds out by itself. */
  async stop(): Promise<void> {
    const { ledger, portalId, log } = this.#standing
    this.#stop.abort()
    await this.#watching
    if (!this.#isTold) return
    try {
      if (this.#standing.tally.hasNews) await this.tell()
      await ledger.portalGone(portalId)
    } catch (error) {
      log.warn({ err: error }, 'the ledger could not be told that this portal stops')
    }
  }

  /** Tells what has changed, one after another. */
  tell(): Promise<void> {
    this.#telling = this.#telling.catch(() => {}).then(() => this.#tell())
    return this.#telling
  }

  async #watch(): Promise<void> {
    const { log, ledger, tally } = this.#standing
    const { signal } = this.#stop
    while (!signal.aborted) {
      // Alone with its ledger, a portal that has nothing new to say wakes no disk.
      if (ledger.traits.isShared || this.#hasChanged || tally.hasNews) {
        await this.tell().catch((error: unknown) => {
          log.error({ err: error }, 'the ledger could not be told how this portal does; tried again soon')
        })
      }
      await pause(TELL_PAUSE_MS, signal)
      await this.#waiter.wait(TELL_MS - TELL_PAUSE_MS, signal)
    }
  }

  async #tell(): Promise<void> {
    const { ledger, tally, portalId } = this.#standing
    const minutes = tally.take()
    this.#hasChanged = false
    this.#isTold = false
    try {
      const record: PortalRecord = { portalId, node: hostname(), sinceMs: this.#sinceMs, receivers: this.#receivers() }
      await ledger.tellPortal(record, minutes, { forgetMs: FORGET_MS })
      this.#isTold = true
    } catch (error) {
      tally.untold(minutes)
      this.#hasChanged = true
      throw error
    }
  }

  /** Each account once, with its oldest connection. */
  #receivers(): PortalRecord['receivers'] {
    const oldest = new Map<string, ConnectedReceiver>()
    // In the order in which they came.
    for (const one of this.#connections.values()) if (!oldest.has(one.account)) oldest.set(one.account, one)
    return { count: oldest.size, named: [...oldest.values()].slice(0, RECEIVERS_NAMED_MAX) }
  }

  #change(): void {
    this.#hasChanged = true
    this.#waiter.wake()
  }
}

async function pause(ms: number, stop: AbortSignal): Promise<void> {
  using waiter = new Waiter(localSignals(), '')
  await waiter.wait(ms, stop)
}
