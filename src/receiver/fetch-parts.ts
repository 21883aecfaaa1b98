/**
 * Fetches the missing parts of a file, a few at a time and in the order of their numbers. While the file is still on its way
 * to the portal, the parts arrive there in that order.
 *
 * A part with bad or missing bytes is deleted and fetched again; good parts are kept.
 */
import {
  AdaptiveConcurrency,
  type ConcurrencyBounds,
  type IncomingPart,
  largeBytesMin,
  NoResponseError,
  type PartArguments,
  type PartElsewhere,
  type PartInFlight,
  type PortalClient,
  RemoteProblem,
} from '../client/index.ts'
import { digestOf } from '../digests/index.ts'
import type { MinThroughput } from '../parts/index.ts'
import {
  missingParts,
  type Offer,
  type PartRange,
  Problem,
  type ProblemCode,
  partCount,
  partSpan,
  waitSecondsMax,
} from '../protocol/index.ts'
import type { ContentKey, PartSeal } from '../trust/index.ts'
import type { IncomingFile, PartBody, PartialLayout } from './incoming-file.ts'
import type { LeasedOffer } from './leased-offer.ts'

export interface FetchOptions<Body extends PartBody> {
  readonly client: PortalClient<Body>
  readonly leased: LeasedOffer
  readonly partial: IncomingFile<Body>
  /** The sizes of the parts as they travel. */
  readonly layout: PartialLayout
  /** Null where the transfer is not sealed. */
  readonly contentKey: ContentKey | null
  readonly partsInFlight: ConcurrencyBounds
  /** A connection that brings no byte for this time has stalled. */
  readonly idleMs: number
  readonly links: Links
  /** Called with the number of bytes that came directly from the portal's storage. */
  readonly onRedirected: (byteCount: number) => void
  /** Called when a part could not be fetched from the storage. It is then fetched from the portal. */
  readonly onLinkFailed: (reason: string) => void
  /** Called when another part is verified and durable. */
  readonly onHeld: () => void
  /** Called when bad content was deleted and will be fetched again. */
  readonly onRepeat: (problem: Problem) => void
  /** Tells the portal that content was corrupt. @throws DeliveryFailedError when the portal gives up */
  readonly askAgain: (problem: Problem, wanted: readonly PartRange[]) => Promise<void>
}

/** The portal answered a `resend` by ending the delivery. */
export class DeliveryFailedError extends Error {
  override readonly name = 'DeliveryFailedError'
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message)
    this.problem = problem
  }
}

/** After this many answers of a wrong length the receiver assumes that the portal's copy is truncated. */
const WRONG_LENGTHS_MAX = 3

/** A link gets less time than the portal, because the portal is the alternative. */
const LINK_IDLE_MS_MAX = 10_000
const LINK_MIN_THROUGHPUT: MinThroughput = { bytesPerSecond: 4 * 1024, windowMs: 10_000 }

/** The answer does not have the length of the part. */
class WrongLengthError extends NoResponseError {
  readonly problem: Problem

  constructor(partNumber: number, offeredBytes: number, lengthBytes: number) {
    const detail = 'the portal has the part in another length than its transfer says'
    super(detail)
    this.problem = new Problem('part-incomplete', { partNumber, offeredBytes, lengthBytes, detail }, { cause: this })
  }
}

/** Whether the portal says that a stream ends before this part. */
function isBehindEnd(error: unknown): boolean {
  return error instanceof RemoteProblem && error.code === 'part-unknown'
}

/**
 * Fetches until every part is held; of a stream that has not ended, until a part behind its end is asked for.
 *
 * @throws what `LeasedOffer.retry` throws; DeliveryFailedError; what `Inbox.meaningOf` knows
 */
