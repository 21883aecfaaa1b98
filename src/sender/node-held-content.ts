/** Content that was read to its end, and lies in memory: a stream that ended within its first part, or a file whose size is not true. */
import { setImmediate } from 'node:timers/promises'
import { digestOf } from '../digests/index.ts'
import type { DigestAlgorithm } from '../protocol/index.ts'
import type { PartDigests, PartSeal } from '../trust/index.ts'
import type { Journal, JournalEntry } from './journal.ts'
import { OpenContent, readBytes } from './node-content.ts'
import { mediaTypeOfFile } from './node-media-type.ts'
import { sealInPlace } from './node-part-bytes.ts'
import type { SealRecords } from './seal-record.ts'
import type { Source } from './source.ts'

export class HeldContent extends OpenContent {
  readonly #content: Uint8Array

  constructor(source: Source, content: Uint8Array, mediaType: string | undefined) {
    super(source, { sizeBytes: content.length, contentDigest: digestOf('sha-256', content) }, mediaType)
    this.#content = content
  }

  /** Always succeeds, because the content is held in memory. */
  async assertUnchanged(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  protected async read(target: Uint8Array, at: number, position: number): Promise<number> {
    if (at > 0) await setImmediate()
    const bytes = this.#content.subarray(position, position + Math.min(readBytes, target.length - at))
    target.set(bytes, at)
    return bytes.length
  }
}

/** What was read of a stream, as a source. */
export function heldSource({ path, name }: Pick<Source, 'path' | 'name'>, content: Uint8Array): Source {
  const mediaType = mediaTypeOfFile(name, null, { withTimes: false })
  const open = async () => new HeldContent(source, content, mediaType)
  const source: Source = { path, name, place: '', sizeBytes: content.length, open }
  return source
}

/** Seals a part that lies in `target` already. @param lengthBytes of the content. With a seal, the tag follows it */
export function sealHeld(
  target: Uint8Array,
  lengthBytes: number,
  digestAlgorithm: DigestAlgorithm,
  seal: PartSeal | null,
): Promise<PartDigests> {
  return sealInPlace(target, digestAlgorithm, seal, async (at) => {
    if (at > 0) await setImmediate()
    return Math.min(readBytes, lengthBytes - at)
  })
}

/** For content that no later run can resume: nothing is recorded on the disk. */
export function memoryJournal(): Journal {
  let known: JournalEntry | null = null
  return {
    read: async () => known,
    async replace(before, entry) {
      if (before !== known) return false
      known = entry
      return true
    },
    async remove(entry) {
      if (known?.transferId === entry.transferId) known = null
    },
  }
}

/** The content in memory stays the same, so each part is sealed with one content only, however often it is read. */
export const noSealRecords: SealRecords = {
  async begin() {},
  async open() {
    return { async note() {}, async [Symbol.asyncDispose]() {} }
  },
  async remove() {},
}
