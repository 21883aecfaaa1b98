/** The events of a transfer, in order, in words. */
import type { Notification, ReceivedDelivery, TransferStatus } from '../../protocol/index.ts'
import { adviceForReceiver, adviceForSender } from './advice.ts'
import { calledOf } from './called.ts'
import type { Step } from './types.ts'

/**
 * The timeline of a transfer that this account sent.
 *
 * @param unproven receivers whose receipt proves nothing
 */
export function sentSteps(status: TransferStatus, unproven: ReadonlySet<string>): Step[] {
  const steps: Step[] = [plain(status.createdAt, 0, 'Announced to the portal')]
  for (const delivery of status.deliveries) {
    if (delivery.offeredAt !== undefined)
      steps.push(plain(delivery.offeredAt, 2, `Offered to ${called(delivery.receiver)}`))
  }
  for (const notification of status.notifications) steps.push(stepOf(notification, unproven))
  for (const { receiver, state, fetchedBytes } of status.deliveries) {
    if (state === 'waiting' && status.state === 'stored') steps.push(plain(null, 2, `Waiting for ${called(receiver)}`))
    if (state === 'offered' && fetchedBytes > 0) steps.push(plain(null, 2, `${called(receiver)} is fetching it`))
  }
  return inOrder(steps)
}

/** The timeline of a transfer that this account received. */
export function receivedSteps(delivery: ReceivedDelivery): Step[] {
  const { createdAt, storedAt, offeredAt, endedAt, from, state, problem } = delivery
  const steps: Step[] = [plain(createdAt, 0, `Announced by ${called(from)}`)]
  if (storedAt !== undefined) steps.push(plain(storedAt, 1, 'Stored: the portal has every byte'))
  if (offeredAt !== undefined) steps.push(plain(offeredAt, 2, 'Offered to you'))
  if (state === 'delivered') steps.push(plain(endedAt ?? null, 2, 'Delivered: you have it, and signed for it'))
  if (state === 'failed') {
    const advice = problem === undefined ? null : adviceForReceiver(problem)
    const isDeclined = problem?.code === 'declined'
    steps.push({
      at: endedAt ?? null,
      hop: 2,
      text: isDeclined ? 'You declined it' : 'Not delivered',
      problem: problem ?? null,
      advice,
    })
  }
  return inOrder(steps)
}

function stepOf(notification: Notification, unproven: ReadonlySet<string>): Step {
  const { at } = notification
  switch (notification.notification) {
    case 'stored':
      return plain(at, 1, 'Stored: the portal has every byte')
    case 'resend':
      return {
        ...{ at, hop: 1, problem: notification.problem, advice: null },
        text: 'The content was incomplete or damaged. The portal deleted the damaged parts and asked for them again',
      }
    case 'refused': {
      const { problem } = notification
      return { at, hop: 1, text: 'Refused', problem, advice: adviceForSender(problem, null) }
    }
    case 'delivered': {
      const { receiver } = notification
      return unproven.has(receiver)
        ? plain(at, 2, `The portal says that it was delivered to ${called(receiver)}, but the receipt proves nothing`)
        : plain(at, 2, `Delivered to ${called(receiver)}`)
    }
    case 'failed': {
      const { receiver, problem } = notification
      return {
        at,
        hop: 2,
        text: `Not delivered to ${called(receiver)}`,
        problem,
        advice: adviceForSender(problem, called(receiver)),
      }
    }
  }
}

/** A timeline names other accounts only. */
function called(name: string): string {
  return calledOf(name, '')
}

function plain(at: string | null, hop: Step['hop'], text: string): Step {
  return { at, hop, text, problem: null, advice: null }
}

/** A step without a time is still in progress and comes last. */
function inOrder(steps: Step[]): Step[] {
  return steps.sort((one, other) => {
    if (one.at === other.at) return 0
    if (one.at === null) return 1
    if (other.at === null) return -1
    return one.at < other.at ? -1 : 1
  })
}
