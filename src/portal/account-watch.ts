/**
 * Notices what happened to accounts, in whatever process: an operator's command is one of its own. It cuts what is
 * under way with a token that has died, and tells the audit log. Every portal cuts; of several one tells.
 *
 * The ledger is asked several times a second, which costs one look into an index. A signal only makes it sooner; a
 * ledger whose database can notify may send one.
 */
import type { PortalContext } from './context.ts'
import type { AccountChange } from './ledger/accounts-contract.ts'
import type { OpenRequests } from './open-requests.ts'
import { topics, Waiter } from './signals/index.ts'

const BATCH = 200
/** So long the others wait for a portal that has the duty to tell and is gone. */
const AUDIT_LEASE_MS = 10_000

export class AccountWatch {
  readonly #context: PortalContext
  readonly #openRequests: OpenRequests
  readonly #stop = new AbortController()
  #watching: Promise<void> = Promise.resolve()
  /** The last change that was acted upon; null before the ledger has been asked for it. */
  #changeId: number | null = null
  /** What was acted upon, and may not have been told. */
  #untold: AccountChange[] = []

  constructor(context: PortalContext, openRequests: OpenRequests) {
    this.#context = context
    this.#openRequests = openRequests
  }

  /** Watches until stopped. What happened while no portal ran is told now. */
  start(): void {
    this.#watching = this.#watch()
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#watching
  }

  async #watch(): Promise<void> {
    const { signals, options, log } = this.#context
    using waiter = new Waiter(signals, topics.accounts)
    while (!this.#stop.signal.aborted) {
      try {
        await this.#look()
      } catch (error) {
        log.error({ err: error }, 'changes of accounts could not be looked up; tried again soon')
      }
      await waiter.wait(options.accountWatchMs, this.#stop.signal)
    }
  }

  async #look(): Promise<void> {
    const { ledger } = this.#context
    this.#changeId ??= await ledger.auditedChangeId()
    const changes = await ledger.accountChanges({ after: this.#changeId, limit: BATCH })
    for (const change of changes) this.#cut(change)
    this.#untold.push(...changes)
    if (this.#untold.length > 0) await this.#tell()
  }

  #cut({ changeId, name, deadTokenId }: AccountChange): void {
    const { audit } = this.#context
    const connections = deadTokenId === null ? 0 : this.#openRequests.cut(deadTokenId)
    if (connections > 0) audit.write('connections-cut', { account: name, changeId, connections })
    this.#changeId = changeId
  }

  /** Whoever does not have the duty remembers what is to be told until it has been. */
  async #tell(): Promise<void> {
    const { ledger, portalId, audit } = this.#context
    const isMine = !ledger.traits.isShared || (await ledger.takeDuty('audit', portalId, { leaseMs: AUDIT_LEASE_MS }))
    const toldId = await ledger.auditedChangeId()
    this.#untold = this.#untold.filter(({ changeId }) => changeId > toldId)
    const last = this.#untold.at(-1)
    if (!isMine || last === undefined) return
    for (const { changeId, atMs, change, name } of this.#untold) {
      audit.write(change, { account: name, changeId, at: new Date(atMs).toISOString() })
    }
    // Once they are told: a crash in between tells them twice rather than never.
    await ledger.audited(last.changeId)
    this.#untold = []
  }
}
