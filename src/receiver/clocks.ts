/**
 * A receiver whose clock is wrong receives nothing, because a receipt contains the time of receipt for good. Files wait at the
 * portal until the clocks agree, and the person is told.
 */
import { sleep } from '../async/index.ts'
import { type PortalClient, PortalClock } from '../client/index.ts'
import type { Limits, Problem } from '../protocol/index.ts'
import type { Clocks } from './memory.ts'

/** While the clock is wrong, how often it is read again, and how often the portal is asked for its time. */
const LOOK_MS = 1_000
const ASK_EVERY_MS = 60_000
/** If the difference has changed by less than this, the clocks are not compared again. */
const STEADY_MS_MAX = 60_000

export class ReceiverClocks {
  readonly #client: Pick<PortalClient, 'limits'>
  readonly #onProblem: (problem: Problem, isWaiting: boolean) => void
  #clock: PortalClock | null = null
  #limits: Limits | null = null
  /** How far this machine's clock was ahead at the last comparison. */
  #knownAheadMs: number | null = null

  constructor(client: Pick<PortalClient, 'limits'>, onProblem: (problem: Problem, isWaiting: boolean) => void) {
    this.#client = client
    this.#onProblem = onProblem
  }

  /** Whether the clocks differ by more than a day, at the comparison or since a clock was set. */
  get isOff(): boolean {
    return this.#clock?.differsMuch === true
  }

  /** The limits that came with the time last; null before `agree`. */
  get limits(): Limits | null {
    return this.#limits
  }

  get current(): Clocks {
    return { ownMs: Date.now(), portalMs: this.#clock?.portalMs ?? null }
  }

  /**
   * Compares the clocks, if that has not been done or a clock was set since, and waits until they agree. It does not wait for a
   * portal that does not tell its time.
   *
   * @throws what the request throws; the signal's reason
   */
  async agree(signal: AbortSignal): Promise<void> {
    if (this.#isSteady) return
    while (true) {
      this.#limits = await this.#client.limits({ signal })
      const { at } = this.#limits
      if (at === undefined) return
      const clock = new PortalClock({ at })
      this.#clock = clock
      this.#tell(clock)
      if (!clock.differsMuch) return
      const askAtMs = performance.now() + ASK_EVERY_MS
      while (clock.differsMuch && performance.now() < askAtMs) await sleep(LOOK_MS, signal)
    }
  }

  get #isSteady(): boolean {
    if (this.#clock === null || this.#knownAheadMs === null) return false
    return Math.abs(this.#clock.aheadMs - this.#knownAheadMs) < STEADY_MS_MAX && !this.#clock.differsMuch
  }

  #tell(clock: PortalClock): void {
    const { aheadMs } = clock
    const isNew = this.#knownAheadMs === null || Math.abs(aheadMs - this.#knownAheadMs) >= STEADY_MS_MAX
    this.#knownAheadMs = aheadMs
    const problem = clock.problem()
    if (isNew && problem !== null) this.#onProblem(problem, clock.differsMuch)
  }
}
