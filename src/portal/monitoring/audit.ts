/**
 * The audit log: one JSON line for each event that matters to security, independent of the log level.
 *
 * A line has `audit` (the event), `time`, and `account`, `address` and `requestId` if they are known. No line has a secret, or a hash
 * or a part of one. Of a token it has only the public id.
 *
 * Clients can cause some events at will. Those are limited to one line a second for each event and address (refusals) or account
 * (changes of its own), with a `count` of the events. Otherwise one client could fill the disk.
 */
import type { Logger } from 'pino'
import { Problem, type ProblemCode } from '../../protocol/index.ts'
import type { AccountChangeKind } from '../ledger/accounts-contract.ts'

/** Events of refused requests. They are counted by address, for a limited number of addresses. */
export type RefusalEvent = 'authentication-failed' | 'invite-failed' | 'link-failed' | 'access-denied'

/** Events that an account can cause at will. They are counted by account, without a limit on accounts, because an operator made each. */
export type AccountEvent =
  | 'invite-redeemed'
  | 'keys-set'
  | 'keys-changed'
  | 'guests-made'
  | 'request-made'
  | 'request-closed'
  | 'request-joined'
  | 'upload-made'
  | 'upload-cancelled'
  | 'webhook-made'
  | 'webhook-removed'

/** All events. The names are stable; SECURITY.md lists them. */
export type AuditEvent = RefusalEvent | AccountEvent | AccountChangeKind | 'connections-cut' | 'webhook-disabled'

/** The members of a line. Never put a secret into them. */
export interface AuditDetails {
  readonly account?: string | undefined
  readonly address?: string | undefined
  readonly requestId?: string | undefined
  readonly [member: string]: unknown
}

const BOUND_MS = 1_000
/** Events from further addresses in the same second are counted together. */
const ADDRESSES_MAX = 100
const OTHER_ADDRESSES = 'others'

type CountedEvent = RefusalEvent | AccountEvent

interface Counted {
  /** How many events came since the last line. */
  count: number
  /** The details of the last event. */
  details: AuditDetails
}

export class Audit implements Disposable {
  readonly #log: Logger
  /** Counters by event, so that one frequent event does not suppress another, and by address or account. */
  readonly #counted = new Map<CountedEvent, Map<string, Counted>>()
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()

  /** @param log the portal's log; if it is `silent`, the audit log is, too */
  constructor(log: Logger) {
    this.#log = log.level === 'silent' ? log : log.child({}, { level: 'info' })
  }

  /** Writes the line of an event. For events that a client can cause at will, use `refused` or `did`. */
  write(event: Exclude<AuditEvent, CountedEvent>, details: AuditDetails = {}): void {
    this.#write(event, details)
  }

  /** Writes a line about a refusal, or counts it for the address's next line. */
  refused(event: RefusalEvent, details: AuditDetails): void {
    const counted = this.#countedOf(event)
    const key = String(details.address)
    if (counted.has(key) || counted.size < ADDRESSES_MAX) this.#count(event, key, details)
    else this.#count(event, OTHER_ADDRESSES, { address: OTHER_ADDRESSES })
  }

  /** Writes a line about an account's change, or counts it for the account's next line. */
  did(event: AccountEvent, details: AuditDetails): void {
    this.#count(event, String(details.account), details)
  }

  #write(event: AuditEvent, details: AuditDetails): void {
    this.#log.info({ audit: event, ...details })
  }

  #countedOf(event: CountedEvent): Map<string, Counted> {
    const counted = this.#counted.get(event) ?? new Map<string, Counted>()
    this.#counted.set(event, counted)
    return counted
  }

  #count(event: CountedEvent, key: string, details: AuditDetails): void {
    const counted = this.#countedOf(event)
    const known = counted.get(key)
    if (known !== undefined) {
      known.count++
      known.details = details
      return
    }
    this.#write(event, { ...details, count: 1 })
    counted.set(key, { count: 0, details })
    this.#laterTell(event, key)
  }

  /** After a second, writes a line about the counted events and starts the next second; without events, forgets the address or account. */
  #laterTell(event: CountedEvent, key: string): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      const isMore = this.#tell(event, key)
      if (isMore) this.#laterTell(event, key)
    }, BOUND_MS)
    timer.unref()
    this.#timers.add(timer)
  }

  #tell(event: CountedEvent, key: string): boolean {
    const counted = this.#countedOf(event)
    const one = counted.get(key)
    if (one === undefined || one.count === 0) {
      counted.delete(key)
      return false
    }
    this.#write(event, { ...one.details, count: one.count })
    one.count = 0
    return true
  }

  /** Writes lines about all counted events, and stops. */
  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const [event, counted] of this.#counted) for (const key of [...counted.keys()]) this.#tell(event, key)
    this.#counted.clear()
  }
}

/** The reason of a refusal, only for the audit log. As the cause of a problem it is never sent to a client. */
class RefusalReasonError extends Error {
  override readonly name = 'RefusalReasonError'
  readonly event: RefusalEvent
  readonly details: AuditDetails

  constructor(event: RefusalEvent, details: AuditDetails) {
    super(event)
    this.event = event
    this.details = details
  }
}

/** A problem without a reason for the client, with the reason for the audit log as its cause. */
export function refusal(code: ProblemCode, event: RefusalEvent, details: AuditDetails = {}): Problem {
  return new Problem(code, {}, { cause: new RefusalReasonError(event, details) })
}

/** The answer for a transfer of another account: `not-found`, with the reason for the audit log. */
export function notTheirs(transferId: string): Problem {
  return refusal('not-found', 'access-denied', { transferId })
}

/** The audit log's event for a problem; null for problems that it does not log. */
export function reasonOf({ cause }: Problem): { event: RefusalEvent; details: AuditDetails } | null {
  return cause instanceof RefusalReasonError ? cause : null
}
