/**
 * A body of any length into the store, cut into parts on its way. It is the same taking in of parts as everywhere; what is
 * the portal's own here is where to cut, and the digests, which nobody has told it.
 *
 * While one part is made durable, the next one is read: waiting for the disk would cost as much as the rest.
 */
import type { Readable } from 'node:stream'
import type { Hasher } from '../digests/index.ts'
import type { PartSink } from '../hop/index.ts'
import { takeNextPart } from '../hop/node.ts'
import { type DigestAlgorithm, Problem } from '../protocol/index.ts'
import type { PortalContext } from './context.ts'
import { floorOf } from './options.ts'
import type { PartsKey } from './store/contract.ts'

export interface Body {
  readonly source: Readable
  readonly signal: AbortSignal
  /** Is shown all of it. */
  readonly beside: Pick<Hasher, 'update'> | null
}

/** How it is cut, and what happens on the way. What these throw ends it. */
export interface Cutting {
  readonly parts: PartsKey
  readonly partSizeBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  beforePart(): Promise<void>
  onBytes(byteCount: number): void
  /** The part is held, verified, durable. */
  afterPart(partNumber: number, lengthBytes: number): Promise<void>
}

/** What a body came to. */
export interface TakenBody {
  readonly sizeBytes: number
  /** Of its parts, in their order, in hex. */
  readonly digests: readonly string[]
}

/**
 * Takes a body to its end, which is after `sizeBytes` where that is known.
 *
 * @throws Problem `part-incomplete` when it breaks, stalls or ends early. Parts may be held then, none is under way: the caller removes them.
 */
export async function takeBody(
  context: PortalContext,
  body: Body,
  cutting: Cutting,
  sizeBytes: number | null,
): Promise<TakenBody> {
  const { parts, partSizeBytes, digestAlgorithm } = cutting
  const digests: string[] = []
  let takenBytes = 0
  let durable: Promise<void> = Promise.resolve()
  const openSink = async (): Promise<PartSink> => {
    const sink = await context.store.openPart({ ...parts, partNumber: digests.length + 1 }, digestAlgorithm)
    return committingLater(sink, (committing) => {
      durable = both(durable, committing)
      seen(durable)
    })
  }
  try {
    while (takenBytes !== sizeBytes) {
      await cutting.beforePart()
      const lengthBytes = Math.min(partSizeBytes, (sizeBytes ?? Number.POSITIVE_INFINITY) - takenBytes)
      const limits = { partNumber: digests.length + 1, lengthBytes, digestAlgorithm }
      const earlier = durable
      const taken = await takeNextPart(body.source, limits, openSink, optionsOf(context, body, cutting))
      await earlier
      if (taken === null) break
      digests.push(taken.digest)
      takenBytes += taken.lengthBytes
      durable = durable.then(() => cutting.afterPart(limits.partNumber, taken.lengthBytes))
      seen(durable)
      if (taken.lengthBytes < lengthBytes) break
    }
  } finally {
    await durable
  }
  if (sizeBytes !== null && takenBytes < sizeBytes) throw endedEarly(takenBytes, sizeBytes)
  return { sizeBytes: takenBytes, digests }
}

/** Takes a small body into memory. @throws Problem `part-incomplete` when it breaks, stalls or ends early */
export async function gatherBody(
  context: PortalContext,
  body: Body,
  sizeBytes: number,
  digestAlgorithm: DigestAlgorithm,
): Promise<Buffer> {
  const gathered: Uint8Array[] = []
  const sink: PartSink = {
    isKeeping: true,
    write: async (buffers) => {
      gathered.push(...buffers)
    },
    commit: async () => {},
    discard: async () => {},
  }
  if (sizeBytes === 0) return Buffer.alloc(0)
  const limits = { partNumber: 1, lengthBytes: sizeBytes, digestAlgorithm }
  const taken = await takeNextPart(body.source, limits, async () => sink, optionsOf(context, body, null))
  if (taken === null || taken.lengthBytes < sizeBytes) throw endedEarly(taken?.lengthBytes ?? 0, sizeBytes)
  return Buffer.concat(gathered)
}

function optionsOf({ options }: PortalContext, { signal, beside }: Body, cutting: Cutting | null) {
  return {
    idleMs: options.idleMs,
    floor: floorOf(options),
    signal,
    beside,
    isOwner: true,
    onBytes: (byteCount: number) => cutting?.onBytes(byteCount),
  }
}

/** A sink that is committed while somebody goes on, who has to wait for it before anything is promised. */
function committingLater(sink: PartSink, tell: (committing: Promise<void>) => void): PartSink {
  return {
    isKeeping: sink.isKeeping === true,
    write: (buffers) => sink.write(buffers),
    async commit(digest) {
      const committing = sink.commit(digest).catch(async (error: unknown) => {
        await sink.discard()
        throw error
      })
      seen(committing)
      tell(committing)
    },
    discard: () => sink.discard(),
  }
}

/** Waits for both to end, however they end. @throws what the first of them that failed does */
async function both(one: Promise<void>, other: Promise<void>): Promise<void> {
  await Promise.allSettled([one, other])
  await one
  await other
}

/** Its failure is seen by whoever waits for it next; until then it is not "unhandled". */
function seen(promise: Promise<unknown>): void {
  promise.catch(() => {})
}

function endedEarly(arrivedBytes: number, lengthBytes: number): Problem {
  return new Problem('part-incomplete', { arrivedBytes, lengthBytes, detail: 'the content ended early' })
}
