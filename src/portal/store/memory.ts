/** Parts in memory: for tests of what stands on the store. Gone with the process, and says so nowhere else. */
import { Readable } from 'node:stream'
import { Problem } from '../../protocol/index.ts'
import type { Store } from './contract.ts'

interface HeldPart {
  readonly digest: string
  readonly bytes: Buffer
}

/** @param capacityBytes when more than this would be held, `storage-full` */
export function memoryStore({ capacityBytes = Number.POSITIVE_INFINITY } = {}): Store {
  const transfers = new Map<string, Map<number, HeldPart>>()
  let usedBytes = 0

  const forget = (transferId: string, partNumber: number): void => {
    const parts = transfers.get(transferId)
    usedBytes -= parts?.get(partNumber)?.bytes.length ?? 0
    parts?.delete(partNumber)
    if (parts?.size === 0) transfers.delete(transferId)
  }

  return {
    async openPart({ transferId, partNumber }) {
      const gathered: Buffer[] = []
      let reservedBytes = 0
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
        async commit(digest) {
          const parts = transfers.get(transferId) ?? new Map<number, HeldPart>()
          const before = parts.get(partNumber)
          if (before !== undefined && before.digest !== digest) throw new Problem('part-conflict', { partNumber })
          forget(transferId, partNumber)
          transfers.set(transferId, parts.set(partNumber, { digest, bytes: Buffer.concat(gathered) }))
        },
        async discard() {
          usedBytes -= reservedBytes
        },
      }
    },
    find: async (transferId, partNumber) => transfers.get(transferId)?.get(partNumber)?.digest ?? null,
    list: async (transferId) =>
      new Map([...(transfers.get(transferId) ?? [])].map(([partNumber, { digest }]) => [partNumber, digest])),
    async read({ transferId, partNumber, digest }, range) {
      const part = transfers.get(transferId)?.get(partNumber)
      if (part?.digest !== digest) return null
      const bytes = range === undefined ? part.bytes : part.bytes.subarray(range.startByte, range.endByte + 1)
      return {
        lengthBytes: bytes.length,
        partBytes: part.bytes.length,
        stream: Readable.from(bytes.length === 0 ? [] : [bytes]),
      }
    },
    async removePart({ transferId, partNumber, digest }) {
      if (transfers.get(transferId)?.get(partNumber)?.digest === digest) forget(transferId, partNumber)
    },
    async seal() {},
    async remove(transferId) {
      for (const partNumber of [...(transfers.get(transferId)?.keys() ?? [])]) forget(transferId, partNumber)
    },
    async *transferIds() {
      yield* [...transfers.keys()]
    },
    freeBytes: async () => (Number.isFinite(capacityBytes) ? capacityBytes - usedBytes : null),
  }
}
