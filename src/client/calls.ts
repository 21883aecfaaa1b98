/** Options of the client's requests, and the messages of its streams. */
import type { Static, TSchema } from 'typebox'
import type { Arriving, Notification, Offer, ProblemJson, Progress, Withdrawal } from '../protocol/index.ts'
import type { HttpRequest } from './transport.ts'

/** The stall timeout of a call that sets none. */
export const stallTimeoutMsDefault = 20_000

/** Bounds of one request. */
export interface CallOptions {
  /** The request fails when the portal gives no sign of life for this time. Default: `stallTimeoutMsDefault`. */
  readonly stallTimeoutMs?: number
  readonly signal?: AbortSignal
}

/** Makes a request that is answered in JSON. */
export type AskJson = <Schema extends TSchema>(
  method: HttpRequest['method'],
  path: string,
  schema: Schema,
  content: unknown,
  options?: CallOptions,
) => Promise<Static<Schema>>

export function stallTimeoutMsOf({ stallTimeoutMs = stallTimeoutMsDefault }: CallOptions): number {
  return stallTimeoutMs
}

/** A message of the sender's event stream. `current` says that all earlier events have been replayed. */
export type SenderEvent =
  | { readonly type: 'notification'; readonly notification: Notification }
  | { readonly type: 'progress'; readonly progress: Progress }
  | { readonly type: 'arriving'; readonly arriving: Arriving }
  | { readonly type: 'current' }

/** A message of the receiver's inbox. `current` says that all waiting files have been offered. */
export type InboxEvent =
  | {
      readonly type: 'offer'
      readonly offer: Offer
      /** The lease did not begin before this, by `performance.now()`; -Infinity where the portal does not say. */
      readonly leasedAtMs: number
    }
  | { readonly type: 'withdrawn'; readonly withdrawal: Withdrawal }
  | { readonly type: 'current' }
  /** Another process has connected under the same instance id, and this stream ends. A live process connects again at once. */
  | { readonly type: 'contested'; readonly problem: ProblemJson }

/** How a receiving process identifies itself when it asks for offers. */
export interface InboxQuestion {
  /** Identifies the inbox; the same after a restart. */
  readonly instanceId: string
  /** Identifies this process; omitted where an inbox can have only one. */
  readonly processId?: string
  readonly window: number
  /** Whether the content of small files comes with their offers. */
  readonly isInline?: boolean
  /** How many bytes of content open offers bring at most. Default: as many as the portal likes. */
  readonly contentBytesMax?: number
  /** Whether streams are offered before their size is known. Only of portals that say that they take streams. */
  readonly areStreamsWanted?: boolean
}
