/** The health of the portal. The page polls it while the view is open. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { sleep } from '../../async/index.ts'
import type { PortalClient } from '../../client/index.ts'
import type { Operations } from '../../protocol/index.ts'
import type { OperationsModel } from './types.ts'

const EVERY_MS = 5_000

export class PageOperations implements OperationsModel {
  readonly report: ReadonlySignal<Operations | null>
  readonly problem: ReadonlySignal<string | null>
  readonly #client: PortalClient
  readonly #report = signal<Operations | null>(null)
  readonly #problem = signal<string | null>(null)

  constructor(client: PortalClient) {
    this.#client = client
    this.report = this.#report
    this.problem = this.#problem
  }

  watch(): () => void {
    const ending = new AbortController()
    void this.#look(ending.signal)
    return () => ending.abort()
  }

  async #look(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.#report.value = await this.#client.operations({ signal })
        this.#problem.value = null
      } catch (error) {
        if (signal.aborted) return
        this.#problem.value = error instanceof Error ? error.message : String(error)
      }
      // An abort ends the pause and then the loop.
      await sleep(EVERY_MS, signal).catch(() => {})
    }
  }
}
