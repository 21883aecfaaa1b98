/**
 * Notices changes of accounts, which any process may make: an operator's command runs in a process of its own. It cuts the open
 * requests of a token that is no longer valid, and writes the audit log. Every portal cuts; one of several writes the log.
 *
 * It asks the ledger several times a second, which costs one look into an index. A signal, if there is one, only makes it
 * react sooner.
 */
import type { PortalContext } from '../context.ts'
import type { AccountChange } from '../ledger/accounts-contract.ts'
import { topics, Waiter } from '../signals/index.ts'
import type { OpenRequests } from './open-requests.ts'

const BATCH = 200
/** The other portals wait this long for the portal that has the duty to write the audit log. */
const AUDIT_LEASE_MS = 10_000

export class AccountWatch {
  readonly #context: PortalContext
  readonly #openRequests: OpenRequests
  readonly #stop = new AbortController()
  #watching: Promise<void> = Promise.resolve()
  /** The last change that was handled; null before the first answer of the ledger. */
  #changeId: number | null = null
  /** Changes that were handled and may not be in the audit log yet. */
  #pending: AccountChange[] = []

  constructor(context: PortalContext, openRequests: OpenRequests) {
    this.#context = context
    this.#openRequests = openRequests
  }

  /** Watches until stopped. Changes from before the start are written to the audit log first. */
  start(): void {
    this.#watching = this.#watch()
  }

  /** Stops. Resolves when a running look has ended. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#watching
  }

  /** The ledger was restored from a backup: asks it again for the last change. */
  startOver(): void {
    this.#changeId = null
    this.#pending = []
  }

  async #watch(): Promise<void> {
    const { signals, options, log } = this.#context
    using waiter = new Waiter(signals, topics.accounts)
    while (!this.#stop.signal.aborted) {
      try {
        await this.#look()
      } catch (error) {
        log.error({ err: error }, 'changes of accounts could not be read; retrying soon')
      }
      await waiter.wait(options.accountWatchMs, this.#stop.signal)
    }
  }

  async #look(): Promise<void> {
    const { ledger } = this.#context
    this.#changeId ??= await ledger.auditedChangeId()
    const changes = await ledger.accountChanges({ after: this.#changeId, limit: BATCH })
    for (const change of changes) this.#cut(change)
    this.#pending.push(...changes)
    if (this.#pending.length > 0) await this.#tell()
  }

  #cut({ changeId, name, deadTokenId }: AccountChange): void {
    const { audit } = this.#context
    const connections = deadTokenId === null ? 0 : this.#openRequests.cut(deadTokenId)
    if (connections > 0) audit.write('connections-cut', { account: name, changeId, connections })
    this.#changeId = changeId
  }

  /** A portal without the duty keeps pending changes until another portal has written them. */
  async #tell(): Promise<void> {
    const { ledger, portalId, audit } = this.#context
    const isMine = !ledger.traits.isShared || (await ledger.takeDuty('audit', portalId, { leaseMs: AUDIT_LEASE_MS }))
    const recordedId = await ledger.auditedChangeId()
    this.#pending = this.#pending.filter(({ changeId }) => changeId > recordedId)
    const last = this.#pending.at(-1)
    if (!isMine || last === undefined) return
    for (const { changeId, atMs, change, name } of this.#pending) {
      audit.write(change, { account: name, changeId, at: new Date(atMs).toISOString() })
    }
    // Recorded after the lines are written, so that a crash in between repeats lines and loses none.
    await ledger.audited(last.changeId)
    this.#pending = []
  }
}
