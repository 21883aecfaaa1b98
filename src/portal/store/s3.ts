/**
 * Parts as objects of an S3 bucket, which any number of portals use at the same time (`s3/keys.ts` has their names).
 *
 * A part is spooled until its digest is known, and then put as one object in one request, whose content the server verifies against
 * the signed SHA-256. So an object exists as a whole or not at all, and is durable when S3 confirms it. Its name contains its
 * digest, so a repeated put writes the same content. When two portals put different contents under one number at the same moment,
 * both succeed. The older object counts, so that a late one never replaces one that was already acknowledged.
 */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { KeyedMutex } from '../../async/index.ts'
import { type DigestAlgorithm, Problem } from '../../protocol/index.ts'
import type { HeldGeneration, PartContent, PartKey, PartPlace, PartsKey, Store, StoreSink } from './contract.ts'
import type { S3Address } from './s3/address.ts'
import { keyOf, OWNER_KEY, partOf, partsPrefix, placePrefix, transferPrefix } from './s3/keys.ts'
import { Listings } from './s3/listings.ts'
import { PartStream } from './s3/part-stream.ts'
import { probe, type S3Traits } from './s3/probe.ts'
import { type ListedObject, type RequestOptions, S3Requests } from './s3/requests.ts'
import { Spool, type SpooledPart, type SpoolOptions } from './s3/spool.ts'

export interface S3StoreOptions extends RequestOptions {
  /** Where parts are kept until S3 has them. */
  readonly spool: SpoolOptions
  /** How long requests are retried at the start. Short, because an operator waits and no transfer is at stake. */
  readonly probeRetryMs: number
  /** How long removals are retried. Short, because the ledger remembers what is to be removed. */
  readonly removeRetryMs: number
}

export const s3StoreDefaults: S3StoreOptions = {
  retryMs: 30_000,
  connectMs: 5_000,
  idleMs: 20_000,
  connectionsMax: 256,
  // Several times the requests of one account, so that its slow receivers do not block those of others.
  readsMax: 1_024,
  onRequest: () => {},
  spool: { bytesMax: 256 * 1024 * 1024, folder: tmpdir() },
  probeRetryMs: 10_000,
  removeRetryMs: 5_000,
}

/**
 * Opens the store in an existing bucket. Credentials come from the environment, a profile or a role.
 *
 * @throws Problem `storage-unusable` with advice when the bucket lacks a needed ability
 */
export async function s3Store(address: S3Address, settings: Partial<S3StoreOptions> = {}): Promise<Store> {
  const options = { ...s3StoreDefaults, ...settings }
  const requests = new S3Requests(address, options)
  try {
    return new S3Store(requests, await probe(requests, address, options.probeRetryMs), options)
  } catch (error) {
    requests.close()
    throw error
  }
}

class S3Store implements Store {
  readonly traits = { isShared: true }
  readonly #requests: S3Requests
  readonly #s3: S3Traits
  readonly #options: S3StoreOptions
  readonly #spool: Spool
  readonly #listings = new Listings()
  /** Commits of one part number run one after another, so that two of this process cannot both find it free. */
  readonly #placings = new KeyedMutex()
  /** Running listings for parts that are to be put. They are shared, because the first parts of a transfer come several at a time. */
  readonly #firstLooks = new Map<string, Promise<unknown>>()

  constructor(requests: S3Requests, traits: S3Traits, options: S3StoreOptions) {
    this.#requests = requests
    this.#s3 = traits
    this.#options = options
    this.#spool = new Spool(options.spool)
  }

  async owner(): Promise<string | null> {
    const content = await this.#requests.get(OWNER_KEY, null)
    return content === null ? null : (await buffer(content.body)).toString().trim()
  }

  async claim(owner: string, { isOnlyFirst }: { isOnlyFirst: boolean }): Promise<void> {
    const isConditional = isOnlyFirst && this.#s3.canPutConditionally
    if (isOnlyFirst && !isConditional && (await this.owner()) !== null) return
    const bytes = Buffer.from(`${owner}\n`)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const content = () => Readable.from([bytes])
    await this.#requests.put({ key: OWNER_KEY, lengthBytes: bytes.length, sha256, isConditional, content })
  }

