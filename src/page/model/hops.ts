/**
 * The model of the picture that the page draws, the same as in README.md. A file takes two hops, from sender to portal
 * and from portal to receiver. One notification comes back for each hop. A hop shows only the progress that the other
 * side has acknowledged.
 */
import type { DeliveryStatus, Notification, ProblemJson, TransferState, TransferSummary } from '../../protocol/index.ts'

/** The state of one hop. */
export type Hop =
  /** Nothing has started, or the hop before it is not done. */
  | { readonly state: 'ahead' }
  /** `doneBytes` have been verified on the other side. `sizeBytes` is null while the size of a stream is not known. */
  | { readonly state: 'moving'; readonly doneBytes: number; readonly sizeBytes: number | null }
  /** The hop waits for a person, or for a receiver that is offline. */
  | { readonly state: 'held'; readonly doneBytes: number; readonly sizeBytes: number | null }
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

/** The size of a transfer in the portal's status; null where that tells only what has come of a stream so far. */
export function knownSizeBytes({ sizeBytes, isSizeKnown }: Pick<TransferSummary, 'sizeBytes' | 'isSizeKnown'>) {
  return isSizeKnown === false ? null : sizeBytes
}

/** The first hop of a transfer that is not active in this page, derived from the portal's status. */
export function pictureOf(
  { from, state, deliveries, ...size }: TransferSummary,
  notifications: readonly Notification[] = [],
): Picture {
  const sizeBytes = knownSizeBytes(size)
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

function firstHop(state: TransferState, sizeBytes: number | null, notifications: readonly Notification[]): Hop {
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

/** The second hop, derived from the portal's status of a delivery. */
export function secondHop(
  { receiver, state, fetchedBytes, problem }: DeliveryStatus,
  sizeBytes: number | null,
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

/** The drawn progress of a hop, from 0 to 1; null while the size of a stream is not known, and nothing can be said. */
export function shareOf(hop: Hop): number | null {
  switch (hop.state) {
    case 'ahead':
      return 0
    case 'done':
      return 1
    case 'failed':
      return 0
    default:
      if (hop.sizeBytes === null) return null
      return hop.sizeBytes === 0 ? 0 : Math.min(1, hop.doneBytes / hop.sizeBytes)
  }
}
