/** What the routes stand on, and the types that Fastify needs to know of them. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify'
import { Problem, waitSecondsMax } from '../../protocol/index.ts'
import type { AuditDetails, AuditEvent } from '../audit.ts'
import type { PortalContext } from '../context.ts'
import type { Deliveries } from '../deliveries.ts'
import type { Account } from '../ledger/contract.ts'
import type { OpenRequests } from '../open-requests.ts'
import type { Transfers } from '../transfers.ts'
import type { SchemaTypes } from './validation.ts'

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, SchemaTypes>

export interface Services {
  readonly context: PortalContext
  readonly transfers: Transfers
  readonly deliveries: Deliveries
  readonly openRequests: OpenRequests
  /** Aborts when the portal stops: whoever waits, ends. */
  readonly stop: AbortSignal
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * How the body comes, where it is not small, and taken at once: `streamed` may take long as long as it moves; of
     * `asked for` the route itself says when it may come, too.
     */
    body?: 'streamed' | 'asked for'
  }
  interface FastifyRequest {
    /** The account whose token came with the request; null where none is needed. */
    account: Account | null
  }
}

/** The account of an authenticated request. */
export function accountOf(request: FastifyRequest): Account {
  if (request.account === null) throw new Problem('credentials-invalid')
  return request.account
}

/** Writes the line of an event that a request caused into the audit log. */
export function audit({ context }: Services, request: FastifyRequest, event: AuditEvent, details?: AuditDetails): void {
  context.audit.write(event, { ...whoAsks(request), ...details })
}

/** What the audit log says of every request. */
export function whoAsks(request: FastifyRequest): AuditDetails {
  return { account: request.account?.name, address: request.ip, requestId: request.id }
}

/** How long the client wants the answer to be held: `Prefer: wait=N` (RFC 7240 section 4.3), bounded. */
export function waitMsOf(request: FastifyRequest): number {
  return Math.min(preferredWaitMs(request) ?? 0, waitSecondsMax * 1000)
}

/** The same as the client says it; null where it does not. */
export function preferredWaitMs({ headers }: FastifyRequest): number | null {
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?/i.exec(String(headers.prefer ?? ''))?.[1]
  return seconds === undefined ? null : Number(seconds) * 1000
}

/** Whether the client would rather fetch from elsewhere: `Prefer: redirect`, which may stand beside others (RFC 7240). */
export function prefersRedirect({ headers }: FastifyRequest): boolean {
  return /(?:^|,)\s*redirect\s*(?:[;,]|$)/i.test(String(headers.prefer ?? ''))
}

/** One for all: the trace of where it was made is of no use, and costs more than the rest of a small request. */
const CLIENT_GONE = new Error('the client has gone')

/** A signal that aborts when the client goes or the portal stops. */
export function goneSignal(reply: FastifyReply, stop: AbortSignal): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort(CLIENT_GONE))
  return AbortSignal.any([gone.signal, stop])
}
