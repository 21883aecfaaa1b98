/** Services and helpers of the routes, and the types that Fastify needs for them. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify'
import {
  type GuestKind,
  hasPreference,
  interimPreference,
  Problem,
  redirectPreference,
  waitSecondsMax,
} from '../../protocol/index.ts'
import type { Caller } from '../accounts/accounts.ts'
import type { OpenRequests } from '../accounts/open-requests.ts'
import type { PortalContext } from '../context.ts'
import type { Deliveries } from '../deliveries/deliveries.ts'
import type { AccountEvent, AuditDetails } from '../monitoring/audit.ts'
import type { ResumableUploads } from '../uploads/resumable/index.ts'
import type { Transfers } from '../uploads/transfers.ts'
import type { SchemaTypes } from './validation.ts'

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, SchemaTypes>

export interface Services {
  readonly context: PortalContext
  readonly transfers: Transfers
  readonly uploads: ResumableUploads
  readonly deliveries: Deliveries
  readonly openRequests: OpenRequests
  /** Aborts when the portal stops, and ends every waiting request. */
  readonly stop: AbortSignal
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * How a large body arrives; without this, a body is small and read at once. `streamed`: it may take long as long as bytes
     * arrive. `asked for`: the same, and the route itself decides when the client may begin to send it.
     */
    body?: 'streamed' | 'asked for'
    /** The kinds of guests that may use the route; none without it. */
    guests?: readonly GuestKind[]
  }
  interface FastifyRequest {
    /** The account of the request's token; null on routes that need none. */
    account: Caller | null
    /**
     * Counts the further items of a batch like requests of their own. @throws Problem `rate-limited`
     */
    countItems: (count: number) => void
  }
}

/** The account of an authenticated request. */
export function accountOf(request: FastifyRequest): Caller {
  if (request.account === null) throw new Problem('credentials-invalid')
  return request.account
}

/** Writes to the audit log what an account changed about itself. */
export function audit(
  { context }: Services,
  request: FastifyRequest,
  event: AccountEvent,
  account: string,
  details: AuditDetails = {},
): void {
  context.audit.did(event, { ...whoAsks(request), account, ...details })
}

/** The members that every line of the audit log about a request has. */
export function whoAsks(request: FastifyRequest): AuditDetails {
  return { account: request.account?.name, address: request.ip, requestId: request.id }
}

/** How long the client wants the answer to be held (`Prefer: wait=N`, RFC 7240 section 4.3), within bounds. */
export function waitMsOf(request: FastifyRequest): number {
  return Math.min(preferredWaitMs(request) ?? 0, waitSecondsMax * 1000)
}

/** The same without bounds; null when the client does not ask for it. */
export function preferredWaitMs({ headers }: FastifyRequest): number | null {
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?/i.exec(String(headers.prefer ?? ''))?.[1]
  return seconds === undefined ? null : Number(seconds) * 1000
}

/** Whether the client wants a held JSON answer instead of an event stream, because a proxy holds streams back. */
export function wantsHeldAnswer({ headers }: FastifyRequest): boolean {
  const accept = headers.accept ?? ''
  return accept.includes('application/json') && !accept.includes('text/event-stream')
}

/** Whether the client prefers an address in the storage: `Prefer: redirect`, perhaps among other preferences (RFC 7240). */
export function prefersRedirect({ headers }: FastifyRequest): boolean {
  return hasPreference(preferOf(headers), redirectPreference)
}

/** Whether the client asks for interim answers, which proves that it can tell them from the final answer. */
export function prefersInterim({ headers }: FastifyRequest): boolean {
  return hasPreference(preferOf(headers), interimPreference)
}

function preferOf({ prefer }: FastifyRequest['headers']): string | undefined {
  return Array.isArray(prefer) ? prefer.join(',') : prefer
}

/** One error for all requests: its stack trace is useless, and making one costs more than the rest of a small request. */
const CLIENT_GONE = new Error('the client has gone')

/** A signal that aborts when the client disconnects or the portal stops. */
export function goneSignal(reply: FastifyReply, stop: AbortSignal): AbortSignal {
  const gone = new AbortController()
  // It may have gone while the request was authenticated.
  if (reply.raw.destroyed) gone.abort(CLIENT_GONE)
  else reply.raw.once('close', () => gone.abort(CLIENT_GONE))
  return AbortSignal.any([gone.signal, stop])
}
