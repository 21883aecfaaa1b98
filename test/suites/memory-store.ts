/** A store in memory, for tests of code that uses a store. */
import { Readable } from 'node:stream'
import type { PartPlace, PartsKey, Store } from '../../src/portal/store/contract.ts'
import { Problem } from '../../src/protocol/index.ts'

interface MemoryPart {
  readonly digest: string
  readonly bytes: Buffer
  readonly atMs: number
}

/** @param capacityBytes with more than this the store throws `storage-full` */
export function memoryStore({ capacityBytes = Number.POSITIVE_INFINITY } = {}): Store {
  /** transferId -> generation -> part number -> part */
  const transfers = new Map<string, Map<string, Map<number, MemoryPart>>>()
  let usedBytes = 0
  let owner: string | null = null

  const partsOf = ({ transferId, generation }: PartsKey) => transfers.get(transferId)?.get(generation)

  const digestOf = (place: PartPlace) => partsOf(place)?.get(place.partNumber)?.digest ?? null

  const forget = ({ transferId, generation, partNumber }: PartPlace): void => {
    const generations = transfers.get(transferId)
    const parts = generations?.get(generation)
    usedBytes -= parts?.get(partNumber)?.bytes.length ?? 0
    parts?.delete(partNumber)
    if (parts?.size === 0) generations?.delete(generation)
    if (generations?.size === 0) transfers.delete(transferId)
  }

  const removeParts = (key: PartsKey): void => {
    for (const partNumber of [...(partsOf(key)?.keys() ?? [])]) forget({ ...key, partNumber })
  }

  return {
    traits: { isShared: false },
    owner: async () => owner,
    claim: async (newOwner, { isOnlyFirst }) => {
      owner = isOnlyFirst ? (owner ?? newOwner) : newOwner
    },
    async openPart(place) {
      const gathered: Buffer[] = []
      let reservedBytes = 0
      const commitAs = async (final: PartPlace, digest: string): Promise<void> => {
        const { transferId, generation, partNumber } = final
        const before = partsOf(final)?.get(partNumber)
        if (before !== undefined && before.digest !== digest) throw new Problem('part-conflict', { partNumber })
        forget(final)
        const generations = transfers.get(transferId) ?? new Map<string, Map<number, MemoryPart>>()
        const parts = generations.get(generation) ?? new Map<number, MemoryPart>()
        parts.set(partNumber, { digest, bytes: Buffer.concat(gathered), atMs: Date.now() })
        transfers.set(transferId, generations.set(generation, parts))
      }
      return {
        async write(buffers) {
          const bytes = Buffer.concat(buffers)
          if (usedBytes + bytes.length > capacityBytes) {
            throw new Problem('storage-full', { freeBytes: capacityBytes - usedBytes })
          }
          usedBytes += bytes.length
          reservedBytes += bytes.length
          gathered.push(bytes)
        },
        commit: (digest) => commitAs(place, digest),
        commitAs,
        async discard() {
          usedBytes -= reservedBytes
        },
      }
    },
    find: async (place) => digestOf(place),
    findBeforePut: async (place) => digestOf(place),
    list: async (parts) => new Map([...(partsOf(parts) ?? [])].map(([partNumber, { digest }]) => [partNumber, digest])),
    async read(key, range) {
      const part = partsOf(key)?.get(key.partNumber)
      if (part?.digest !== key.digest) return null
      const bytes = range === undefined ? part.bytes : part.bytes.subarray(range.startByte, range.endByte + 1)
      return {
        lengthBytes: bytes.length,
        partBytes: part.bytes.length,
        stream: Readable.from(bytes.length === 0 ? [] : [bytes]),
      }
    },
    async movePart({ digest, ...place }, generation) {
      const { transferId, partNumber } = place
      const part = partsOf(place)?.get(partNumber)
      const final = { transferId, generation, partNumber }
      const held = digestOf(final)
      if (held === digest) return
      if (held !== null) throw new Problem('part-conflict', { partNumber })
      if (part?.digest !== digest) throw new Problem('part-incomplete', { partNumber })
      const generations = transfers.get(transferId) ?? new Map<string, Map<number, MemoryPart>>()
      const parts = generations.get(generation) ?? new Map<number, MemoryPart>()
      transfers.set(transferId, generations.set(generation, parts.set(partNumber, part)))
      usedBytes += part.bytes.length
      forget(place)
    },
    linkTo: null,
    async removePart(key) {
      if (partsOf(key)?.get(key.partNumber)?.digest === key.digest) forget(key)
    },
    async seal() {},
    removeParts: async (parts) => removeParts(parts),
    async remove(transferId) {
      for (const generation of [...(transfers.get(transferId)?.keys() ?? [])]) removeParts({ transferId, generation })
    },
    async *held() {
      for (const [transferId, generations] of [...transfers]) {
        for (const [generation, parts] of [...generations]) {
          yield { transferId, generation, newestAtMs: Math.max(...[...parts.values()].map(({ atMs }) => atMs)) }
        }
      }
    },
    freeBytes: async () => (Number.isFinite(capacityBytes) ? capacityBytes - usedBytes : null),
    close: async () => {},
  }
}
