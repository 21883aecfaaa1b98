/** How the portal does, looked at now and then while somebody watches. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { type PortalClient, sleep } from '../../client/index.ts'
import type { Operations as Report } from '../../protocol/index.ts'
import type { Operations } from './types.ts'

const EVERY_MS = 5_000

export class PageOperations implements Operations {
  readonly report: ReadonlySignal<Report | null>
  readonly problem: ReadonlySignal<string | null>
  readonly #client: PortalClient
  readonly #report = signal<Report | null>(null)
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
      // The end of the pause by an abort is the end of the loop.
      await sleep(EVERY_MS, signal).catch(() => {})
    }
  }
}
