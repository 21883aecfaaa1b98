/**
 * Fetching what is missing of a file, a few parts at a time, in the order of their numbers: while the file is still
 * on its way to the portal, that is the order in which they come.
 *
 * A part of which bytes are bad or missing is deleted and asked for again; the good ones are kept.
 */
import {
  type IncomingPart,
  type InFlightBounds,
  NoAnswer,
  type PartArguments,
  type PartElsewhere,
  type PartInFlight,
  PartsInFlight,
  type PortalClient,
} from '../client/index.ts'
import { digestOf } from '../digests/index.ts'
import type { Floor } from '../hop/index.ts'
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
import type { ContentKey } from '../trust/index.ts'
import type { IncomingFile, PartBody, PartialLayout, PartSeal } from './incoming-file.ts'
import type { Links } from './links.ts'
import type { StandingOffer } from './standing-offer.ts'

export interface FetchOptions<Body extends PartBody> {
  readonly client: PortalClient<Body>
  readonly standing: StandingOffer
  readonly partial: IncomingFile<Body>
  /** The sizes of what travels. */
  readonly layout: PartialLayout
  /** Null where nothing is sealed. */
  readonly contentKey: ContentKey | null
  readonly partsInFlight: InFlightBounds
  /** A connection that brings nothing for so long has stalled. */
  readonly idleMs: number
  readonly links: Links
  /** So many bytes of the part came from the portal's storage, and not by the portal. */
  readonly onRedirected: (byteCount: number) => void
  /** A part could not be had from there; the portal is asked for it. */
  readonly onLinkFailed: (reason: string) => void
  /** Another part is verified and durable. */
  readonly onHeld: () => void
  /** Bad content was deleted and will be fetched again. */
  readonly onRepeat: (problem: Problem) => void
  /** Tells the portal that content was corrupt. @throws DeliveryFailed when the portal gives up */
  readonly askAgain: (problem: Problem, wanted: readonly PartRange[]) => Promise<void>
}

/** The portal's answer to "resend" was that the delivery has failed. */
export class DeliveryFailed extends Error {
  override readonly name = 'DeliveryFailed'
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message)
    this.problem = problem
  }
}

/** So many answers of a wrong length are no accident of the way: the portal's own copy may be cut off. */
const WRONG_LENGTHS_MAX = 3

/** With another way at hand, less is borne of this one. */
const LINK_IDLE_MS_MAX = 10_000
const LINK_FLOOR: Floor = { bytesPerSecond: 4 * 1024, windowMs: 10_000 }

/** What came is not as long as the part is. */
class WrongLength extends NoAnswer {
  readonly problem: Problem

  constructor(partNumber: number, offeredBytes: number, lengthBytes: number) {
    const detail = 'the portal has the part in another length than its transfer says'
    super(detail)
    this.problem = new Problem('part-incomplete', { partNumber, offeredBytes, lengthBytes, detail }, { cause: this })
  }
}

/**
 * Fetches until every part is held.
 *
 * @throws what `StandingOffer.insist` throws; DeliveryFailed; what `Inbox.meaningOf` knows
 */
export async function fetchMissingParts<Body extends PartBody>(
  options: FetchOptions<Body>,
  signal: AbortSignal,
): Promise<void> {
  const ending = new AbortController()
  const partSignal = AbortSignal.any([signal, ending.signal])
  const places = new PartsInFlight(options.partsInFlight)
  const underway = new Set<Promise<void>>()
  const failures: unknown[] = []
  const fetch = async (partNumber: number): Promise<void> => {
    try {
      await fetchPart(options, partNumber, places.started(), partSignal)
    } catch (error) {
      failures.push(error)
      ending.abort(error)
    }
  }
  for (const partNumber of numbersOf(missingParts(options.layout, options.partial.held))) {
    while (underway.size >= places.allowed) await Promise.race(underway)
    if (partSignal.aborted) break
    const fetching = fetch(partNumber).finally(() => underway.delete(fetching))
    underway.add(fetching)
  }
  // All of them are waited for: none may still write when the caller deletes or renames the file.
  await Promise.all(underway)
  // When the portal gives up on one part, the request for another may find the delivery ended before that is heard.
  const failed = failures.find((error) => error instanceof DeliveryFailed) ?? failures[0]
  if (failed !== undefined) throw failed
  signal.throwIfAborted()
}

