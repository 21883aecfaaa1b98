/**
 * All problems with which one side can refuse a request of the other, in one table.
 *
 * A problem travels as `application/problem+json` (RFC 9457). Its `code` is stable, so programs decide by it; its `title`
 * is for people. The table also says what the peer does next, so that no side has to guess from an HTTP status.
 * PROTOCOL.md shows the same table; a test keeps the two equal.
 */

/** The media type of a problem. */
export const problemMediaType = 'application/problem+json'

/**
 * What the side that gets a problem does next.
 * - `fix`: the request was wrong; the same request will be wrong again.
 * - `resend`: the bytes that arrived were partial or corrupt and have been deleted; send them again.
 * - `refused`: the transfer has failed; send nothing more of it.
 * - `retry`: not now; the same request may succeed after `Retry-After` or a back-off.
 */
export type NextStep = 'fix' | 'resend' | 'refused' | 'retry'

interface ProblemKind {
  readonly status: number
  readonly title: string
  readonly next: NextStep
}

/** code -> HTTP status, title, and what the peer does next. */
export const problemKinds = {
  'request-invalid': { status: 400, title: 'The request is not of the documented form', next: 'fix' },
  'credentials-invalid': { status: 401, title: 'The token of the request is not valid', next: 'fix' },
  'credentials-missing': { status: 401, title: 'No token came with the request', next: 'fix' },
  'cross-site-request': { status: 403, title: 'A page of another website must not make this request', next: 'fix' },
  'not-found': { status: 404, title: 'Nothing was found that this account may see', next: 'fix' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time', next: 'retry' },
  'length-required': { status: 411, title: 'The request must say its Content-Length', next: 'fix' },
  'tus-version-unsupported': { status: 412, title: 'This version of tus is not supported', next: 'fix' },
  'body-too-large': { status: 413, title: 'The request body is larger than this resource accepts', next: 'fix' },
  'media-type-unsupported': { status: 415, title: 'This resource does not accept this media type', next: 'fix' },
  'range-unsatisfiable': { status: 416, title: 'No byte of the part lies in that range', next: 'fix' },
  'headers-too-large': { status: 431, title: 'The request headers are too large', next: 'fix' },
  'rate-limited': { status: 429, title: 'Too many requests came in a short time', next: 'retry' },
  'too-many-connections': { status: 429, title: 'The account has too many open requests', next: 'retry' },
  internal: { status: 500, title: 'The portal failed because of an internal error', next: 'retry' },
  unavailable: { status: 503, title: 'The portal is not ready to serve', next: 'retry' },

  'invite-invalid': { status: 404, title: 'The invite is unknown, used up or expired', next: 'fix' },
  'too-many-invites': { status: 429, title: 'Too many invites are open', next: 'retry' },
  'account-exists': { status: 409, title: 'An account of that name exists already', next: 'fix' },
  'account-unknown': { status: 404, title: 'There is no account of that name', next: 'fix' },
  'account-revoked': { status: 410, title: 'The account has been revoked', next: 'refused' },

  'guests-off': { status: 403, title: 'This portal makes no links for people without an account', next: 'fix' },
  'guest-not-allowed': { status: 403, title: 'A guest may not make this request', next: 'fix' },
  'guest-conflict': { status: 409, title: 'The guest exists already, and is another one', next: 'fix' },
  'too-many-guests': { status: 429, title: 'The account has too many links', next: 'refused' },
  'link-invalid': { status: 404, title: 'The link is unknown, closed or expired', next: 'fix' },
  'link-taken': { status: 410, title: 'The file of this link was received already', next: 'refused' },
  'link-expired': { status: 410, title: 'The link expired before the file was received', next: 'refused' },
  'request-closed': { status: 410, title: 'The request for files was closed or has expired', next: 'refused' },
  'request-full': { status: 409, title: 'The request for files takes no more', next: 'refused' },

  'too-many-webhooks': { status: 409, title: 'The account has too many webhooks', next: 'fix' },
  'webhook-conflict': { status: 409, title: 'The webhook exists already, and is another one', next: 'fix' },
  'webhook-disabled': { status: 409, title: 'The webhook is disabled', next: 'fix' },
  'webhook-refused': { status: 400, title: 'The portal sends no webhooks to this address', next: 'fix' },

  'receiver-unknown': { status: 404, title: 'No account of that name can receive', next: 'refused' },
  'transfer-too-large': { status: 413, title: 'The transfer is larger than this portal accepts', next: 'refused' },
  'part-size-unsuitable': { status: 400, title: 'The part size is outside the limits of this portal', next: 'fix' },
  'transfer-conflict': { status: 409, title: 'The transfer id was already announced with other content', next: 'fix' },
  'transfer-closed': { status: 409, title: 'The transfer no longer accepts content', next: 'fix' },
  'too-many-transfers': { status: 429, title: 'The account has too many open transfers', next: 'retry' },
  'storage-full': { status: 507, title: 'There is no room to store the transfer', next: 'refused' },
  'store-failed': { status: 500, title: 'The temporary storage failed', next: 'refused' },

  'part-unknown': { status: 404, title: 'The transfer has no part of that number', next: 'fix' },
  'part-length-wrong': {
    status: 400,
    title: 'The part does not have the length that its transfer requires',
    next: 'fix',
  },
  'part-conflict': { status: 409, title: 'The portal already holds the part with other content', next: 'fix' },
  'part-incomplete': { status: 400, title: 'The part ended early or stalled; nothing of it was kept', next: 'resend' },
  'digest-required': { status: 400, title: 'The part must carry a Content-Digest', next: 'fix' },
  'digest-unsupported-algorithm': {
    status: 400,
    title: 'The digest algorithm is not supported, or not the one of the transfer',
    next: 'fix',
  },
  'digest-invalid-value': { status: 400, title: 'The digest is not a valid value of its algorithm', next: 'fix' },
  'digest-mismatching-value': { status: 400, title: 'The content does not match its digest', next: 'resend' },
  // "460 Checksum Mismatch" is a status of tus.
  'checksum-mismatching': {
    status: 460,
    title: 'The content of the request does not match its checksum',
    next: 'resend',
  },

  'parts-missing': { status: 409, title: 'Parts of the transfer have not arrived', next: 'resend' },
  'manifest-mismatching': { status: 409, title: 'The parts do not make up the announced file', next: 'resend' },
  'upload-timeout': { status: 408, title: 'The sender fell silent during the upload', next: 'resend' },
  'attempts-exhausted': { status: 409, title: 'The transfer failed more often than is allowed', next: 'refused' },
  cancelled: { status: 410, title: 'The sender cancelled the transfer', next: 'refused' },
  expired: { status: 410, title: 'The transfer expired', next: 'refused' },

  'mismatching-upload-offset': { status: 409, title: 'The upload is at another offset', next: 'fix' },
  'inconsistent-upload-length': { status: 400, title: 'The lengths of the upload do not agree', next: 'fix' },
  'upload-gone': { status: 410, title: 'The upload has ended and cannot be continued', next: 'resend' },

  'event-unknown': {
    status: 410,
    title: 'The portal does not know this event; ask for every transfer again',
    next: 'fix',
  },

  'part-pending': { status: 404, title: 'The part has not arrived at the portal yet', next: 'retry' },
  'lease-lost': { status: 409, title: 'The offer was withdrawn or replaced; wait for the next one', next: 'retry' },
  'instance-in-use': { status: 409, title: 'Another process receives as the same instance', next: 'refused' },
  'delivery-ended': { status: 410, title: 'The delivery has ended already', next: 'refused' },
  'receiver-silent': { status: 504, title: 'The receiver never answered', next: 'refused' },
  'stored-part-corrupt': { status: 500, title: 'The copy in temporary storage is damaged', next: 'refused' },

  'name-refused': { status: 422, title: 'The receiver does not write a file of that name', next: 'refused' },
  'disk-full': { status: 507, title: 'The receiver has no room for the file', next: 'refused' },
  'redirects-impossible': { status: 500, title: 'The store cannot make links for receivers', next: 'fix' },
  'folder-unavailable': { status: 500, title: 'The folder cannot be used', next: 'refused' },
  'outbox-busy': { status: 409, title: 'Another process watches the drop folder', next: 'retry' },
  'write-failed': { status: 500, title: 'The receiver could not write the file', next: 'refused' },
  'exec-failed': { status: 422, title: 'The import failed', next: 'refused' },

  'sealing-required': {
    status: 403,
    title: 'This portal accepts only sealed (end-to-end encrypted) transfers',
    next: 'refused',
  },
  declined: { status: 403, title: 'The receiver declined the file', next: 'refused' },
  'sender-not-accepted': { status: 403, title: 'The receiver does not accept files from this sender', next: 'refused' },
  'keys-missing': { status: 409, title: 'The account has no keys yet', next: 'refused' },
  'keys-changed': { status: 409, title: 'The keys of the account are not the trusted ones', next: 'refused' },
  'signature-missing': { status: 422, title: 'The sender did not sign the transfer', next: 'refused' },
  'signature-invalid': { status: 422, title: 'The signature is not valid for this content', next: 'refused' },
  'seal-unopenable': { status: 422, title: 'The seal cannot be opened with the keys of this account', next: 'refused' },
  'seal-broken': { status: 422, title: 'The content is not what the sender sealed', next: 'refused' },
  'tree-invalid': { status: 422, title: 'The content is not a tree of the documented form', next: 'refused' },
  'transfer-too-old': { status: 422, title: 'The transfer is older than the receiver remembers', next: 'refused' },
  'receipt-invalid': { status: 422, title: 'The receipt does not prove the delivery', next: 'refused' },

  'source-changed': { status: 409, title: 'The file changed while it was being sent', next: 'refused' },
  'source-unreadable': { status: 400, title: 'The file cannot be read', next: 'fix' },
  'source-not-a-file': { status: 400, title: 'Only regular files and folders can be sent', next: 'fix' },
  'source-incomplete': { status: 400, title: 'Something in the folder cannot be sent', next: 'fix' },
  'paths-invalid': { status: 400, title: 'These paths cannot be sent', next: 'fix' },
  'browser-failed': { status: 500, title: 'The browser failed', next: 'retry' },
  'options-invalid': { status: 400, title: 'The library was called with invalid options', next: 'fix' },
  'profile-unusable': { status: 400, title: 'The profile of this machine cannot be used', next: 'fix' },
  'portal-different': {
    status: 409,
    title: 'It is not certain that the same portal answers at this address',
    next: 'fix',
  },
  'insecure-transport': {
    status: 426,
    title: 'Not a safe portal address: plain http is allowed for loopback only',
    next: 'fix',
  },
  'setting-impossible': { status: 400, title: 'A setting of the portal is invalid', next: 'fix' },
  'certificate-invalid': { status: 502, title: 'The TLS certificate cannot be used', next: 'fix' },
  'proxy-refused': { status: 502, title: 'The HTTP proxy refuses the connection', next: 'fix' },
  'ledger-unusable': { status: 502, title: 'The ledger cannot be used', next: 'fix' },
  'ledger-moved': { status: 502, title: 'The ledger has moved to another place', next: 'fix' },
  'storage-unusable': { status: 502, title: 'The storage cannot be used', next: 'fix' },
  'stream-unsupported': {
    status: 501,
    title: 'This portal takes no content of unknown length',
    next: 'refused',
  },
  'stream-broken': {
    status: 410,
    title: 'The stream broke off and cannot be continued; send it again from its beginning',
    next: 'resend',
  },
  'transfer-lost': { status: 410, title: 'The portal no longer knows the transfer; send it again', next: 'resend' },
  'clock-off': { status: 409, title: 'The clocks of this machine and the portal differ', next: 'retry' },
  'no-answer': {
    status: 504,
    title: 'The portal did not answer; assume that it does not have the file',
    next: 'retry',
  },
} as const satisfies Record<string, ProblemKind>

/** A code of the table. */
export type ProblemCode = keyof typeof problemKinds

/**
 * A problem as it travels (RFC 9457 section 3). Members beyond these are passed on unchanged. `code` is usually one of
 * {@link problemKinds}, but a newer peer may send one that this version does not know.
 */
export interface ProblemJson {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail?: string
  readonly [member: string]: unknown
}

/** Codes for which another document registers a problem type with IANA. They keep the registered type. */
const registeredTypes: ReadonlySet<string> = new Set([
  'digest-unsupported-algorithm',
  'digest-invalid-value',
  'digest-mismatching-value',
  // draft-ietf-httpbis-resumable-upload
  'mismatching-upload-offset',
  'inconsistent-upload-length',
])

/** The `type` URI of a code. */
function problemType(code: string): string {
  return registeredTypes.has(code)
    ? `https://iana.org/assignments/http-problem-types#${code}`
    : `urn:golooader:problem:${code}`
}

/**
 * An error with a code of the table. Only such errors are sent to a peer.
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

  /** What the peer does next. */
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

/** What to do about a problem of the peer. For an unknown code, the class of its status decides. */
export function nextStepOf(problem: Pick<ProblemJson, 'code' | 'status'>): NextStep {
  if (isProblemCode(problem.code)) return problemKinds[problem.code].next
  return problem.status >= 500 || problem.status === 429 || problem.status === 408 ? 'retry' : 'fix'
}
