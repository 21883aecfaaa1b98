/**
 * Notices what happened to accounts, in whatever process: an operator's command is one of its own. It cuts what is
 * under way with a token that has died, and tells the audit log.
 *
 * The ledger is asked several times a second, which costs one look into an index. A signal only makes it sooner; a
 * ledger whose database can notify may send one.
 */
import type { PortalContext } from './context.ts'
import type { AccountChange } from './ledger/contract.ts'
import type { OpenRequests } from './open-requests.ts'
import { topics, Waiter } from './signals.ts'

const BATCH = 200

export class AccountWatch {
  readonly #context: PortalContext
  readonly #openRequests: OpenRequests
  readonly #stop = new AbortController()
  #watching: Promise<void> = Promise.resolve()
  /** The last change that was acted upon; null before the ledger has been asked for it. */
  #changeId: number | null = null

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
    for (const change of changes) this.#act(change)
    // Once they are told: a crash in between tells them twice rather than never.
    if (changes.length > 0) await ledger.audited(this.#changeId)
  }

  #act({ changeId, atMs, change, name, deadTokenId }: AccountChange): void {
    const { audit } = this.#context
    const connections = deadTokenId === null ? 0 : this.#openRequests.cut(deadTokenId)
    audit.write(change, { account: name, changeId, at: new Date(atMs).toISOString() })
    if (connections > 0) audit.write('connections-cut', { account: name, changeId, connections })
    this.#changeId = changeId
  }
}
