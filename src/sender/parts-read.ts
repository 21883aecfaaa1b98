/** Remembers the digests of the parts read from a file, to check later, by reading again, whether the file is unchanged. */
import type { DigestAlgorithm } from '../protocol/index.ts'

export interface ReadPart {
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  /** The digest of the file's bytes there, in hex. */
  readonly contentDigest: string
}

export class PartsRead {
  readonly #parts = new Map<number, ReadPart>()
  /** A part was read twice, and differed. */
  #isTorn = false

  get isEmpty(): boolean {
    return this.#parts.size === 0
  }

  /** @returns false when the same part had other content before */
  note(part: ReadPart): boolean {
    const before = this.#parts.get(part.offsetBytes)
    const isSameLayout = before?.lengthBytes === part.lengthBytes && before.digestAlgorithm === part.digestAlgorithm
    // Another transfer of the same file starts, with a different part size.
    if (!isSameLayout && part.offsetBytes === 0) this.#parts.clear()
    if (isSameLayout && before.contentDigest !== part.contentDigest) this.#isTorn = true
    else this.#parts.set(part.offsetBytes, part)
    return !this.#isTorn
  }

  /**
   * Reads the file again, in order, and compares.
   *
   * @param digestOf the digest of a part as it is now; null where the file ends before the part does
   * @param onRead awaited after each part
   * @returns false also when not all of the file was read before
   */
  async isSame(
    sizeBytes: number,
    digestOf: (part: ReadPart) => Promise<string | null>,
    onRead?: () => Promise<void>,
  ): Promise<boolean> {
    const parts = [...this.#parts.values()].sort((one, other) => one.offsetBytes - other.offsetBytes)
    const coveredBytes = parts.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
    if (this.#isTorn || coveredBytes !== sizeBytes) return false
    for (const part of parts) {
      if ((await digestOf(part)) !== part.contentDigest) return false
      await onRead?.()
    }
    return true
  }
}