export async function fetchMissingParts<Body extends PartBody>(
  options: FetchOptions<Body>,
  signal: AbortSignal,
): Promise<void> {
  const missing = missingParts(options.layout, options.partial.held)
  if (missing.length > 0 && (await receiveInlineContent(options, signal))) {
    options.onHeld()
    return signal.throwIfAborted()
  }
  const ending = new AbortController()
  const partSignal = AbortSignal.any([signal, ending.signal])
  const places = new AdaptiveConcurrency(options.partsInFlight, () => options.client.roundTrips.shortestMs)
  const underway = new Set<Promise<void>>()
  const failures: unknown[] = []
  let isStreamOver = false
  const fetch = async (partNumber: number): Promise<void> => {
    try {
      await fetchPart(options, partNumber, places.started(), partSignal)
    } catch (error) {
      if (options.layout.isSizeKnown === false && isBehindEnd(error)) {
        isStreamOver = true
        return
      }
      failures.push(error)
      ending.abort(error)
    }
  }
  for (const partNumber of numbersOf(missing)) {
    const isTooEarly = (): boolean => options.partial.tree?.isTooEarly(partNumber) === true && underway.size > 0
    while (underway.size >= places.allowed || isTooEarly()) await Promise.race(underway)
    if (partSignal.aborted || isStreamOver) break
    const fetching = fetch(partNumber).finally(() => underway.delete(fetching))
    underway.add(fetching)
  }
  // Waits for all parts, because none may write any more when the caller deletes or renames the file.
  await Promise.all(underway)
  // When the portal gives up on one part, a request for another part may be the first to learn that the delivery has ended.
  const failed = failures.find((error) => error instanceof DeliveryFailedError) ?? failures[0]
  if (failed !== undefined) throw failed
  signal.throwIfAborted()
}

async function fetchPart<Body extends PartBody>(
  options: FetchOptions<Body>,
  partNumber: number,
  inFlight: PartInFlight,
  signal: AbortSignal,
): Promise<void> {
  let isFirstTry = true
  while (true) {
    let wrongLengths = 0
    const fetch = async (offer: Offer): Promise<void> => {
      if (!isFirstTry) inFlight.disturbed()
      isFirstTry = false
      try {
        await fetchOnce(options, offer, { partNumber, inFlight, signal })
      } catch (error) {
        // The portal checks its own copy only when the receiver reports a bad part.
        if (error instanceof WrongLengthError && ++wrongLengths === WRONG_LENGTHS_MAX) throw error.problem
        throw error
      }
    }
    try {
      await options.leased.retry(fetch, signal)
      inFlight.ended(partSpan(options.layout, partNumber).lengthBytes)
      options.onHeld()
      return
    } catch (error) {
      if (!(error instanceof Problem && error.next === 'resend')) throw error
      options.onRepeat(error)
      await options.askAgain(error, [[partNumber, partNumber]])
    }
  }
}

/**
 * Receives the content that came with the offer. It comes without a digest, but such a file has only one part, and its
 * manifestDigest is compared before anything is committed.
 *
 * @returns false when no usable content came
 */
async function receiveInlineContent<Body extends PartBody>(
  options: FetchOptions<Body>,
  signal: AbortSignal,
): Promise<boolean> {
  const { leased, layout, partial, idleMs } = options
  const partNumber = 1
  if (partCount(layout) !== partNumber) return false
  const content = leased.consumeInlineContent()
  const { lengthBytes } = partSpan(layout, partNumber)
  if (content?.length !== lengthBytes) return false
  const { digestAlgorithm } = layout
  const digest = digestOf(digestAlgorithm, content)
  const seal = sealOf(options, leased.offer.transferId, partNumber)
  await partial.receivePart(
    { partNumber, lengthBytes, digestAlgorithm, digest, seal, body: content },
    { idleMs, signal },
  )
  return true
}

/** The key and position with which a part was sealed; null where the transfer is not sealed. */
function sealOf<Body extends PartBody>(
  { contentKey, layout }: FetchOptions<Body>,
  transferId: string,
  partNumber: number,
  isLast: boolean = partNumber === partCount(layout),
): PartSeal | null {
  return contentKey === null ? null : { partKey: contentKey.partKey, position: { transferId, partNumber, isLast } }
}

