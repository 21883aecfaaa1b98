/**
 * Reads the body of one request and cuts it into parts, which go to the store or to memory, or are only compared. Every file in one
 * request is read in this way: small, announced, of unknown length, or repeated.
 *
 * While one part is made durable, the next one is read, because waiting for the disk would take as long as the rest.
 */
import type { Readable } from 'node:stream'
import type { Hasher } from '../../digests/index.ts'
import { checkManifest, type ManifestCheck, type PartSink } from '../../parts/index.ts'
import {
  type PartHead,
  type ReceivedPart,
  type ReceivePartOptions,
  receiveNextPart,
} from '../../parts/node-part-receiver.ts'
import { type DigestAlgorithm, Problem } from '../../protocol/index.ts'
import { minThroughputOf, type PortalOptions } from '../options.ts'
import type { PartsKey, Store } from '../store/contract.ts'

export interface Body {
  readonly source: Readable
  readonly signal: AbortSignal
  /** Gets all bytes of the body. */
  readonly extraHasher: Pick<Hasher, 'update'> | null
}

/** The part size, the sinks of the parts, and callbacks. An error of a callback ends the upload. */
export interface Splitting {
  readonly digestAlgorithm: DigestAlgorithm
  readonly partSizeBytes: number
  /** Where the body begins, if not at the beginning of the file: in this part, perhaps behind a head of it. */
  readonly start?: { readonly partNumber: number; readonly head: PartHead | null }
  openSink(partNumber: number): Promise<PartSink>
  beforePart?(): Promise<void>
  onBytes?(byteCount: number): void
  /** Called when a part is held, verified and durable. */
  afterPart?(partNumber: number, lengthBytes: number, digest: string): Promise<void>
}

/** The result of reading a body. */
export interface BodyParts {
  /** How far they reach in the file. */
  readonly sizeBytes: number
  /** The digests of the parts that came, in order, in hex. */
  readonly digests: readonly string[]
}

/** Options about the silence and the minimum rate of a body. */
type ReadOptions = Pick<PortalOptions, 'idleMs' | 'minBytesPerSecond' | 'minThroughputWindowMs'>

/**
 * Reads a body until it ends, or until it has reached `sizeBytes` of the file. The following bytes stay in the source.
 *
 * @throws Problem `part-incomplete` when the body breaks or stalls. Some parts may be held then, but none is being written: the caller
 *   removes them.
 */
export async function splitBody(
  options: ReadOptions,
  body: Body,
  splitting: Splitting,
  sizeBytes: number = Number.POSITIVE_INFINITY,
): Promise<BodyParts> {
  const { partSizeBytes, digestAlgorithm, start = { partNumber: 1, head: null } } = splitting
  const digests: string[] = []
  let takenBytes = (start.partNumber - 1) * partSizeBytes
  let durable: Promise<void> = Promise.resolve()
  const openSink = async (): Promise<PartSink> =>
    committingLater(await splitting.openSink(start.partNumber + digests.length), (committing) => {
      durable = both(durable, committing)
      seen(durable)
    })
  try {
    while (takenBytes < sizeBytes) {
      await splitting.beforePart?.()
      const lengthBytes = Math.min(partSizeBytes, sizeBytes - takenBytes)
      const limits = { partNumber: start.partNumber + digests.length, lengthBytes, digestAlgorithm }
      const earlier = durable
      const head = digests.length === 0 ? start.head : null
      const onBytes = (byteCount: number): void => splitting.onBytes?.(byteCount)
      const taken = await readNext(options, body, limits, openSink, { onBytes, head })
      await earlier
      if (taken === null) break
      digests.push(taken.digest)
      takenBytes += taken.lengthBytes
      durable = durable.then(() => splitting.afterPart?.(limits.partNumber, taken.lengthBytes, taken.digest))
      seen(durable)
      if (taken.lengthBytes < lengthBytes) break
    }
  } finally {
    await durable
  }
  return { sizeBytes: takenBytes, digests }
}

/** Whether a body has no further byte. @throws Problem `part-incomplete` when it breaks or stalls */
export async function isAtEnd(options: ReadOptions, body: Body, digestAlgorithm: DigestAlgorithm): Promise<boolean> {
  const limits = { partNumber: 1, lengthBytes: 1, digestAlgorithm }
  return (await readNext(options, body, limits, async () => discardingSink, {})) === null
}

function readNext(
  options: ReadOptions,
  { source, signal, extraHasher }: Body,
  limits: Parameters<typeof receiveNextPart>[1],
  openSink: () => Promise<PartSink>,
  also: Pick<ReceivePartOptions, 'onBytes' | 'head'>,
): Promise<ReceivedPart | null> {
  return receiveNextPart(source, limits, openSink, { ...readingOf(options, signal), extraHasher, ...also })
}

/** The limits for reading a body whose buffers have no other user. */
export function readingOf(options: ReadOptions, signal: AbortSignal) {
  return { idleMs: options.idleMs, minThroughput: minThroughputOf(options), signal, transfersOwnership: true }
}

/** @throws Problem `part-incomplete` when fewer bytes came */
export function requireAll(arrivedBytes: number, lengthBytes: number): void {
  if (arrivedBytes === lengthBytes) return
  throw new Problem('part-incomplete', { arrivedBytes, lengthBytes, detail: 'the content ended early' })
}

/** Sinks into the store. */
export function intoStore(store: Store, parts: PartsKey, digestAlgorithm: DigestAlgorithm): Splitting['openSink'] {
  return (partNumber) => store.openPart({ ...parts, partNumber }, digestAlgorithm)
}

/** Sinks into memory. @param gathered gets the bytes */
export function intoMemory(gathered: Uint8Array[]): Splitting['openSink'] {
  return async () => ({
    ...discardingSink,
    retainsBuffers: true,
    write: async (buffers) => void gathered.push(...buffers),
  })
}

/** Checks the held parts of a generation against the manifestDigest. If they are complete, they are durable when this resolves. */
export async function sealIfWhole(
  store: Store,
  generation: PartsKey & Parameters<typeof checkManifest>[0],
  digestAlgorithm: DigestAlgorithm,
  manifestDigest: string,
): Promise<ManifestCheck> {
  const verdict = checkManifest(generation, digestAlgorithm, await store.list(generation), manifestDigest)
  if (verdict.disposition === 'received') await store.seal(generation)
  return verdict
}

/** For bytes that are only compared. */
export const discardingSink: PartSink = { write: async () => {}, commit: async () => {}, discard: async () => {} }

/** A sink whose commit runs while the next part is read. The caller waits for all commits before it acknowledges anything. */
function committingLater(sink: PartSink, tell: (committing: Promise<void>) => void): PartSink {
  return {
    retainsBuffers: sink.retainsBuffers === true,
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
    ...(sink.keep === undefined ? {} : { keep: sink.keep.bind(sink) }),
  }
}

/** Waits until both have settled. @throws the error of the first one if it failed, otherwise of the second */
async function both(one: Promise<void>, other: Promise<void>): Promise<void> {
  await Promise.allSettled([one, other])
  await one
  await other
}

/** A failure before the promise is awaited does not count as unhandled. */
function seen(promise: Promise<unknown>): void {
  promise.catch(() => {})
}
