/**
 * What happens because time passes: uploads and leases run out, transfers expire, parts of what is over are removed,
 * history is forgotten. Every step is a compare-and-set, so any number of sweepers can run; of several portals one at a time
 * does, which spares the others the work.
 */
import { isFinalTransfer, Problem } from '../protocol/index.ts'
import { areAlive, isAlone, type PortalContext, removeAll } from './context.ts'
import type { Deliveries } from './deliveries.ts'
import { failDelivery } from './fail-deliveries.ts'
import type { Delivery, Duty, Transfer } from './ledger/contract.ts'
import type { HeldParts } from './store/contract.ts'
import type { Transfers } from './transfers.ts'

/** So many of each kind are handled in one round; the next round goes on. */
const BATCH = 200
const PRUNE_EVERY_MS = 10 * 60 * 1000
/** So long the others wait for a portal that has the duty to sweep and is gone. */
const SWEEP_LEASE_MS = 10_000
/** How often the whole of a store is searched, unless all that may be in it is this portal's. */
const ORPHANS_EVERY_MS = 24 * 60 * 60 * 1000
/** By so much the clocks of store and ledger may differ, and so long a portal may take to record what it has found in time. */
const ORPHAN_MARGIN_MS = 60 * 60 * 1000

export class Sweeper {
  readonly #context: PortalContext
  readonly #transfers: Transfers
  readonly #deliveries: Deliveries
  #timer: ReturnType<typeof setTimeout> | null = null
  #round: Promise<void> = Promise.resolve()
  #prunedAtMs = Number.NEGATIVE_INFINITY
  readonly #stop = new AbortController()
  #search: Promise<void> = Promise.resolve()
  #searchedAtMs = Number.NEGATIVE_INFINITY

  constructor(context: PortalContext, transfers: Transfers, deliveries: Deliveries) {
    this.#context = context
    this.#transfers = transfers
    this.#deliveries = deliveries
  }

