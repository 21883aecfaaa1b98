/**
 * The state of the whole portal for its operator. All data come from the ledger, so that each of several portals gives the same answer.
 * No name of a file is shown.
 */
import { isProblemCode, type Operations, type OperationsMinute, Problem } from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import type { Minute, PortalRecord, ProblemRecord } from '../ledger/watch-contract.ts'
import { timestamp } from '../views.ts'
import { PORTAL_SILENT_MS, RECEIVERS_NAMED_MAX } from './heartbeat.ts'
import { MINUTE_MS, minuteOf, THROUGHPUT_MINUTES } from './throughput.ts'

/** The ledger is asked at most once in this time, even if many operators look. */
const LOOK_MS = 2_000
const PROBLEMS_MAX = 20
const PORTALS_MAX = 100

export class OperationsSummary {
  readonly #context: PortalContext
  #last: { readonly atMs: number; readonly operations: Promise<Operations> } | null = null

  constructor(context: PortalContext) {
    this.#context = context
  }

  /** The summary, at most two seconds old. */
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
    const { ledger, store, heartbeat, options, portalId } = this.#context
    // Writes a heartbeat first, so that the ledger has the current data of this portal.
    await heartbeat.beat()
    const [census, guests, webhooks, freeBytes, minutes, problems, recorded] = await Promise.all([
      ledger.census(),
      ledger.guestCensus(),
      ledger.webhookCensus(),
      store.freeBytes(),
      ledger.minutes(THROUGHPUT_MINUTES * MINUTE_MS),
      ledger.problems(PROBLEMS_MAX),
      ledger.portals(PORTAL_SILENT_MS, PORTALS_MAX),
    ])
    const { transfers, deliveries, accounts, openBytes, resumable } = census
    // A portal with its own ledger is the only one. Other rows are left by crashed processes.
    const portals = ledger.traits.isShared ? recorded : recorded.filter((one) => one.portalId === portalId)
    return {
      at: timestamp(ledger.nowMs()),
      storage: { usedBytes: openBytes, limitBytes: options.storageBytesMax, freeBytes },
      transfers,
      deliveries,
      throughput: lastHour(minutes, ledger.nowMs()),
      ...receiversOf(portals),
      accounts,
      guests,
      uploads: { resumable },
      webhooks,
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

/** The last sixty minutes, the current one last. */
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

/** The connected receivers. An account that is connected to several portals is listed once. */
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

/** Shows only titles of the table, because a receiver may send any code and title. */
function problemOf({ atMs, transferId, sender, receiver, notification, code }: ProblemRecord) {
  const title = isProblemCode(code) ? new Problem(code).toJSON().title : 'A problem that this portal does not know'
  return { at: timestamp(atMs), transferId, from: sender, receiver, notification, code, title }
}