/** What is known of a part once its answer has begun. Of a stream that has not ended, the answer tells it. */
interface ExpectedPart {
  readonly lengthBytes: number
  readonly isLast: boolean
}

/** @throws WrongLengthError */
function expectedOf(
  { partSizeBytes, isSizeKnown, ...layout }: PartialLayout,
  partNumber: number,
  offered: { readonly lengthBytes: number; readonly hasNext: boolean } | null,
): ExpectedPart {
  const known = partSpan({ ...layout, partSizeBytes }, partNumber)
  if (isSizeKnown === false && offered !== null) {
    const { lengthBytes, hasNext } = offered
    const isPossible = hasNext ? lengthBytes === partSizeBytes : lengthBytes >= 1 && lengthBytes <= partSizeBytes
    if (!isPossible) throw new WrongLengthError(partNumber, lengthBytes, partSizeBytes)
    return { lengthBytes, isLast: !hasNext }
  }
  if (offered !== null && offered.lengthBytes !== known.lengthBytes) {
    throw new WrongLengthError(partNumber, offered.lengthBytes, known.lengthBytes)
  }
  return { lengthBytes: known.lengthBytes, isLast: partNumber === partCount({ ...layout, partSizeBytes }) }
}

/** One try at one part. */
interface Try {
  readonly partNumber: number
  readonly inFlight: PartInFlight
  readonly signal: AbortSignal
}

/**
 * @throws NoResponseError when the content broke off or the answer is invalid, for instance WrongLengthError; Problem
 *   `digest-mismatching-value`
 */
async function fetchOnce<Body extends PartBody>(options: FetchOptions<Body>, offer: Offer, one: Try): Promise<void> {
  const { client, links, onRepeat } = options
  const { partNumber, inFlight, signal } = one
  const askedAtMs = performance.now()
  const noteWait = (answeredAtMs: number): void => {
    // When the answer took longer than its content, it may have waited until the part arrived at the portal.
    const isWaitedFor = answeredAtMs - askedAtMs > performance.now() - answeredAtMs
    if (offer.state === 'receiving' && isWaitedFor) inFlight.disturbed()
  }
  const question = questionOf(options, offer, one)
  let found: IncomingPart<Body> | PartElsewhere | null = null
  // The address of a part in the storage does not tell how long it is.
  if (links.areWanted && options.layout.isSizeKnown !== false) {
    found = await client.partOrLink(...question).catch((cause: unknown) => {
      if (cause instanceof Problem) links.failed()
      return withoutDigest(cause)
    })
    if ('link' in found) {
      const answeredAtMs = performance.now()
      if (await fetchLinked(options, offer, one, found)) return noteWait(answeredAtMs)
      inFlight.disturbed()
      found = null
    }
  }
  const incoming = found ?? (await client.incomingPart(...question).catch(withoutDigest))
  const answeredAtMs = performance.now()
  try {
    const { body, digest } = incoming
    const expected = expectedOf(options.layout, partNumber, incoming)
    await receive(options, offer, one, { body, digest, ...expected })
    noteWait(answeredAtMs)
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'part-incomplete') throw error
    if (!signal.aborted) onRepeat(error)
    throw new NoResponseError(error.message, { cause: error })
  } finally {
    incoming.discard()
  }
}

function questionOf<Body extends PartBody>(
  { partial, layout, idleMs }: FetchOptions<Body>,
  { transferId, leaseId, state }: Offer,
  { partNumber, signal }: Try,
): PartArguments {
  const waitSeconds = state === 'receiving' ? waitSecondsMax : 0
  const { digestAlgorithm } = layout
  // Of a stream that has not ended, every part but the last is as long as that.
  const { lengthBytes: partBytesMax } = partSpan(layout, partNumber)
  const isBulk = partBytesMax >= largeBytesMin
  const question = { leaseId, heldBytes: partial.heldBytes, waitSeconds, digestAlgorithm, partBytesMax, isBulk }
  return [transferId, partNumber, question, { stallTimeoutMs: idleMs, signal }]
}

