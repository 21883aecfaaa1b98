/**
 * Waits for the second notification of a stored file: `delivered` or `failed`, for each receiver.
 *
 * The portal has the file, so it may be unreachable meanwhile. The wait ends when every receiver has answered, when its time is
 * up, or when the portal turns out to have lost the file because it was restored from a backup.
 */
import { isAboutToken, RemoteProblem, RetryPolicy } from '../client/index.ts'
import { Problem, type TransferStatus, timerMs } from '../protocol/index.ts'
import { isLost, isUnknown, lossOf } from './answers.ts'
import type { SendContext } from './context.ts'
import type { NotificationLog } from './notification-log.ts'

/**
 * Resolves when the log has an answer of every receiver, when there will be none, or when `waitMs` has passed.
 *
 * @throws the signal's reason; RemoteProblem `credentials-invalid`
 */
export async function awaitReceivers(context: SendContext, log: NotificationLog): Promise<void> {
  const { events, waitMs } = context
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<'late'>((resolve) => {
    if (waitMs !== null) timer = setTimeout(() => resolve('late'), timerMs(waitMs))
  })
  const over = Promise.race([log.answered.then(() => 'answered' as const), late, events.stopped])
  // During a look it is not awaited, and a failure then must not count as unhandled.
  over.catch(() => {})
  try {
    for (;;) {
      // Taken before the look, so that no gap is missed between the look and the wait.
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

/** Looks until the look succeeds, or until the wait is over. */
async function lookUntil(over: Promise<unknown>, context: SendContext, log: NotificationLog): Promise<void> {
  const enough = new AbortController()
  const looking = look(context, log, AbortSignal.any([context.signal, enough.signal]))
  // Its failure is ignored once the wait is over.
  looking.catch(() => {})
  try {
    await Promise.race([looking, over.catch(() => {})])
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof RemoteProblem) || isAboutToken(error)) throw error
    log.giveUp(error.problem)
  } finally {
    enough.abort()
  }
}

/**
 * Reads the transfer's own log, which has the events that the stream missed. A stored transfer that the portal no longer knows or
 * holds is lost, and the wait ends.
 */
async function look(context: SendContext, log: NotificationLog, signal: AbortSignal): Promise<void> {
  const leave = await context.events.looks.acquire(signal)
  try {
    const status = await statusOf(context, log.transferId, signal)
    if (status === null) return log.lose(new Problem('transfer-lost'))
    if (isLost(status)) return log.lose(new Problem('transfer-lost', { detail: lossOf(status).title }))
    if (status.state === 'receiving') {
      return log.lose(new Problem('transfer-lost', { detail: 'it waits for the content that it held before' }))
    }
    for (const notification of status.notifications) {
      if (notification.notification !== 'resend') log.tell(notification)
    }
  } finally {
    leave()
  }
}

/** @returns null when the portal does not know the transfer */
async function statusOf(
  { client, onEvent }: SendContext,
  transferId: string,
  signal: AbortSignal,
): Promise<TransferStatus | null> {
  const retryPolicy = new RetryPolicy({
    answerTimeoutMs: Number.POSITIVE_INFINITY,
    signal,
    onRetry: (error, pauseMs) => onEvent({ type: 'silence', transferId, reason: error.message, pauseMs }),
  })
  try {
    return await retryPolicy.retry((bounds) => client.transfer(transferId, bounds))
  } catch (error) {
    if (isUnknown(error)) return null
    throw error
  }
}
