/** The answer when a receiver asks for a part: its content, or its address in the portal's storage. */
import { type DigestAlgorithm, parseContentDigest } from '../protocol/index.ts'
import { drain, throwIfProblem } from './answers.ts'
import type { CallOptions } from './calls.ts'
import type { HttpResponse } from './transport.ts'

/** A part on its way to the receiver. The caller verifies the body against the digest. */
export interface IncomingPart<Body> {
  readonly lengthBytes: number
  /** hex */
  readonly digest: string
  /** Whether another part follows. */
  readonly hasNext: boolean
  readonly body: Body
  /** Discards the unread rest of the body. */
  discard(): void
}

/** A part in the portal's storage. The caller fetches it with `PortalClient.linkedContent` and verifies it against the digest. */
export interface PartElsewhere {
  readonly link: string
  /** hex */
  readonly digest: string
  /** Whether another part follows. */
  readonly hasNext: boolean
}

/** How a receiver asks for a part. */
export interface PartQuestion {
  readonly leaseId: string
  readonly heldBytes: number
  readonly waitSeconds: number
  readonly digestAlgorithm: DigestAlgorithm
  /** How long the part is at most. */
  readonly partBytesMax: number
  /** Whether the part is long. */
  readonly isBulk?: boolean
}

export type PartArguments = [transferId: string, partNumber: number, question: PartQuestion, options?: CallOptions]

const REDIRECT = 307

/** Reads the head of an answer with content. @throws like `PortalClient.incomingPart` */
export async function incomingPartOf<Body extends AsyncIterable<Uint8Array>>(
  response: HttpResponse<Body>,
  digestAlgorithm: DigestAlgorithm,
  stallTimeoutMs: number,
): Promise<IncomingPart<Body>> {
  await throwIfProblem(response, stallTimeoutMs)
  try {
    const digest = parseContentDigest(digestAlgorithm, response.header('content-digest') ?? undefined)
    const lengthBytes = Number(response.header('content-length'))
    const hasNext = hasNextPart(response)
    return { lengthBytes, digest, hasNext, body: response.body, discard: () => response.discard() }
  } catch (error) {
    response.discard()
    throw error
  }
}

/** Reads the head of a redirect; null when the answer is not a redirect. @throws Problem when it does not name the part's digest */
export async function partElsewhereOf(
  response: HttpResponse<AsyncIterable<Uint8Array>>,
  digestAlgorithm: DigestAlgorithm,
  stallTimeoutMs: number,
): Promise<PartElsewhere | null> {
  const link = response.status === REDIRECT ? response.header('location') : null
  if (link === null) return null
  await drain(response, stallTimeoutMs)
  // RFC 9530: Content-Digest is about the content of this very message, so a redirect carries Repr-Digest.
  const digest = parseContentDigest(digestAlgorithm, response.header('repr-digest') ?? undefined)
  return { link, digest, hasNext: hasNextPart(response) }
}

/** Whether the answer has a link to the next part (RFC 8288 section 3). Other links may stand beside it. */
function hasNextPart(response: HttpResponse<AsyncIterable<Uint8Array>>): boolean {
  return /;\s*rel\s*=\s*(?:next(?=\s*(?:[;,]|$))|"(?:[^"]* )?next(?: [^"]*)?")/i.test(response.header('link') ?? '')
}
