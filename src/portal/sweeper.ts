/**
 * The sweeper does the work that is due because time has passed: it ends uploads and leases, expires transfers, removes parts of
 * ended transfers, and deletes history. Every step is a compare-and-set, so any number of sweepers may run. Of several portals, one at
 * a time does it, which saves the others the work.
 */
import { isFinalTransfer, Problem, timerMs } from '../protocol/index.ts'
import { areAlive, isAlone, type PortalContext, removeAll } from './context.ts'
import { failDelivery } from './deliveries/fail-deliveries.ts'
import { leaseEnded } from './deliveries/leases.ts'
import type { Delivery, Duty, Transfer } from './ledger/contract.ts'
import { topics } from './signals/index.ts'
import type { HeldGeneration } from './store/contract.ts'
import { belongsTo } from './uploads/resumable/index.ts'
import type { Transfers } from './uploads/transfers.ts'

/** How many transfers a line of the log names. */
const IDS_LOGGED_MAX = 5
/** How many of each kind one round handles. The next round continues. */
const BATCH = 200
const PRUNE_EVERY_MS = 10 * 60 * 1000
/** For how long the log of a webhook has messages that have ended, unless the history is shorter. */
const WEBHOOK_LOG_MS = 7 * 24 * 60 * 60 * 1000
/** The other portals wait this long for the portal that has the duty to sweep. */
const SWEEP_LEASE_MS = 10_000
/** How often a shared store is searched for orphans. */
const ORPHANS_EVERY_MS = 24 * 60 * 60 * 1000
/** A margin for different clocks of store and ledger, and for a portal that records parts late. */
const ORPHAN_MARGIN_MS = 60 * 60 * 1000

export class Sweeper {
  readonly #context: PortalContext
  readonly #transfers: Transfers
  #timer: ReturnType<typeof setTimeout> | null = null
  #round: Promise<void> = Promise.resolve()
  #prunedAtMs = Number.NEGATIVE_INFINITY
  readonly #stop = new AbortController()
  #search: Promise<void> = Promise.resolve()
  #searchedAtMs = Number.NEGATIVE_INFINITY

  constructor(context: PortalContext, transfers: Transfers) {
    this.#context = context
    this.#transfers = transfers
  }

  /** Sweeps every `sweepMs` until stopped. */
  start(): void {
    this.#timer = setTimeout(() => {
      this.#round = this.sweep()
        .catch((error: unknown) => this.#context.log.error({ err: error }, 'a sweep failed; the next one retries'))
        .then(() => (this.#stop.signal.aborted ? undefined : this.start()))
    }, timerMs(this.#context.options.sweepMs))
  }

  /** Starts a search of the whole store for orphans, in the background. It ends when the sweeper is stopped. */
  search(): void {
    this.#searchedAtMs = performance.now()
    this.#search = this.removeOrphans(this.#stop.signal).catch((error: unknown) =>
      this.#context.log.error({ err: error }, 'the search for orphaned parts failed'),
    )
  }

  /** Stops. Resolves when a running sweep and search have ended. */
  async stop(): Promise<void> {
    this.#stop.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#round
    await this.#search
  }

  /**
   * Checks the clock. Called before anything is ended because time has passed, and before the portal serves.
   *
   * @throws Problem `unavailable` when the clock cannot be checked now
   */
  async keepTime(): Promise<void> {
    const { ledger, log, options } = this.#context
    const step = await ledger.keepTime(options)
    if (step !== null) {
      const what = step.isWatched || step.stepMs < 0 ? 'the clock was set' : 'the clock was set, or no portal ran'
      log.warn(step, `${what}: open transfers keep their remaining time`)
    }
  }

  /** One round over all due work. Failures are logged and do not stop the rest. */
  async sweep(): Promise<void> {
    const { ledger, options } = this.#context
    if (!(await this.#hasDuty('sweep', SWEEP_LEASE_MS))) return
    await this.keepTime()
    await this.#searchNowAndThen()
    const expired = this.#logged('transfers expired', await ledger.dueExpiries(BATCH))
    await this.#each('expiry', expired, (transfer) => this.#transfers.end(transfer, 'expired', expiryProblem))
    const leases = this.#logged('leases ran out', await ledger.dueLeases(BATCH))
    await this.#each('lease', leases, async (due) => {
      await leaseEnded(this.#context, due)
    })
    const uploads = this.#logged('uploads timed out', await ledger.dueUploads(BATCH))
    await this.#each('upload timeout', uploads, (transfer) => this.#transfers.uploadTimedOut(transfer))
    await this.#endLinks()
    await this.#settleRevocations()
    await this.#each('removal', idsOf(await ledger.dueRemovals(BATCH)), ({ transferId }) =>
      removeAll(this.#context, transferId),
    )
    if (performance.now() - this.#prunedAtMs > PRUNE_EVERY_MS) {
      const pruned = await ledger.prune(options.historyMs, BATCH)
      const forgotten = await ledger.pruneWebhookMessages(Math.min(options.historyMs, WEBHOOK_LOG_MS), BATCH)
      if (pruned < BATCH && forgotten < BATCH) this.#prunedAtMs = performance.now()
    }
  }

  /** Logs due work in one line per round, because an account can let any number of transfers expire. */
  #logged<Due extends { readonly transferId: string }>(what: string, due: readonly Due[]): readonly Due[] {
    const transferIds = due.slice(0, IDS_LOGGED_MAX).map(({ transferId }) => transferId)
    if (due.length > 0) this.#context.log.info({ count: due.length, transferIds }, what)
    return due
  }

  /**
   * Ends the open uploads of revoked accounts, and deliveries to them. Their stored files are still delivered: they came while the
   * account was valid, and the second notification was promised.
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
      log.info(
        { account: name, uploads: uploads.length, deliveries: deliveries.length },
        'ending the open transfers of a revoked account',
      )
      const problem = account.isExpired
        ? new Problem('link-expired')
        : new Problem('account-revoked', { account: name })
      await this.#each('upload of a revoked account', idsOf(uploads), ({ transferId }) =>
        this.#transfers.refuse(transferId, problem),
      )
      await this.#each('delivery to a revoked account', idsOf(deliveries), ({ transferId }) =>
        failDelivery(this.#context, transferId, accountId, () => problem),
      )
    }
  }

  /** Revokes guests that have expired, and ends the uploads for requests that have ended. What is stored is still delivered. */
  async #endLinks(): Promise<void> {
    const { ledger, log, signals } = this.#context
    const expired = await ledger.expireGuests(BATCH)
    if (expired > 0) {
      log.info({ count: expired }, 'guests expired')
      signals.publish(topics.accounts)
    }
    for (const requestId of await ledger.dueFileRequests(BATCH)) {
      const uploads = await ledger.uploadsFor(requestId, BATCH)
      if (uploads.length === 0) await ledger.fileRequestSettled(requestId)
      const problem = new Problem('request-closed')
      await this.#each('upload for an ended request', idsOf(uploads), ({ transferId }) =>
        this.#transfers.refuse(transferId, problem),
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
        this.#context.log.error({ err: error, what, transferId: one.transferId }, 'could not be swept; retrying later')
        // If ledger or store is away, it is away for the other accounts, too. Waiting for each would delay the other work.
        if (error instanceof Problem && error.code === 'unavailable') return
      }
    }
  }

