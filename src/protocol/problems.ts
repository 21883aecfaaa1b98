/**
 * Every way in which one side can say no, in one table.
 *
 * A problem travels as `application/problem+json` (RFC 9457). Its `code` is stable: programs decide by it, and
 * `title` says the same to people. The table also says what the other side does about it, so that neither a
 * sender nor a portal nor a receiver ever has to guess from an HTTP status. PROTOCOL.md shows the same table;
 * a test keeps the two equal.
 */

/**
 * What the side that is told a problem does next.
 * - `fix`: the request was wrong; the same request will be wrong again.
 * - `resend`: what arrived was partial or corrupt and has been deleted; send those bytes again.
 * - `refused`: nothing more is wanted of this transfer.
 * - `retry`: not now; the same request may succeed after `Retry-After` or a back-off.
 */
export type NextStep = 'fix' | 'resend' | 'refused' | 'retry'

interface ProblemKind {
  readonly status: number
  readonly title: string
  readonly next: NextStep
}

/** code -> HTTP status, text, and what the other side does. */
export const problemKinds = {
  'request-invalid': { status: 400, title: 'The request is not of the documented form', next: 'fix' },
  'credentials-invalid': { status: 401, title: 'No valid token came with the request', next: 'fix' },
  'cross-site-request': { status: 403, title: 'A page of another site may not ask this', next: 'fix' },
  'not-found': { status: 404, title: 'There is nothing here for this account', next: 'fix' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time', next: 'retry' },
  'length-required': { status: 411, title: 'The request must say its Content-Length', next: 'fix' },
  'body-too-large': { status: 413, title: 'The request body is larger than this resource takes', next: 'fix' },
  'media-type-unsupported': { status: 415, title: 'The request body is of a type not taken here', next: 'fix' },
  'headers-too-large': { status: 431, title: 'The request headers are too large', next: 'fix' },
  'rate-limited': { status: 429, title: 'Too many requests came in a short time', next: 'retry' },
  'too-many-connections': { status: 429, title: 'The account has too many requests under way', next: 'retry' },
  internal: { status: 500, title: 'The portal made a mistake', next: 'retry' },
  unavailable: { status: 503, title: 'The portal is not ready to serve', next: 'retry' },

  'invite-invalid': { status: 404, title: 'This invite does not exist, is used or has run out', next: 'fix' },
  'too-many-invites': { status: 429, title: 'Too many invites are open', next: 'retry' },
  'account-exists': { status: 409, title: 'An account of that name exists already', next: 'fix' },
  'account-unknown': { status: 404, title: 'There is no account of that name', next: 'fix' },
  'account-revoked': { status: 410, title: 'The account has been revoked', next: 'refused' },

  'receiver-unknown': { status: 404, title: 'No account of that name can receive', next: 'refused' },
  'transfer-too-large': { status: 413, title: 'The transfer is larger than this portal takes', next: 'refused' },
  'part-size-unsuitable': { status: 400, title: 'The part size is outside the limits of this portal', next: 'fix' },
  'transfer-conflict': { status: 409, title: 'That transfer id was announced with other content', next: 'fix' },
  'transfer-closed': { status: 409, title: 'The transfer no longer takes content', next: 'fix' },
  'too-many-transfers': { status: 429, title: 'The account has too many open transfers', next: 'retry' },
  'storage-full': { status: 507, title: 'There is no room to store the transfer', next: 'refused' },
  'store-failed': { status: 500, title: 'The temporary storage is broken', next: 'refused' },

  'part-unknown': { status: 404, title: 'The transfer has no part of that number', next: 'fix' },
  'part-length-wrong': { status: 400, title: 'The part is not as long as its transfer says', next: 'fix' },
  'part-conflict': { status: 409, title: 'The part is held already, with other content', next: 'fix' },
  'part-incomplete': { status: 400, title: 'The part ended early or stalled; nothing of it was kept', next: 'resend' },
  'digest-required': { status: 400, title: 'The part must carry a Content-Digest', next: 'fix' },
  'digest-unsupported-algorithm': { status: 400, title: 'The digest algorithm is not the one agreed', next: 'fix' },
  'digest-invalid-value': { status: 400, title: 'The digest is not a valid value of its algorithm', next: 'fix' },
  'digest-mismatching-value': { status: 400, title: 'The content does not match its digest', next: 'resend' },

  'parts-missing': { status: 409, title: 'Parts of the transfer have not arrived', next: 'resend' },
  'manifest-mismatching': { status: 409, title: 'The parts do not make up the file announced', next: 'resend' },
  'upload-timeout': { status: 408, title: 'The sender went silent in the middle of the upload', next: 'resend' },
  'attempts-exhausted': { status: 409, title: 'The transfer failed more often than is allowed', next: 'refused' },
  cancelled: { status: 410, title: 'The sender cancelled the transfer', next: 'refused' },
  expired: { status: 410, title: 'The time of the transfer ran out', next: 'refused' },

  'part-pending': { status: 404, title: 'The part has not arrived at the portal yet', next: 'retry' },
  'lease-lost': { status: 409, title: 'The offer was withdrawn or made anew; wait for the next one', next: 'retry' },
  'delivery-ended': { status: 410, title: 'The delivery has ended already', next: 'refused' },
  'receiver-silent': { status: 504, title: 'The receiver never answered', next: 'refused' },
  'stored-part-corrupt': { status: 500, title: 'The copy in temporary storage has gone bad', next: 'refused' },

  'name-refused': { status: 422, title: 'The receiver does not write a file of that name', next: 'refused' },
  'disk-full': { status: 507, title: 'The receiver has no room for the file', next: 'refused' },
  'redirects-impossible': { status: 500, title: 'The store gives no addresses to send receivers to', next: 'fix' },
  'folder-unavailable': { status: 500, title: 'The folder cannot be used', next: 'refused' },
  'write-failed': { status: 500, title: 'The receiver could not write the file', next: 'refused' },

  'sealing-required': { status: 403, title: 'This portal takes sealed transfers only', next: 'refused' },
  declined: { status: 403, title: 'The receiver declined the file', next: 'refused' },
  'sender-not-accepted': { status: 403, title: 'The receiver does not take files from this sender', next: 'refused' },
  'keys-missing': { status: 409, title: 'The account has no keys yet', next: 'refused' },
  'keys-changed': { status: 409, title: 'The keys of the account are not those that are trusted', next: 'refused' },
  'signature-missing': { status: 422, title: 'The sender did not sign the transfer', next: 'refused' },
  'signature-invalid': { status: 422, title: 'The signature does not fit what it came with', next: 'refused' },
  'seal-unopenable': { status: 422, title: 'The seal cannot be opened with the keys of this account', next: 'refused' },
  'seal-broken': { status: 422, title: 'The content is not what the sender sealed', next: 'refused' },
  'transfer-too-old': { status: 422, title: 'The transfer is older than the receiver remembers', next: 'refused' },
  'receipt-invalid': { status: 422, title: 'The receipt does not prove the delivery', next: 'refused' },

  'source-changed': { status: 409, title: 'The file changed while it was being sent', next: 'refused' },
  'source-unreadable': { status: 400, title: 'The file cannot be read', next: 'fix' },
  'source-not-a-file': { status: 400, title: 'Only regular files can be sent so far', next: 'fix' },
  'insecure-transport': { status: 426, title: 'The address of the portal is not one to send a token to', next: 'fix' },
  'certificate-invalid': { status: 502, title: 'The TLS certificate cannot be used', next: 'fix' },
  'ledger-unusable': { status: 502, title: 'The ledger cannot be used', next: 'fix' },
  'storage-unusable': { status: 502, title: 'The storage cannot be used', next: 'fix' },
  'no-answer': { status: 504, title: 'The portal did not answer; assume that it has nothing', next: 'retry' },
} as const satisfies Record<string, ProblemKind>

/** A code of the table. */
export type ProblemCode = keyof typeof problemKinds

/**
 * A problem as it travels (RFC 9457 section 3). Members beyond these are passed on as they came; `code` is
 * usually one of {@link problemKinds}, but a newer peer may send one that this version does not know.
 */
export interface ProblemJson {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail?: string
  readonly [member: string]: unknown
}

/** The codes that RFC 9530's companion registers with IANA keep their registered address. */
const registeredTypes: ReadonlySet<string> = new Set([
  'digest-unsupported-algorithm',
  'digest-invalid-value',
  'digest-mismatching-value',
])

/** The `type` URI of a code. */
export function problemType(code: string): string {
  return registeredTypes.has(code)
    ? `https://iana.org/assignments/http-problem-types#${code}`
    : `urn:golooader:problem:${code}`
}

/**
 * An error with a code of the table: the only kind that crosses from one side to the other.
 *
 * `details` become extra members of the problem; keep them small, and never put a secret in them.
 * The `detail` member, if given, is a sentence for people: what happened and what to do next.
 */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ProblemCode, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    const detail = typeof details.detail === 'string' ? `: ${details.detail}` : ''
    super(`${problemKinds[code].title}${detail}`, options)
    this.code = code
    this.details = details
  }

  /** The HTTP status that goes with the code. */
  get status(): number {
    return problemKinds[this.code].status
  }

  /** What the other side does about it. */
  get next(): NextStep {
    return problemKinds[this.code].next
  }

  toJSON(): ProblemJson {
    const { status, title } = problemKinds[this.code]
    return { ...this.details, type: problemType(this.code), title, status, code: this.code }
  }
}

/** Whether a code is one that this version knows. */
export function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(problemKinds, code)
}

/** What to do about a problem that came from the other side. An unknown code is judged by its status class. */
export function nextStepOf(problem: Pick<ProblemJson, 'code' | 'status'>): NextStep {
  if (isProblemCode(problem.code)) return problemKinds[problem.code].next
  return problem.status >= 500 || problem.status === 429 || problem.status === 408 ? 'retry' : 'fix'
}
