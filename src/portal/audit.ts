/**
 * The audit log: one JSON line for each thing that matters to security, whatever the level of the other log.
 *
 * A line has `audit` (its event), `time`, and what is known of `account`, `address` and `requestId`. No line has a
 * secret in it, nor a hash or a part of one: of a token only the public id.
 *
 * What anybody can cause at will, refusals that is, is bounded: one line a second for each event and address, with
 * the `count` of what it stands for. Otherwise a stranger could fill the disk.
 */
import type { Logger } from 'pino'
import { Problem, type ProblemCode } from '../protocol/index.ts'
import type { AccountChangeKind } from './ledger/accounts-contract.ts'

/** Caused by whoever makes requests, so bounded. */
export type RefusalEvent = 'authentication-failed' | 'invite-failed' | 'access-denied'

/** Every event there is. The names are stable; SECURITY.md lists them. */
export type AuditEvent =
  | RefusalEvent
  | AccountChangeKind
  | 'invite-redeemed'
  | 'connections-cut'
  | 'keys-set'
  | 'keys-changed'

/** What a line says about its event. Never put a secret into it. */
export interface AuditDetails {
  readonly account?: string | undefined
  readonly address?: string | undefined
  readonly requestId?: string | undefined
  readonly [member: string]: unknown
}

const BOUND_MS = 1_000
/** What comes from more addresses than this in one second is counted together. */
const ADDRESSES_MAX = 100
const OTHER_ADDRESSES = 'others'

interface Counted {
  /** How many came since the last line. */
  count: number
  /** Of the last one. */
  details: AuditDetails
}

export class Audit implements Disposable {
  readonly #log: Logger
  readonly #counted = new Map<string, Counted>()
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()

  /** @param log the portal's own; a `silent` one keeps this one silent too */
  constructor(log: Logger) {
    this.#log = log.level === 'silent' ? log : log.child({}, { level: 'info' })
  }

  /** Writes the line of an event. */
  write(event: AuditEvent, details: AuditDetails = {}): void {
    this.#log.info({ audit: event, ...details })
  }

  /** Writes the line of a refusal, or counts it for the next line about that address. */
  refused(event: RefusalEvent, details: AuditDetails): void {
    const known = this.#counted.get(keyOf(event, details))
    if (known !== undefined || this.#counted.size < ADDRESSES_MAX) this.#count(event, details, known)
    else {
      const others = { address: OTHER_ADDRESSES }
      this.#count(event, others, this.#counted.get(keyOf(event, others)))
    }
  }

  #count(event: RefusalEvent, details: AuditDetails, known: Counted | undefined): void {
    if (known !== undefined) {
      known.count++
      known.details = details
      return
    }
    this.write(event, { ...details, count: 1 })
    const key = keyOf(event, details)
    this.#counted.set(key, { count: 0, details })
    this.#laterTell(event, key)
  }

  /** After a second, tells what came meanwhile, and begins the next one; or forgets the address. */
  #laterTell(event: RefusalEvent, key: string): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      const isMore = this.#tell(event, key)
      if (isMore) this.#laterTell(event, key)
    }, BOUND_MS)
    timer.unref()
    this.#timers.add(timer)
  }

  #tell(event: RefusalEvent, key: string): boolean {
    const counted = this.#counted.get(key)
    if (counted === undefined || counted.count === 0) {
      this.#counted.delete(key)
      return false
    }
    this.write(event, { ...counted.details, count: counted.count })
    counted.count = 0
    return true
  }

  /** Tells what has been counted, and stops. */
  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const key of [...this.#counted.keys()]) this.#tell(key.split(' ', 1)[0] as RefusalEvent, key)
    this.#counted.clear()
  }
}

function keyOf(event: RefusalEvent, { address }: AuditDetails): string {
  return `${event} ${address}`
}

/** Why something was refused, for the audit log alone: as the cause of a problem it never travels. */
class RefusalReason extends Error {
  override readonly name = 'RefusalReason'
  readonly event: RefusalEvent
  readonly details: AuditDetails

  constructor(event: RefusalEvent, details: AuditDetails) {
    super(event)
    this.event = event
    this.details = details
  }
}

/** A problem that says nothing of why, and the reason for the audit log. */
export function refusal(code: ProblemCode, event: RefusalEvent, details: AuditDetails = {}): Problem {
  return new Problem(code, {}, { cause: new RefusalReason(event, details) })
}

/** There is a transfer, but it is somebody else's: to this account it does not exist. */
export function notTheirs(transferId: string): Problem {
  return refusal('not-found', 'access-denied', { transferId })
}

/** What the audit log is told of a problem; null for one that does not concern it. */
export function reasonOf({ cause }: Problem): { event: RefusalEvent; details: AuditDetails } | null {
  return cause instanceof RefusalReason ? cause : null
}