async function fetchPart<Body extends PartBody>(
  options: FetchOptions<Body>,
  partNumber: number,
  inFlight: PartInFlight,
  signal: AbortSignal,
): Promise<void> {
  if (await takeContent(options, partNumber, signal)) return options.onHeld()
  let isFirstTry = true
  while (true) {
    let wrongLengths = 0
    const fetch = async (offer: Offer): Promise<void> => {
      if (!isFirstTry) inFlight.disturbed()
      isFirstTry = false
      try {
        await fetchOnce(options, offer, { partNumber, inFlight, signal })
      } catch (error) {
        // The portal looks at its own copy only when it is told that the part is bad.
        if (error instanceof WrongLength && ++wrongLengths === WRONG_LENGTHS_MAX) throw error.problem
        throw error
      }
    }
    try {
      await options.standing.insist(fetch, signal)
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
 * Takes what came with the offer. Nobody says what its digest should be, but a file that comes so is of one part, and its
 * manifestDigest is compared before anything is committed.
 *
 * @returns false where nothing of use came
 */
async function takeContent<Body extends PartBody>(
  options: FetchOptions<Body>,
  partNumber: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { standing, layout, partial, idleMs } = options
  if (partNumber !== partCount(layout)) return false
  const content = standing.takeContent()
  const { lengthBytes } = partSpan(layout, partNumber)
  if (content === null || partNumber !== 1 || content.length !== lengthBytes) return false
  const { digestAlgorithm } = layout
  const digest = digestOf(digestAlgorithm, content)
  const seal = sealOf(options, standing.offer.transferId, partNumber)
  await partial.takePart({ partNumber, lengthBytes, digestAlgorithm, digest, seal, body: content }, { idleMs, signal })
  return true
}

/** By what a part was sealed; null where nothing is. */
function sealOf<Body extends PartBody>(
  { contentKey, layout }: FetchOptions<Body>,
  transferId: string,
  partNumber: number,
): PartSeal | null {
  if (contentKey === null) return null
  const position = { transferId, partNumber, isLast: partNumber === partCount(layout) }
  return { partKey: contentKey.partKey, position }
}

/** One try at one part. */
interface Try {
  readonly partNumber: number
  readonly inFlight: PartInFlight
  readonly signal: AbortSignal
}

/**
 * @throws NoAnswer when the content broke off or is not what a portal gives, WrongLength for one; Problem
 *   `digest-mismatching-value`
 */
async function fetchOnce<Body extends PartBody>(options: FetchOptions<Body>, offer: Offer, one: Try): Promise<void> {
  const { client, links, onRepeat } = options
  const { partNumber, inFlight, signal } = one
  const { lengthBytes } = partSpan(options.layout, partNumber)
  const askedAtMs = performance.now()
  const noteWait = (answeredAtMs: number): void => {
    // An answer that takes longer than its content may have waited for the part to come to the portal.
    const isWaitedFor = answeredAtMs - askedAtMs > performance.now() - answeredAtMs
    if (offer.state === 'receiving' && isWaitedFor) inFlight.disturbed()
  }
  const question = questionOf(options, offer, one)
  let found: IncomingPart<Body> | PartElsewhere | null = null
  if (links.areWanted) {
    found = await client.partOrLink(...question).catch((cause: unknown) => {
      if (cause instanceof Problem) links.failed()
      return withoutDigest(cause)
    })
    if ('link' in found) {
      const answeredAtMs = performance.now()
      if (await takeLinked(options, offer, one, found)) return noteWait(answeredAtMs)
      inFlight.disturbed()
      found = null
    }
  }
  const incoming = found ?? (await client.incomingPart(...question).catch(withoutDigest))
  const answeredAtMs = performance.now()
  try {
    if (incoming.lengthBytes !== lengthBytes) throw new WrongLength(partNumber, incoming.lengthBytes, lengthBytes)
    await take(options, offer, one, incoming)
    noteWait(answeredAtMs)
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'part-incomplete') throw error
    if (!signal.aborted) onRepeat(error)
    throw new NoAnswer(error.message, { cause: error })
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
  const question = { leaseId, heldBytes: partial.heldBytes, waitSeconds, digestAlgorithm: layout.digestAlgorithm }
  return [transferId, partNumber, question, { stallMs: idleMs, signal }]
}

/** The digest of the head cannot be read: something between the portal and here takes headers away. */
function withoutDigest(cause: unknown): never {
  throw cause instanceof Problem ? new NoAnswer(cause.message, { cause }) : cause
}

/**
 * Fetches a part from where the portal says that its storage has it.
 *
 * @returns false where that did not bring it, for whatever reason: nothing was kept, and the portal itself is to be asked
 * @throws errors of the file; the reason of the signal
 */
async function takeLinked<Body extends PartBody>(
  options: FetchOptions<Body>,
  offer: Offer,
  one: Try,
  part: PartElsewhere,
): Promise<boolean> {
  const { client, links, onRedirected, onLinkFailed } = options
  const { partNumber, signal } = one
  const idleMs = Math.min(options.idleMs, LINK_IDLE_MS_MAX)
  try {
    const { body, discard } = await client.linkedContent(part.link, { stallMs: idleMs, signal })
    try {
      await take(options, offer, one, { body, digest: part.digest }, { idleMs, floor: LINK_FLOOR })
    } finally {
      discard()
    }
  } catch (error) {
    signal.throwIfAborted()
    const isOfContent = error instanceof Problem && CONTENT_FAULTS.has(error.code)
    if (!(error instanceof NoAnswer) && !isOfContent) throw error
    links.failed()
    onLinkFailed(error.message)
    return false
  }
  links.worked()
  onRedirected(partSpan(options.layout, partNumber).lengthBytes)
  return true
}

/** What is said of bytes that are not those of the part. */
const CONTENT_FAULTS: ReadonlySet<string> = new Set<ProblemCode>(['part-incomplete', 'digest-mismatching-value'])

/** Takes the bytes of a part in, whoever brings them. */
async function take<Body extends PartBody>(
  options: FetchOptions<Body>,
  { transferId }: Offer,
  { partNumber, signal }: Try,
  { body, digest }: { readonly body: Body; readonly digest: string },
  limits: { readonly idleMs: number; readonly floor?: Floor } = { idleMs: options.idleMs },
): Promise<void> {
  const { digestAlgorithm } = options.layout
  const { lengthBytes } = partSpan(options.layout, partNumber)
  const seal = sealOf(options, transferId, partNumber)
  await options.partial.takePart(
    { partNumber, lengthBytes, digestAlgorithm, digest, seal, body },
    { ...limits, signal },
  )
}

function* numbersOf(ranges: readonly PartRange[]): Generator<number> {
  for (const [first, last] of ranges) {
    for (let partNumber = first; partNumber <= last; partNumber++) yield partNumber
  }
}
