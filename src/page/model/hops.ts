/**
 * The picture that everything on the page is drawn by, the same as in README.md: a file goes by two hops, from sender to portal
 * and from portal to receiver, and for each of them one notification comes back. What a hop shows as done is only what
 * the other side has acknowledged.
 */
import type { DeliveryStatus, Notification, ProblemJson, TransferState, TransferSummary } from '../../protocol/index.ts'

/** How one hop stands. */
export type Hop =
  /** Nothing has begun, or the hop before it is not done. */
  | { readonly state: 'ahead' }
  /** `doneBytes` have been verified on the other side. */
  | { readonly state: 'moving'; readonly doneBytes: number; readonly sizeBytes: number }
  /** Somebody has to do something first: the person, or a receiver that is away. */
  | { readonly state: 'held'; readonly doneBytes: number; readonly sizeBytes: number }
  /** The notification came. @property at when, where that is known */
  | { readonly state: 'done'; readonly at: string | null }
  | { readonly state: 'failed'; readonly problem: ProblemJson | null; readonly at: string | null }

/** The second hop, to one of the receivers. */
export interface ReceiverHop {
  readonly receiver: string
  readonly hop: Hop
}

export interface Picture {
  readonly sender: string
  readonly first: Hop
  readonly second: readonly ReceiverHop[]
}

const ahead: Hop = { state: 'ahead' }

/** Where a transfer stands that nobody is working on in this page, by what the portal says of it. */
export function pictureOf(
  { from, state, sizeBytes, deliveries }: TransferSummary,
  notifications: readonly Notification[] = [],
): Picture {
  const first = firstHop(state, sizeBytes, notifications)
  return {
    sender: from,
    first,
    second: deliveries.map((delivery) => ({
      receiver: delivery.receiver,
      hop: state === 'stored' || state === 'ended' ? secondHop(delivery, sizeBytes, notifications) : ahead,
    })),
  }
}

function firstHop(state: TransferState, sizeBytes: number, notifications: readonly Notification[]): Hop {
  switch (state) {
    case 'receiving':
      return { state: 'held', doneBytes: 0, sizeBytes }
    case 'stored':
    case 'ended':
      return { state: 'done', at: notifications.find(({ notification }) => notification === 'stored')?.at ?? null }
    default: {
      const refusal = notifications.find(({ notification }) => notification === 'refused')
      const problem = refusal?.notification === 'refused' ? refusal.problem : null
      return { state: 'failed', problem, at: refusal?.at ?? null }
    }
  }
}

/** How the second hop stands, by what the portal says of a delivery. */
export function secondHop(
  { receiver, state, fetchedBytes, problem }: DeliveryStatus,
  sizeBytes: number,
  notifications: readonly Notification[] = [],
): Hop {
  const told = notifications.find((one) => 'receiver' in one && one.receiver === receiver)
  switch (state) {
    case 'waiting':
      return { state: 'held', doneBytes: fetchedBytes, sizeBytes }
    case 'offered':
      return { state: 'moving', doneBytes: fetchedBytes, sizeBytes }
    case 'delivered':
      return { state: 'done', at: told?.at ?? null }
    case 'failed':
      return { state: 'failed', problem: problem ?? null, at: told?.at ?? null }
  }
}

/** From 0 to 1: how far along a hop is drawn. */
export function shareOf(hop: Hop): number {
  switch (hop.state) {
    case 'ahead':
      return 0
    case 'done':
      return 1
    case 'failed':
      return 0
    default:
      return hop.sizeBytes === 0 ? 0 : Math.min(1, hop.doneBytes / hop.sizeBytes)
  }
}
