/** What all sources of this machine have in common: content is read where it is wanted, and is hashed and sealed in its buffer. */
import { constants } from 'node:fs'
import { fileErrorText } from '../fs/index.ts'
import { type DigestAlgorithm, Problem } from '../protocol/index.ts'
import type { TreeIndex } from '../tree/index.ts'
import { type PartDigests, type PartSeal, sealTagBytes } from '../trust/index.ts'
import { sealInPlace } from './node-part-bytes.ts'
import type { ReadPart } from './parts-read.ts'
import type { OpenSource, Source, SourceIdentity } from './source.ts'

/** The size of a read. Between reads the process does other work, so that hashing a large part does not block it. */
export const readBytes = 1024 * 1024
/** Without O_NONBLOCK (unknown to Windows), opening /proc/kmsg or a pipe that replaced the file would block a thread without end. */
export const openFlags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** Something in a folder that is not sent. */
export interface LeftOut {
  /** Its path, from the folder's name on. */
  readonly path: string
  /** Words for people. */
  readonly reason: string
}

/** A file or a folder of this machine. */
export interface NodeSource extends Source {
  /** What is in a folder and cannot be sent. Empty for a file. */
  readonly leftOut: readonly LeftOut[]
  /** The entries of a folder; null for a file. */
  readonly tree: TreeIndex | null
}

/** Content that is read at any position, hashed and sealed part by part. */
export abstract class OpenContent implements OpenSource {
  readonly source: Source
  readonly identity: SourceIdentity
  readonly mediaType: string | undefined
  readonly isIdentityProof = true

  constructor(source: Source, identity: SourceIdentity, mediaType: string | undefined) {
    this.source = source
    this.identity = identity
    this.mediaType = mediaType
  }

  abstract assertUnchanged(onRead?: () => Promise<void>): Promise<void>
  abstract [Symbol.asyncDispose](): Promise<void>
  /** Reads into `target` from `at` on, once. @returns the bytes read; 0 at the end */
  protected abstract read(target: Uint8Array, at: number, position: number): Promise<number>

  async readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests> {
    const lengthBytes = target.length - (seal === null ? 0 : sealTagBytes)
    const plain = target.subarray(0, lengthBytes)
    const digests = await sealInPlace(target, digestAlgorithm, seal, async (at) => {
      const bytesRead = await this.read(plain, at, offsetBytes + at)
      if (bytesRead === 0) throw this.changed('it is shorter than it was')
      return bytesRead
    })
    this.noteRead({ offsetBytes, lengthBytes, digestAlgorithm, contentDigest: digests.contentDigest })
    return digests
  }

  /** Called for each part that was read. */
  protected noteRead(_part: ReadPart): void {}

  changed(how: string, cause?: unknown): Problem {
    return changedSource(this.source.path, how, cause)
  }
}

export function unreadable(path: string, cause: unknown): unknown {
  if (cause instanceof Problem || !(cause instanceof Error)) return cause
  return new Problem('source-unreadable', { path, detail: fileErrorText(path, cause) }, { cause })
}

export function changedSource(path: string, how: string, cause?: unknown): Problem {
  const detail = `${path}: ${how}. Send it again once nothing writes to it.`
  return new Problem('source-changed', { path, detail }, { cause })
}