  /** Whether this portal has a duty. A single portal has all of them. */
  async #hasDuty(duty: Duty, leaseMs: number): Promise<boolean> {
    const { ledger, portalId } = this.#context
    return !ledger.traits.isShared || ledger.takeDuty(duty, portalId, { leaseMs })
  }

  /** With a single portal, orphaned parts exist only after a crash. The portal that opens the store removes them. */
  async #searchNowAndThen(): Promise<void> {
    if (isAlone(this.#context) || performance.now() - this.#searchedAtMs < ORPHANS_EVERY_MS) return
    if (await this.#hasDuty('orphans', ORPHANS_EVERY_MS)) this.search()
  }

  /**
   * Removes orphaned parts: parts without a transfer, which a killed portal has left. A single portal keeps only the parts of its own
   * running uploads. With several portals, or with a ledger in a database, parts that the ledger does not know may still be recorded:
   * by another portal, or by a commit whose answer was lost. They are kept for as long as that is possible.
   */
  async removeOrphans(signal: AbortSignal): Promise<void> {
    const { store, ledger, log } = this.#context
    const countedMs = await ledger.countedMs()
    for await (const parts of store.held()) {
      if (signal.aborted) return
      const { transferId, generation } = parts
      if (await this.#removeOrphan(parts, countedMs)) log.info({ transferId, generation }, 'orphaned parts removed')
    }
  }

  /** Whether parts are orphans when another portal or a late commit may still record them. */
  #isOrphanOfAll(transfer: Transfer | null, parts: HeldGeneration, countedMs: number): boolean {
    const { options } = this.#context
    if (areAlive(transfer, parts)) return false
    if (transfer !== null && isFinalTransfer(transfer.state)) return true
    return countedMs - parts.newestAtMs > options.expiryMs + ORPHAN_MARGIN_MS
  }

  /** Removes parts if they are orphans, under the mutex of the transfer. */
  #removeOrphan(parts: HeldGeneration, countedMs: number): Promise<boolean> {
    const { store, ledger, turns, activeUploads } = this.#context
    const isOrphanHere = isAlone(this.#context) ? isOrphan : this.#isOrphanOfAll.bind(this)
    const { transferId, generation } = parts
    return turns.run(transferId, async () => {
      if (activeUploads.isUnderWay(transferId)) return false
      const transfer = await ledger.transfer(transferId)
      if (transfer?.state === 'receiving' && transfer.isOneRequest) {
        const upload = await ledger.uploadResource({ transferId })
        if (upload !== null && belongsTo(upload, transfer, generation)) return false
      }
      if (!isOrphanHere(transfer, parts, countedMs)) return false
      await store.removeParts(parts)
      return true
    })
  }
}

/** Whether parts are orphans for a single portal. An upload in one request has ended with the process that read it. */
function isOrphan(transfer: Transfer | null, parts: HeldGeneration): boolean {
  return !areAlive(transfer, parts) || (transfer?.state === 'receiving' && transfer.isOneRequest)
}

function idsOf(transferIds: readonly string[]): { transferId: string }[] {
  return transferIds.map((transferId) => ({ transferId }))
}

/** The problem of an expired delivery. It distinguishes a receiver that never answered an offer from one that never connected. */
function expiryProblem(delivery: Delivery | null): Problem {
  return delivery !== null && delivery.offers > 0
    ? new Problem('receiver-silent', { offers: delivery.offers })
    : new Problem('expired')
}
