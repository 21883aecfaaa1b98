/**
 * Waiting for the second notification: what became of a stored file on its way to its receivers.
 *
 * Whether the portal can be reached meanwhile does not matter, as it has the file. The wait ends when every receiver
 * has answered, or when its time is up.
 */
import { Patience, RemoteProblem } from '../client/index.ts'
import type { SendContext } from './context.ts'
import type { NotificationLog } from './notification-log.ts'

/** A timer of Node that is set for longer goes off at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

/**
 * Resolves when the log holds an answer of every receiver, or when `waitMs` has passed.
 *
 * @throws the signal's reason; RemoteProblem `credentials-invalid`
 */
export async function awaitReceivers(context: SendContext, log: NotificationLog): Promise<void> {
  const over = new AbortController()
  const signal = AbortSignal.any([context.signal, over.signal])
  const timer =
    context.waitMs === null ? undefined : setTimeout(() => over.abort(), Math.min(context.waitMs, TIMER_MS_MAX))
  log.answered.then(
    () => over.abort(),
    (error) => over.abort(error),
  )
  try {
    for (;;) {
      // Asked for before the look, so that no gap falls between the look and the wait.
      const gap = context.events.gap(signal)
      gap.catch(() => {})
      if (log.gapsBefore !== context.events.gapCount) await look(context, log, signal)
      log.gapsBefore = null
      await gap
    }
  } catch (error) {
    context.signal.throwIfAborted()
    // A receipt that could not be looked at is a failure of its own.
    if (over.signal.aborted) return await Promise.race([log.answered, Promise.resolve()])
    if (!(error instanceof RemoteProblem) || error.code === 'credentials-invalid') throw error
    log.giveUp(error.problem)
  } finally {
    clearTimeout(timer)
    over.abort()
    context.events.unsubscribe(log.transferId)
  }
}

/** What happened while the event stream was not up is in the transfer's own log. */
async function look({ client, onEvent }: SendContext, log: NotificationLog, signal: AbortSignal): Promise<void> {
  const { transferId } = log
  const patience = new Patience({
    answerTimeoutMs: Number.POSITIVE_INFINITY,
    signal,
    onRetry: (error, pauseMs) => onEvent({ type: 'silence', transferId, reason: error.message, pauseMs }),
  })
  const status = await patience.insist(() => client.transfer(transferId, { stallMs: patience.stallMs, signal }))
  for (const notification of status.notifications) {
    if (notification.notification !== 'resend') log.tell(notification)
  }
}
