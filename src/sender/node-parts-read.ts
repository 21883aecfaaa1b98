/** Remembers the digests of the parts read from a file, to check later, by reading again, whether the file is unchanged. */
import { digestDriver } from '../digests/index.ts'
import type { DigestAlgorithm } from '../protocol/index.ts'

export interface ReadPart {
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  /** The digest of the file's bytes there, in hex. */
  readonly contentDigest: string
}

/** Reads from a position into the buffer, once. @returns the bytes read; 0 at the end */
export type ReadAt = (target: Uint8Array, position: number) => Promise<number>

const READ_BYTES = 1024 * 1024

export class PartsRead {
  readonly #parts = new Map<number, ReadPart>()
  /** A part was read twice, and differed. */
  #isTorn = false

  note(part: ReadPart): void {
    const before = this.#parts.get(part.offsetBytes)
    if (before === undefined) this.#parts.set(part.offsetBytes, part)
    else if (before.digestAlgorithm !== part.digestAlgorithm || before.contentDigest !== part.contentDigest) {
      this.#isTorn = true
    }
  }

  /** Reads the file again and compares. @param onRead awaited after each part @returns false also when not all of it was read before */
  async isSame(sizeBytes: number, readAt: ReadAt, onRead?: () => Promise<void>): Promise<boolean> {
    if (this.#isTorn) return false
    let coveredBytes = 0
    for (const { lengthBytes } of this.#parts.values()) coveredBytes += lengthBytes
    if (coveredBytes !== sizeBytes) return false
    const buffer = new Uint8Array(Math.min(READ_BYTES, sizeBytes))
    for (const part of this.#parts.values()) {
      if ((await digestAt(part, buffer, readAt)) !== part.contentDigest) return false
      await onRead?.()
    }
    return true
  }
}

/** @returns null when the file ends before the part does */
async function digestAt(part: ReadPart, buffer: Uint8Array, readAt: ReadAt): Promise<string | null> {
  const hasher = digestDriver(part.digestAlgorithm).create()
  for (let at = 0; at < part.lengthBytes; ) {
    const target = buffer.subarray(0, Math.min(buffer.length, part.lengthBytes - at))
    const bytesRead = await readAt(target, part.offsetBytes + at)
    if (bytesRead === 0) return null
    hasher.update(target.subarray(0, bytesRead))
    at += bytesRead
  }
  return hasher.digest()
}
