/** What comes when a receiver asks for a part: its content, or an address at which the portal's storage has it. */
import { type DigestAlgorithm, parseContentDigest } from '../protocol/index.ts'
import { drain, throwIfProblem } from './answers.ts'
import type { CallOptions } from './portal-client.ts'
import type { HttpResponse } from './transport.ts'

/** A part on its way to the receiver. The body is to be verified against the digest. */
export interface IncomingPart<Body> {
  readonly lengthBytes: number
  /** hex */
  readonly digest: string
  readonly body: Body
  /** Gives up what has not been read of the body. */
  discard(): void
}

/** A part that is to be fetched elsewhere, by `PortalClient.linkedContent`, and verified against the digest. */
export interface PartElsewhere {
  readonly link: string
  /** hex */
  readonly digest: string
}

/** How a receiver asks for a part. */
export interface PartQuestion {
  readonly leaseId: string
  readonly heldBytes: number
  readonly waitSeconds: number
  readonly digestAlgorithm: DigestAlgorithm
}

export type PartArguments = [transferId: string, partNumber: number, question: PartQuestion, options?: CallOptions]

const REDIRECT = 307

/** Reads the head of an answer with content. @throws like `PortalClient.incomingPart` */
export async function incomingPartOf<Body extends AsyncIterable<Uint8Array>>(
  response: HttpResponse<Body>,
  digestAlgorithm: DigestAlgorithm,
  stallMs: number,
): Promise<IncomingPart<Body>> {
  await throwIfProblem(response, stallMs)
  try {
    const digest = parseContentDigest(digestAlgorithm, response.header('content-digest') ?? undefined)
    const lengthBytes = Number(response.header('content-length'))
    return { lengthBytes, digest, body: response.body, discard: () => response.discard() }
  } catch (error) {
    response.discard()
    throw error
  }
}

/** Reads the head of a redirect; null where the answer is none. @throws Problem when it does not name the part's digest */
export async function partElsewhereOf(
  response: HttpResponse<AsyncIterable<Uint8Array>>,
  digestAlgorithm: DigestAlgorithm,
  stallMs: number,
): Promise<PartElsewhere | null> {
  const link = response.status === REDIRECT ? response.header('location') : null
  if (link === null) return null
  await drain(response, stallMs)
  // RFC 9530: Content-Digest is that of the content of this very message; a redirect says Repr-Digest.
  return { link, digest: parseContentDigest(digestAlgorithm, response.header('repr-digest') ?? undefined) }
}