  async openPart(place: PartPlace, digestAlgorithm?: DigestAlgorithm): Promise<StoreSink> {
    const spooled = this.#spool.open()
    // S3 needs the SHA-256. If the part's digest is one, the content is not hashed again.
    const hash = digestAlgorithm === 'sha-256' ? null : createHash('sha256')
    const commitAs = async (final: PartPlace, digest: string): Promise<void> => {
      const sha256 = hash?.digest('hex') ?? digest
      try {
        await this.#placings.run(placePrefix(final), () => this.#place({ ...final, digest }, spooled, sha256))
      } finally {
        await spooled.discard()
      }
    }
    return {
      write: async (buffers) => {
        for (const bytes of buffers) hash?.update(bytes)
        await spooled.write(buffers)
      },
      commit: (digest) => commitAs(place, digest),
      commitAs,
      discard: () => spooled.discard(),
    }
  }

  async find(place: PartPlace): Promise<string | null> {
    return this.#listings.find(place) ?? this.#lookUp(place)
  }

  /**
   * Makes one listing for each transfer instead of one for each part. A part that was not in the listing, and that this process has
   * not put since, counts as missing.
   */
  async findBeforePut(place: PartPlace): Promise<string | null> {
    if (!this.#listings.isListed(place)) await this.#lookFirst(place)
    const isUncertain = this.#listings.recall(place) !== null || !this.#listings.isListed(place)
    return isUncertain ? this.find(place) : null
  }

  /** S3 copies the object by itself. The old one stays until its generation is removed. */
  movePart(key: PartKey, generation: string): Promise<void> {
    const final = { ...key, generation }
    return this.#placings.run(placePrefix(final), async () => {
      const held = await this.#lookUp(final)
      if (held === key.digest) return
      const { partNumber } = key
      if (held !== null) throw new Problem('part-conflict', { partNumber })
      if (!(await this.#requests.copy(keyOf(key), keyOf(final)))) throw new Problem('part-incomplete', { partNumber })
      this.#listings.add(final)
    })
  }

  async list(parts: PartsKey): Promise<ReadonlyMap<number, string>> {
    const startedAtMs = performance.now()
    const listed: ListedObject[] = []
    for await (const page of this.#requests.listAll(generationQuery(parts))) listed.push(...page)
    const held = oldestOfEach(listed)
    this.#listings.replace(parts, held, startedAtMs)
    return held
  }

  async read(key: PartKey, range?: { startByte: number; endByte: number }): Promise<PartContent | null> {
    const name = keyOf(key)
    const content = await this.#requests.get(name, range ?? null)
    if (content === null) {
      this.#listings.remove(key)
      return null
    }
    const startByte = range?.startByte ?? 0
    const endByte = startByte + content.lengthBytes - 1
    const stream = new PartStream(content, {
      startByte,
      retryMs: this.#options.retryMs,
      reopen: (nextByte, retryMs) => this.#requests.get(name, { startByte: nextByte, endByte }, retryMs),
    })
    return { lengthBytes: content.lengthBytes, partBytes: content.wholeBytes, stream }
  }

  linkTo = (key: PartKey, { lifetimeMs }: { readonly lifetimeMs: number }): Promise<string> =>
    this.#requests.linkTo(keyOf(key), lifetimeMs)

  async removePart(key: PartKey): Promise<void> {
    await this.#requests.delete([keyOf(key)], this.#options.removeRetryMs)
    this.#listings.remove(key)
  }

  /** Does nothing, because S3 has confirmed each part as durable. */
  async seal(): Promise<void> {}

  async removeParts(parts: PartsKey): Promise<void> {
    await this.#removeListed(generationQuery(parts))
    this.#listings.removeParts(parts)
  }

  async remove(transferId: string): Promise<void> {
    await this.#removeListed({ prefix: transferPrefix(transferId) })
    this.#listings.removeTransfer(transferId)
  }

  async *held(): AsyncGenerator<HeldGeneration> {
    let transferId = ''
    let newest = new Map<string, number>()
    for await (const page of this.#requests.listAll({ prefix: '' })) {
      for (const { key, modifiedAtMs } of page) {
        const part = partOf(key)
        if (part === null) continue
        // The keys of a transfer are consecutive, but those of one generation are not.
        if (part.transferId !== transferId) {
          yield* generationsOf(transferId, newest)
          transferId = part.transferId
          newest = new Map()
        }
        newest.set(part.generation, Math.max(modifiedAtMs, newest.get(part.generation) ?? 0))
      }
    }
    yield* generationsOf(transferId, newest)
  }

  freeBytes(): Promise<null> {
    return Promise.resolve(null)
  }

  async close(): Promise<void> {
    this.#requests.close()
    this.#spool.close()
  }

  async #place(key: PartKey, spooled: SpooledPart, sha256: string): Promise<void> {
    const { partNumber, digest } = key
    const isConditional = this.#s3.canPutConditionally
    const known = this.#listings.recall(key)
    // The cache may be outdated, because another portal may have removed the part. A repeated put would make an object look younger.
    if ((known !== null && known !== digest) || !isConditional) {
      const held = await this.#lookUp(key)
      if (held === digest) return
      if (held !== null) throw new Problem('part-conflict', { partNumber })
    }
    const { lengthBytes } = spooled
    const content = () => spooled.content()
    await this.#requests.put({ key: keyOf(key), lengthBytes, sha256, isConditional, content })
    this.#listings.add(key)
  }

  #lookFirst(parts: PartsKey): Promise<unknown> {
    const prefix = partsPrefix(parts)
    const underWay = this.#firstLooks.get(prefix)
    if (underWay !== undefined) return underWay
    const look = this.list(parts).finally(() => this.#firstLooks.delete(prefix))
    this.#firstLooks.set(prefix, look)
    return look
  }

  /** Looks up one part, and sometimes the following parts in the same request. */
  async #lookUp(place: PartPlace): Promise<string | null> {
    const prefix = placePrefix(place)
    const { objects, nextToken } = this.#listings.startLookUp(place)
      ? await this.#requests.list({ ...generationQuery(place), startAfter: prefix })
      : await this.#requests.list({ prefix: `${prefix}.` })
    const found = oldestOfEach(nextToken === null ? objects : completeNumbers(objects))
    this.#listings.endLookUp(place, found)
    return found.get(place.partNumber) ?? null
  }

