/**
 * The heartbeat: every ten seconds, and when a receiver connects or leaves, the portal writes one small row with its connected
 * receivers and its throughput to the ledger. So any portal can show the state of all portals. Nothing waits for it.
 *
 * The row also reveals a restore. If the ledger does not have the portal's last heartbeat, it was restored from a backup while the
 * portal was running. Connected clients were authenticated by the lost data, so all of them have to connect again.
 */
import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { sleep } from '../../async/index.ts'
import { stopYoungGenerationGrowth } from '../../buffers/index.ts'
import type { Ledger } from '../ledger/contract.ts'
import type { ConnectedReceiver, PortalRecord } from '../ledger/watch-contract.ts'
import { localSignals, Waiter } from '../signals/index.ts'
import { SpareMemory } from './spare-memory.ts'
import { MINUTE_MS, THROUGHPUT_MINUTES, type Throughput } from './throughput.ts'

const BEAT_MS = 10_000
/** The shortest pause between two heartbeats, even if many receivers come and go. */
const BEAT_PAUSE_MS = 1_000
/** A portal that has been silent for this time counts as gone. */
export const PORTAL_SILENT_MS = 3 * BEAT_MS
/** Older minutes are deleted. */
const FORGET_MS = (THROUGHPUT_MINUTES + 1) * MINUTE_MS
/** How many receivers are named in a heartbeat. The bound keeps the row small. */
export const RECEIVERS_NAMED_MAX = 500

/**
 * From this number of receivers on, V8's young generation does not grow. That saves memory, and it costs up to a tenth of the processor
 * time of large files, so fewer receivers do without.
 */
const MANY_RECEIVERS = 500

interface HeartbeatOptions {
  readonly portalId: string
  readonly ledger: Ledger
  readonly throughput: Throughput
  readonly log: Logger
  /** Called when the ledger was restored from a backup and has lost data. */
  readonly onRollback?: () => void
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #sinceMs: number
  readonly #connections = new Map<symbol, ConnectedReceiver>()
  readonly #waiter = new Waiter(localSignals(), '')
  readonly #spareMemory = new SpareMemory()
  readonly #stop = new AbortController()
  #hasChanged = true
  #isRecorded = false
  /** The time of the last heartbeat, by the ledger's clock; null before the first. */
  #recordedAtMs: number | null = null
  #recording: Promise<void> = Promise.resolve()
  #watching: Promise<void> = Promise.resolve()

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#sinceMs = options.ledger.nowMs()
  }

  /** Notes a connected receiver until the result is disposed of. */
  connected(account: string): Disposable {
    const connection = Symbol(account)
    this.#connections.set(connection, { account, sinceMs: this.#options.ledger.nowMs() })
    if (this.#connections.size === MANY_RECEIVERS) stopYoungGenerationGrowth()
    this.#spareMemory.connected()
    this.#change()
    return {
      [Symbol.dispose]: () => {
        this.#connections.delete(connection)
        this.#change()
      },
    }
  }

  /** The number of connections of receivers. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** Starts regular heartbeats. */
  start(): void {
    this.#watching = this.#watch()
  }

  /** Stops, and records that this portal is gone. Skipped while the ledger is away, which then notices by the silence. */
  async stop(): Promise<void> {
    const { ledger, portalId, log } = this.#options
    this.#stop.abort()
    await this.#watching
    if (!this.#isRecorded) return
    try {
      if (this.#options.throughput.hasNews) await this.beat()
      await ledger.portalGone(portalId)
    } catch (error) {
      log.warn({ err: error }, 'the stop of this portal was not recorded')
    }
  }

  /** Writes a heartbeat. Concurrent calls run one after another. */
  beat(): Promise<void> {
    this.#recording = this.#recording.catch(() => {}).then(() => this.#beat())
    return this.#recording
  }

  async #watch(): Promise<void> {
    const { log, ledger, throughput } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      // A single portal writes nothing without news, so that an idle portal does not wake the disk.
      if (ledger.traits.isShared || this.#hasChanged || throughput.hasNews) {
        await this.beat().catch((error: unknown) => {
          log.error({ err: error }, 'the heartbeat was not recorded; retrying soon')
        })
      }
      await sleep(BEAT_PAUSE_MS, signal).catch(() => {})
      await this.#waiter.wait(BEAT_MS - BEAT_PAUSE_MS, signal)
    }
  }

  async #beat(): Promise<void> {
    const { ledger, throughput, portalId } = this.#options
    this.#hasChanged = false
    this.#isRecorded = false
    try {
      const record: PortalRecord = { portalId, node: hostname(), sinceMs: this.#sinceMs, receivers: this.#receivers() }
      const { atMs, beforeMs } = await throughput.record((minutes) =>
        ledger.recordHeartbeat(record, minutes, { forgetMs: FORGET_MS }),
      )
      this.#isRecorded = true
      // A later time than the known one comes from a commit whose answer was lost.
      const isRolledBack = this.#recordedAtMs !== null && (beforeMs === null || beforeMs < this.#recordedAtMs)
      this.#recordedAtMs = atMs
      if (isRolledBack) this.#options.onRollback?.()
    } catch (error) {
      this.#hasChanged = true
      throw error
    }
  }

  /** Each connected account once, with its oldest connection. */
  #receivers(): PortalRecord['receivers'] {
    const oldest = new Map<string, ConnectedReceiver>()
    // The map is in the order of the connections, so the first one of an account is its oldest.
    for (const one of this.#connections.values()) if (!oldest.has(one.account)) oldest.set(one.account, one)
    return { count: oldest.size, named: [...oldest.values()].slice(0, RECEIVERS_NAMED_MAX) }
  }

  #change(): void {
    this.#hasChanged = true
    this.#waiter.wake()
  }
}
