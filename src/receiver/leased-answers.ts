/** The answers of one delivery: each is sent under its lease until the portal confirms it. */
import type { PortalClient } from '../client/index.ts'
import type { DeliveryState, ProblemJson } from '../protocol/index.ts'
import type { DispositionBatcher } from './answers.ts'
import type { LeasedOffer } from './leased-offer.ts'

export type Answer =
  | { disposition: 'received'; manifestDigest: string; receipt?: string }
  | { disposition: 'resend'; problem: ProblemJson; wanted: [number, number][] }
  | { disposition: 'refused'; problem: ProblemJson }

export class LeasedAnswers {
  readonly #client: PortalClient
  readonly #answers: DispositionBatcher
  readonly #leased: LeasedOffer
  /** Lets `answers` wait for an answer that follows soon. */
  readonly #expected: Disposable | null
  #underWay = 0

  constructor(client: PortalClient, answers: DispositionBatcher, leased: LeasedOffer, isExpected: boolean) {
    this.#client = client
    this.#answers = answers
    this.#leased = leased
    this.#expected = isExpected ? answers.expect() : null
  }

  /** Whether an answer is in flight. Meanwhile the portal's response to it tells the state of the delivery. */
  get isUnderWay(): boolean {
    return this.#underWay > 0
  }

  /** Sends an answer until the portal confirms it. @returns the state of the delivery afterwards */
  async send(answer: Answer, signal: AbortSignal): Promise<DeliveryState> {
    this.#underWay++
    try {
      const { state } = await this.#leased.retry(({ transferId, leaseId }) => {
        this.expectNone()
        // The portal looks at its own copy before it answers a `resend`. Other answers do not wait for that.
        if (answer.disposition === 'resend')
          return this.#client.disposition(transferId, { leaseId, ...answer }, { signal })
        return this.#answers.send({ transferId, answer: { leaseId, ...answer } }, { signal })
      }, signal)
      return state
    } finally {
      this.#underWay--
    }
  }

  /** No answer follows soon. */
  expectNone(): void {
    this.#expected?.[Symbol.dispose]()
  }
}