  async #removeListed(query: { prefix: string; isFlat?: boolean }): Promise<void> {
    const { removeRetryMs } = this.#options
    for await (const page of this.#requests.listAll({ ...query, retryMs: removeRetryMs })) {
      await this.#requests.delete(
        page.map(({ key }) => key),
        removeRetryMs,
      )
    }
  }
}

function generationQuery(parts: PartsKey): { prefix: string; isFlat: boolean } {
  return { prefix: partsPrefix(parts), isFlat: true }
}

/** Part number -> digest. Of several objects with one number the oldest counts, for all portals. */
function oldestOfEach(objects: readonly ListedObject[]): Map<number, string> {
  const oldest = new Map<number, { digest: string; modifiedAtMs: number }>()
  for (const { key, modifiedAtMs } of objects) {
    const part = partOf(key)
    if (part === null) continue
    const { partNumber, digest } = part
    const other = oldest.get(partNumber)
    // Listings are sorted, so of two objects of the same age the one with the smaller digest counts.
    if (other === undefined || modifiedAtMs < other.modifiedAtMs) oldest.set(partNumber, { digest, modifiedAtMs })
  }
  return new Map([...oldest].map(([partNumber, { digest }]) => [partNumber, digest]))
}

/** The objects without those of the last number, because an older object of that number may be on the next page. */
function completeNumbers(objects: readonly ListedObject[]): ListedObject[] {
  const numberOf = ({ key }: ListedObject): number | undefined => partOf(key)?.partNumber
  const last = objects.at(-1)
  return last === undefined ? [] : objects.filter((one) => numberOf(one) !== numberOf(last))
}

function* generationsOf(transferId: string, newest: ReadonlyMap<string, number>): Generator<HeldGeneration> {
  for (const [generation, newestAtMs] of newest) yield { transferId, generation, newestAtMs }
}