/** The answer's digest is missing or invalid: a proxy between portal and receiver changes headers. */
function withoutDigest(cause: unknown): never {
  throw cause instanceof Problem ? new NoResponseError(cause.message, { cause }) : cause
}

/**
 * Fetches a part from its address in the portal's storage.
 *
 * @returns false when that failed for any reason: nothing was kept, and the caller fetches from the portal
 * @throws errors of the file; the reason of the signal
 */
async function fetchLinked<Body extends PartBody>(
  options: FetchOptions<Body>,
  offer: Offer,
  one: Try,
  part: PartElsewhere,
): Promise<boolean> {
  const { client, links, onRedirected, onLinkFailed } = options
  const { partNumber, signal } = one
  const idleMs = Math.min(options.idleMs, LINK_IDLE_MS_MAX)
  try {
    const { body, discard } = await client.linkedContent(part.link, { stallTimeoutMs: idleMs, signal })
    try {
      const arriving = { body, digest: part.digest, ...expectedOf(options.layout, partNumber, null) }
      // A limit makes every storage slow.
      const speed = client.rateBounds === null ? { minThroughput: LINK_MIN_THROUGHPUT } : {}
      await receive(options, offer, one, arriving, { idleMs, ...speed })
    } finally {
      discard()
    }
  } catch (error) {
    signal.throwIfAborted()
    const isOfContent = error instanceof Problem && CONTENT_FAULTS.has(error.code)
    if (!(error instanceof NoResponseError) && !isOfContent) throw error
    links.failed()
    onLinkFailed(error.message)
    return false
  }
  links.worked()
  onRedirected(partSpan(options.layout, partNumber).lengthBytes)
  return true
}

/** Problems about the bytes of a part. */
const CONTENT_FAULTS: ReadonlySet<string> = new Set<ProblemCode>(['part-incomplete', 'digest-mismatching-value'])

/** Receives the bytes of a part, from the portal or from its storage. */
async function receive<Body extends PartBody>(
  options: FetchOptions<Body>,
  { transferId }: Offer,
  { partNumber, signal }: Try,
  { body, digest, lengthBytes, isLast }: ExpectedPart & { readonly body: Body; readonly digest: string },
  limits: { readonly idleMs: number; readonly minThroughput?: MinThroughput } = { idleMs: options.idleMs },
): Promise<void> {
  const { digestAlgorithm } = options.layout
  const seal = sealOf(options, transferId, partNumber, isLast)
  await options.partial.receivePart(
    { partNumber, lengthBytes, digestAlgorithm, digest, seal, body },
    { ...limits, signal },
  )
}

function* numbersOf(ranges: readonly PartRange[]): Generator<number> {
  for (const [first, last] of ranges) {
    for (let partNumber = first; partNumber <= last; partNumber++) yield partNumber
  }
}

/** After this many failures in a row no links are tried for a while. */
const FAILURES_MAX = 3
const PAUSE_MS = 10 * 60_000

/** Decides whether to ask for links. All deliveries of a receiver share one. */
export class Links {
  readonly #canFollow: boolean
  #failures = 0
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  constructor(canFollow: boolean) {
    this.#canFollow = canFollow
  }

  get areWanted(): boolean {
    return this.#canFollow && performance.now() >= this.#pausedUntilMs
  }

  worked(): void {
    this.#failures = 0
  }

  failed(): void {
    this.#failures++
    if (this.#failures < FAILURES_MAX) return
    this.#pausedUntilMs = performance.now() + PAUSE_MS
    // After the pause, a single failure starts the next pause.
    this.#failures = FAILURES_MAX - 1
  }
}
