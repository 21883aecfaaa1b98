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
  const { events, waitMs } = context
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<'late'>((resolve) => {
    if (waitMs !== null) timer = setTimeout(() => resolve('late'), Math.min(waitMs, TIMER_MS_MAX))
  })
  const over = Promise.race([log.answered.then(() => 'answered' as const), late, events.stopped])
  // While it is looked what was missed, nobody waits for it.
  over.catch(() => {})
  try {
    for (;;) {
      // Asked for before the look, so that no gap falls between the look and the wait.
      const gap = events.nextGap
      if (log.gapsBefore !== events.gapCount) await lookUntil(over, context, log)
      log.gapsBefore = null
      if ((await Promise.race([over, gap])) !== undefined) return
    }
  } finally {
    clearTimeout(timer)
    events.unsubscribe(log)
  }
}

/** Looks, but no longer than there is something to wait for. */
async function lookUntil(over: Promise<unknown>, context: SendContext, log: NotificationLog): Promise<void> {
  const enough = new AbortController()
  const looking = look(context, log, AbortSignal.any([context.signal, enough.signal]))
  // What it fails with once nobody waits for it is of no interest.
  looking.catch(() => {})
  try {
    await Promise.race([looking, over.catch(() => {})])
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof RemoteProblem) || error.code === 'credentials-invalid') throw error
    log.giveUp(error.problem)
  } finally {
    enough.abort()
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
