/**
 * How the whole portal does, as its operator sees it. All of it comes from the ledger, so that any of several portals says the same.
 * Nothing here names a file.
 */
import { isProblemCode, type Operations, type OperationsMinute, Problem } from '../protocol/index.ts'
import { PORTAL_SILENT_MS, RECEIVERS_NAMED_MAX } from './attendance.ts'
import type { PortalContext } from './context.ts'
import type { Minute, PortalRecord, ProblemRecord } from './ledger/watch-contract.ts'
import { MINUTE_MS, minuteOf, THROUGHPUT_MINUTES } from './tally.ts'
import { timestamp } from './views.ts'

/** However many look, the ledger is asked once in so long. */
const LOOK_MS = 2_000
const PROBLEMS_MAX = 20
const PORTALS_MAX = 100

export class Overview {
  readonly #context: PortalContext
  #last: { readonly atMs: number; readonly operations: Promise<Operations> } | null = null

  constructor(context: PortalContext) {
    this.#context = context
  }

  /** What there is to see, at most two seconds old. */
  look(): Promise<Operations> {
    const atMs = performance.now()
    if (this.#last === null || atMs - this.#last.atMs > LOOK_MS) {
      const operations = this.#ask()
      this.#last = { atMs, operations }
      operations.catch(() => {
        this.#last = null
      })
    }
    return this.#last.operations
  }

  async #ask(): Promise<Operations> {
    const { ledger, store, attendance, options, portalId } = this.#context
    // So that the ledger knows of this portal what it knows itself.
    await attendance.tell()
    const [census, freeBytes, minutes, problems, told] = await Promise.all([
      ledger.census(),
      store.freeBytes(),
      ledger.minutes(THROUGHPUT_MINUTES * MINUTE_MS),
      ledger.problems(PROBLEMS_MAX),
      ledger.portals(PORTAL_SILENT_MS, PORTALS_MAX),
    ])
    const { transfers, deliveries, accounts, openBytes } = census
    // Alone with its ledger, whoever else said that he was there has crashed.
    const portals = ledger.traits.isShared ? told : told.filter((one) => one.portalId === portalId)
    return {
      at: timestamp(ledger.nowMs()),
      storage: { usedBytes: openBytes, limitBytes: options.storageBytesMax, freeBytes },
      transfers,
      deliveries,
      throughput: lastHour(minutes, ledger.nowMs()),
      ...receiversOf(portals),
      accounts,
      problems: problems.map(problemOf),
      portals: portals.map(({ portalId, node, sinceMs, seenAtMs, receivers }) => ({
        portalId,
        node,
        since: timestamp(sinceMs),
        seenAt: timestamp(seenAtMs),
        receiversOnlineCount: receivers.count,
      })),
    }
  }
}

/** Each of sixty minutes, the one that is running last. */
function lastHour(minutes: readonly Minute[], nowMs: number): OperationsMinute[] {
  const byTime = new Map(minutes.map((minute) => [minute.atMs, minute]))
  const firstMs = minuteOf(nowMs) - (THROUGHPUT_MINUTES - 1) * MINUTE_MS
  return Array.from({ length: THROUGHPUT_MINUTES }, (_, index) => {
    const atMs = firstMs + index * MINUTE_MS
    const minute = byTime.get(atMs)
    return {
      at: timestamp(atMs),
      storedBytes: minute?.storedBytes ?? 0,
      deliveredBytes: minute?.deliveredBytes ?? 0,
      storedCount: minute?.storedCount ?? 0,
      deliveredCount: minute?.deliveredCount ?? 0,
    }
  })
}

/** An account that is connected to several portals is there once, as far as they name it. */
function receiversOf(portals: readonly PortalRecord[]): Pick<Operations, 'receiversOnline' | 'receiversOnlineCount'> {
  const named = portals.flatMap(({ receivers }) => receivers.named).sort((one, other) => one.sinceMs - other.sinceMs)
  const oldest = new Map<string, number>()
  for (const { account, sinceMs } of named) if (!oldest.has(account)) oldest.set(account, sinceMs)
  const count = portals.reduce((sum, { receivers }) => sum + receivers.count, 0)
  return {
    receiversOnline: [...oldest]
      .slice(0, RECEIVERS_NAMED_MAX)
      .map(([account, sinceMs]) => ({ account, since: timestamp(sinceMs) })),
    receiversOnlineCount: count - (named.length - oldest.size),
  }
}

/** A receiver may send any code, and any title with it: only titles of the table are shown. */
function problemOf({ atMs, transferId, sender, receiver, notification, code }: ProblemRecord) {
  const title = isProblemCode(code) ? new Problem(code).toJSON().title : 'A problem that this portal does not know'
  return { at: timestamp(atMs), transferId, from: sender, receiver, notification, code, title }
}