  /** Sweeps every `sweepMs` until stopped. */
  start(): void {
    this.#timer = setTimeout(() => {
      this.#round = this.sweep()
        .catch((error: unknown) => this.#context.log.error({ err: error }, 'a sweep failed; the next one goes on'))
        .then(() => (this.#stop.signal.aborted ? undefined : this.start()))
    }, this.#context.options.sweepMs)
  }

  /** Begins to search the whole store for orphans, beside everything else. Ends when the sweeper is stopped. */
  search(): void {
    this.#searchedAtMs = performance.now()
    this.#search = this.removeOrphans(this.#stop.signal).catch((error: unknown) =>
      this.#context.log.error({ err: error }, 'the search for orphaned parts failed'),
    )
  }

  /** Resolves when a sweep and a search under way have ended. */
  async stop(): Promise<void> {
    this.#stop.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#round
    await this.#search
  }

  /** One round over everything that is due now. What fails is logged, and does not keep the rest waiting. */
  async sweep(): Promise<void> {
    const { ledger, log, options } = this.#context
    if (!(await this.#hasDuty('sweep', SWEEP_LEASE_MS))) return
    await this.#searchNowAndThen()
    await this.#each('expiry', await ledger.dueExpiries(BATCH), (transfer) => {
      log.info({ transferId: transfer.transferId }, 'transfer expired')
      return this.#transfers.end(transfer, 'expired', expiryProblem)
    })
    await this.#each('lease', await ledger.dueLeases(BATCH), (due) => {
      log.info({ transferId: due.transferId, offers: due.offers }, 'lease ran out')
      return this.#deliveries.leaseRanOut(due)
    })
    await this.#each('upload timeout', await ledger.dueUploads(BATCH), (transfer) => {
      log.info({ transferId: transfer.transferId }, 'upload timed out')
      return this.#transfers.uploadTimedOut(transfer)
    })
    await this.#settleRevocations()
    await this.#each('removal', idsOf(await ledger.dueRemovals(BATCH)), ({ transferId }) =>
      removeAll(this.#context, transferId),
    )
    if (performance.now() - this.#prunedAtMs > PRUNE_EVERY_MS) {
      const pruned = await ledger.prune(options.historyMs, BATCH)
      if (pruned < BATCH) this.#prunedAtMs = performance.now()
    }
  }

  /**
   * Ends what is open with accounts that were revoked: uploads of theirs, and deliveries to them. What they have got
   * stored is still delivered: it came while they were trusted, and the second notification was promised.
   */
  async #settleRevocations(): Promise<void> {
    const { ledger, log } = this.#context
    for (const account of await ledger.dueRevocations(BATCH)) {
      const { accountId, name } = account
      const { uploads, deliveries } = await ledger.openWith(accountId, BATCH)
      if (uploads.length === 0 && deliveries.length === 0) {
        await ledger.revocationSettled(account)
        continue
      }
      log.info({ account: name, uploads: uploads.length, deliveries: deliveries.length }, 'revoked: ends what is open')
      const problem = new Problem('account-revoked', { account: name })
      await this.#each('upload of a revoked account', idsOf(uploads), ({ transferId }) =>
        this.#transfers.refuse(transferId, problem),
      )
      await this.#each('delivery to a revoked account', idsOf(deliveries), ({ transferId }) =>
        failDelivery(this.#context, transferId, accountId, () => problem),
      )
    }
  }

  async #each<Due extends { readonly transferId: string }>(
    what: string,
    due: readonly Due[],
    act: (due: Due) => Promise<void>,
  ): Promise<void> {
    for (const one of due) {
      try {
        await act(one)
      } catch (error) {
        this.#context.log.error(
          { err: error, what, transferId: one.transferId },
          'could not be swept; tried again later',
        )
        // What cannot be reached for one cannot be reached for the others: to wait each time would hold up everything else.
        if (error instanceof Problem && error.code === 'unavailable') return
      }
    }
  }

  /** Alone with the ledger, one has every duty. */
  async #hasDuty(duty: Duty, leaseMs: number): Promise<boolean> {
    const { ledger, portalId } = this.#context
    return !ledger.traits.isShared || ledger.takeDuty(duty, portalId, { leaseMs })
  }

  /** Alone, one has orphans only after a crash; whoever opens a store of one's own searches it. */
  async #searchNowAndThen(): Promise<void> {
    if (isAlone(this.#context) || performance.now() - this.#searchedAtMs < ORPHANS_EVERY_MS) return
    if (await this.#hasDuty('orphans', ORPHANS_EVERY_MS)) this.search()
  }

  /**
   * Removes what the store holds and nobody will ever ask for: what a portal left that died. Alone, uploads that are under way
   * are spared. Elsewhere there may be others, or a commit on its way of which nobody knows any more: what the ledger does not
   * know is spared for as long as it may yet be recorded.
   */
  async removeOrphans(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#context
    for await (const parts of store.held()) {
      if (signal.aborted) return
      const { transferId, generation } = parts
      if (await this.#removeOrphan(parts)) log.info({ transferId, generation }, 'orphaned parts removed')
    }
  }

  /** Where what the ledger does not know may yet be recorded: by another portal, or by a commit that comes about late. */
  #isOrphanOfAll(transfer: Transfer | null, parts: HeldParts): boolean {
    const { ledger, options } = this.#context
    if (areAlive(transfer, parts)) return false
    if (transfer !== null && isFinalTransfer(transfer.state)) return true
    return ledger.nowMs() - parts.newestAtMs > options.expiryMs + ORPHAN_MARGIN_MS
  }

  /** In its turn: what is judged just now waits, and is judged anew. */
  #removeOrphan(parts: HeldParts): Promise<boolean> {
    const { store, ledger, turns, uploads } = this.#context
    const isOrphanHere = isAlone(this.#context) ? isOrphan : this.#isOrphanOfAll.bind(this)
    return turns.take(parts.transferId, async () => {
      if (uploads.isUnderWay(parts.transferId)) return false
      const transfer = await ledger.transfer(parts.transferId)
      if (!isOrphanHere(transfer, parts)) return false
      await store.removeParts(parts)
      return true
    })
  }
}

/** Alone: a request that was to bring all of a transfer has ended with the process that read it. */
function isOrphan(transfer: Transfer | null, parts: HeldParts): boolean {
  return !areAlive(transfer, parts) || (transfer?.state === 'receiving' && transfer.isOneRequest)
}

function idsOf(transferIds: readonly string[]): { transferId: string }[] {
  return transferIds.map((transferId) => ({ transferId }))
}

/** A receiver that was offered the file and never answered is told from one that never came. */
function expiryProblem(delivery: Delivery | null): Problem {
  return delivery !== null && delivery.offers > 0
    ? new Problem('receiver-silent', { offers: delivery.offers })
    : new Problem('expired')
}
