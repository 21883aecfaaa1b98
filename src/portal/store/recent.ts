/**
 * Wraps a store and keeps parts in memory for a moment after they were stored. A receiver that waits for a part gets it from
 * there, once, instead of from the disk. The wrapped store alone decides which parts are held and durable. The memory is bounded
 * and freed after a moment.
 */

import { Readable } from 'node:stream'
import { releaseBuffer } from '../../buffers/index.ts'
import { timerMs } from '../../protocol/index.ts'
import type { PartContent, PartKey, PartPlace, Store, StoreSink } from './contract.ts'

export interface RecentOptions {
  /** Memory for all these parts together, including parts that are just arriving. */
  readonly bytesMax: number
  /** How long a part is kept. After that no receiver waits for it. */
  readonly keepMs: number
}

/** @param store the wrapped, durable store */
export function recentParts(store: Store, options: RecentOptions): Store {
  const recent = new RecentParts(options)
  return {
    ...forwarded(store),
    async openPart(place, digestAlgorithm) {
      const sink = await store.openPart(place, digestAlgorithm)
      return recent.watch(sink, place)
    },
    async read(key, range) {
      const buffers = range === undefined ? recent.take(key) : null
      if (buffers === null) return store.read(key, range)
      return contentOf(buffers)
    },
    async removePart(key) {
      recent.forget(key.transferId)
      await store.removePart(key)
    },
    async removeParts(parts) {
      recent.forget(parts.transferId)
      await store.removeParts(parts)
      recent.forget(parts.transferId)
    },
    async remove(transferId) {
      recent.forget(transferId)
      await store.remove(transferId)
      // Again, for parts that arrived during the removal.
      recent.forget(transferId)
    },
  }
}

/** The methods that the wrapped store handles unchanged. */
function forwarded(
  store: Store,
): Pick<
  Store,
  | 'traits'
  | 'owner'
  | 'claim'
  | 'find'
  | 'findBeforePut'
  | 'movePart'
  | 'list'
  | 'linkTo'
  | 'seal'
  | 'held'
  | 'freeBytes'
  | 'close'
> {
  return {
    traits: store.traits,
    owner: () => store.owner(),
    claim: (owner, first) => store.claim(owner, first),
    find: (place) => store.find(place),
    findBeforePut: (place) => store.findBeforePut(place),
    movePart: (key, generation) => store.movePart(key, generation),
    list: (parts) => store.list(parts),
    linkTo: store.linkTo,
    seal: (parts) => store.seal(parts),
    held: () => store.held(),
    freeBytes: () => store.freeBytes(),
    close: () => store.close(),
  }
}

function contentOf(buffers: readonly Uint8Array[]): PartContent {
  const lengthBytes = bytesOf(buffers)
  return { lengthBytes, partBytes: lengthBytes, stream: Readable.from(buffers) }
}

interface RecentPart {
  readonly generation: string
  readonly digest: string
  readonly buffers: readonly Uint8Array[]
  readonly timer: ReturnType<typeof setTimeout>
}

class RecentParts {
  readonly #options: RecentOptions
  /** transferId -> part number -> part */
  readonly #transfers = new Map<string, Map<number, RecentPart>>()
  #usedBytes = 0

  constructor(options: RecentOptions) {
    this.#options = options
  }

  /** Wraps a sink and keeps the written buffers in memory, as long as there is room. */
  watch(sink: StoreSink, { transferId, generation, partNumber }: PartPlace): StoreSink {
    let kept: Uint8Array[] = []
    let isKeeping = true
    const drop = (): void => {
      isKeeping = false
      this.#giveBack(kept)
      kept = []
    }
    return {
      retainsBuffers: true,
      write: async (buffers) => {
        await sink.write(buffers)
        if (isKeeping && this.#usedBytes + bytesOf(buffers) > this.#options.bytesMax) drop()
        if (isKeeping) {
          this.#usedBytes += bytesOf(buffers)
          kept.push(...buffers)
        } else buffers.forEach(releaseBuffer)
      },
      commit: async (digest) => {
        await sink.commit(digest)
        if (isKeeping && kept.length > 0) this.#add(transferId, partNumber, { generation, digest, buffers: kept })
        isKeeping = false
        kept = []
      },
      commitAs: async (place, digest) => {
        drop()
        await sink.commitAs(place, digest)
      },
      discard: async () => {
        drop()
        await sink.discard()
      },
    }
  }

  /** Takes a part out of memory. Its buffers then belong to the caller. Null when it is not in memory. */
  take({ transferId, generation, partNumber, digest }: PartKey): readonly Uint8Array[] | null {
    const part = this.#transfers.get(transferId)?.get(partNumber)
    if (part?.digest !== digest || part.generation !== generation) return null
    this.#remove(transferId, partNumber, part)
    this.#usedBytes -= bytesOf(part.buffers)
    return part.buffers
  }

  forget(transferId: string): void {
    for (const [partNumber, part] of this.#transfers.get(transferId) ?? []) {
      this.#remove(transferId, partNumber, part)
      this.#giveBack(part.buffers)
    }
  }

  #add(transferId: string, partNumber: number, { generation, digest, buffers }: Omit<RecentPart, 'timer'>): void {
    const parts = this.#transfers.get(transferId) ?? new Map<number, RecentPart>()
    const before = parts.get(partNumber)
    if (before !== undefined) {
      clearTimeout(before.timer)
      this.#giveBack(before.buffers)
    }
    const part: RecentPart = {
      generation,
      digest,
      buffers,
      timer: setTimeout(() => {
        this.#remove(transferId, partNumber, part)
        this.#giveBack(buffers)
      }, timerMs(this.#options.keepMs)).unref(),
    }
    this.#transfers.set(transferId, parts.set(partNumber, part))
  }

  #remove(transferId: string, partNumber: number, { timer }: RecentPart): void {
    clearTimeout(timer)
    const parts = this.#transfers.get(transferId)
    parts?.delete(partNumber)
    if (parts?.size === 0) this.#transfers.delete(transferId)
  }

  #giveBack(buffers: readonly Uint8Array[]): void {
    this.#usedBytes -= bytesOf(buffers)
    buffers.forEach(releaseBuffer)
  }
}

function bytesOf(buffers: readonly Uint8Array[]): number {
  return buffers.reduce((sum, { length }) => sum + length, 0)
}
