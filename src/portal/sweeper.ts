/**
 * What happens because time passes: uploads and leases run out, transfers expire, parts of what is over are removed,
 * history is forgotten. Every step is a compare-and-set, so any number of sweepers can run.
 */
import { Problem } from '../protocol/index.ts'
import { type PortalContext, removeOrphan, removeParts } from './context.ts'
import type { Deliveries } from './deliveries.ts'
import { failDelivery } from './fail-deliveries.ts'
import type { Delivery } from './ledger/contract.ts'
import type { Transfers } from './transfers.ts'

/** So many of each kind are handled in one round; the next round goes on. */
const BATCH = 200
const PRUNE_EVERY_MS = 10 * 60 * 1000

export class Sweeper {
  readonly #context: PortalContext
  readonly #transfers: Transfers
  readonly #deliveries: Deliveries
  #timer: ReturnType<typeof setTimeout> | null = null
  #round: Promise<void> = Promise.resolve()
  #isStopped = false
  #prunedAtMs = Number.NEGATIVE_INFINITY

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
        .then(() => (this.#isStopped ? undefined : this.start()))
    }, this.#context.options.sweepMs)
  }

  /** Resolves when a sweep under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#round
  }

  /** One round over everything that is due now. What fails is logged, and does not keep the rest waiting. */
  async sweep(): Promise<void> {
    const { ledger, log, options } = this.#context
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
      removeParts(this.#context, transferId),
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
      }
    }
  }

  /** Removes what the store holds and nobody will ever ask for: after a crash. Uploads that have begun since are spared. */
  async removeOrphans(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#context
    for await (const transferId of store.transferIds()) {
      if (signal.aborted) return
      if (await removeOrphan(this.#context, transferId)) log.info({ transferId }, 'orphaned parts removed')
    }
  }
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
