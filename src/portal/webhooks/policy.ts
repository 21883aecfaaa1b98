/**
 * When a message is tried again, and when a webhook rests.
 *
 * A message that failed is put off with a growing pause of its own, so that one that its receiver cannot take delays no other. A
 * webhook whose tries fail in a row rests as a whole, and then one message tries whether it is back: a receiver that is away costs
 * a request now and then, however much waits for it. A receiver that says for how long it wants nothing (`Retry-After`) gets nothing for as
 * long.
 */
import { backoffMs } from '../../async/index.ts'
import type { WebhookOutcome, WebhookVerdict } from '../ledger/webhooks-contract.ts'
import type { PortalOptions } from '../options.ts'

const MINUTE_MS = 60_000
/** A receiver that is back gets its messages within this time. */
const REST_MS_MAX = 5 * MINUTE_MS
/** After so many failures in a row the receiver counts as away. Fewer may be about single messages. */
const AWAY_FAILURES = 3
/** RFC 9110 section 15.5.11: the receiver wants no more, ever. */
const GONE = 410

type RetryOptions = Pick<PortalOptions, 'webhookRetryMsMin' | 'webhookRetryMsMax'>

/** The pause after this try of a message, from 1. */
export function retryInMs(tries: number, { webhookRetryMsMin, webhookRetryMsMax }: RetryOptions): number {
  return Math.round(backoffMs(tries, { minMs: webhookRetryMsMin, maxMs: webhookRetryMsMax }))
}

/** @param failuresBefore tries in a row that had failed before these */
export function verdictOf(
  failuresBefore: number,
  outcomes: readonly WebhookOutcome[],
  { webhookRetryMsMin, webhookRetryMsMax }: RetryOptions,
): WebhookVerdict {
  const isGone = outcomes.some(({ status }) => status === GONE)
  const disabledFor = isGone ? `it answered with status ${GONE}: it wants no more` : null
  const askedMs = Math.max(0, ...outcomes.map((one) => (one.result === 'failed' ? one.retryAfterMs : 0)))
  if (outcomes.length === 0 || outcomes.some(({ result }) => result === 'delivered')) {
    return { failures: 0, pauseMs: askedMs, isBack: failuresBefore >= AWAY_FAILURES, disabledFor }
  }
  const failures = failuresBefore + 1
  const maxMs = Math.min(REST_MS_MAX, webhookRetryMsMax)
  return {
    failures,
    pauseMs: Math.max(askedMs, Math.round(backoffMs(failures, { minMs: webhookRetryMsMin, maxMs }))),
    isBack: false,
    disabledFor,
  }
}
