/** Content that was read to its end, and lies in memory: a stream that ended within its first part. */
import { digestOf } from '../digests/index.ts'
import { type DigestAlgorithm, Problem, sealTagBytes } from '../protocol/index.ts'
import type { PartDigests, PartSeal } from '../trust/index.ts'
import type { Journal, JournalEntry } from './journal.ts'
import { mediaTypeOfFile } from './node-media-type.ts'
import { digestsInPlace } from './node-part-bytes.ts'
import type { SealRecords } from './seal-record.ts'
import type { OpenSource, Source, SourceIdentity } from './source.ts'

export class HeldContent implements Source, OpenSource {
  readonly path: string
  readonly name: string
  readonly place = ''
  readonly identity: SourceIdentity
  readonly mediaType: string | undefined
  readonly isIdentityProof = true
  readonly #content: Uint8Array

  constructor({ path, name }: { readonly path: string; readonly name: string }, content: Uint8Array) {
    this.path = path
    this.name = name
    this.mediaType = mediaTypeOfFile(name, null, { withTimes: false })
    this.#content = content
    this.identity = { sizeBytes: content.length, contentDigest: digestOf('sha-256', content) }
  }

  get source(): Source {
    return this
  }

  get sizeBytes(): number {
    return this.#content.length
  }

  async open(): Promise<OpenSource> {
    return this
  }

  async readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests> {
    const lengthBytes = target.length - (seal === null ? 0 : sealTagBytes)
    target.set(this.#content.subarray(offsetBytes, offsetBytes + lengthBytes))
    return digestsInPlace(target, lengthBytes, digestAlgorithm, seal)
  }

  /** Always succeeds, because the content is held in memory. */
  async assertUnchanged(): Promise<void> {}

  changed(how: string, cause?: unknown): Problem {
    return new Problem('source-changed', { path: this.path, detail: how }, { cause })
  }

  async [Symbol.asyncDispose](): Promise<void> {}
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
