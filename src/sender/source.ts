/**
 * The files that are sent: checked before anything goes over the wire, then read part by part through one handle.
 *
 * What is sent must be one file at one time. Each part is hashed from the very bytes that leave, and before the
 * sender says `complete` it makes sure that the file is still the one it opened.
 */
import type { BigIntStats } from 'node:fs'
import { access, constants, type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { digestDriver } from '../digests/index.ts'
import { hasCode, release } from '../hop/index.ts'
import { type DigestAlgorithm, Problem } from '../protocol/index.ts'
import { sealTagBytes } from '../trust/index.ts'
import type { PartSealer } from '../trust/node-part-cipher.ts'

/** A file that may be sent. */
export interface Source {
  /** As the caller wrote it. */
  readonly path: string
  /** What the receiver is told: the last element of the path. */
  readonly name: string
  /** Absolute, without symbolic links: part of the journal's key. */
  readonly realPath: string
  /** When it was looked at first: what counts is the size when it is opened. */
  readonly sizeBytes: number
  /** How the file is opened: bytes where its name on disk is not UTF-8. */
  readonly location: string | Buffer
}

/** What has to be equal for a file to be "the same as before". Text where a number would lose digits. */
export interface SourceIdentity {
  readonly sizeBytes: number
  readonly mtimeNs: string
  readonly inode: string
  readonly device: string
}

/** Whether two looks at a file saw the same content, as far as the file system can tell. */
export function isSameSource(a: SourceIdentity, b: SourceIdentity): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs && a.inode === b.inode && a.device === b.device
}

/**
 * Looks at every path before anything is sent.
 *
 * @returns one source per path, in their order
 * @throws Problem `source-not-a-file`, `source-unreadable`, or `request-invalid` where the same file is given twice
 */
export async function checkSources(paths: readonly string[]): Promise<Source[]> {
  const sources: Source[] = []
  const seen = new Set<string>()
  for (const path of paths) {
    const source = await checkSource(path)
    if (seen.has(source.realPath)) {
      throw new Problem('request-invalid', { path, detail: `${path} is given more than once` })
    }
    seen.add(source.realPath)
    sources.push(source)
  }
  return sources
}

async function checkSource(path: string): Promise<Source> {
  try {
    const absolute = resolve(path)
    const location = await locate(absolute)
    const stats = await stat(location, { bigint: true })
    assertIsFile(path, stats)
    await access(location, constants.R_OK)
    const name = basename(absolute)
    // A name that is not UTF-8 cannot be spelled by a link's target text either; its folder can.
    const realPath =
      typeof location === 'string' ? await realpath(location) : join(await realpath(dirname(absolute)), name)
    return { path, name, realPath, location, sizeBytes: Number(stats.size) }
  } catch (error) {
    throw unreadable(path, error)
  }
}

function assertIsFile(path: string, stats: BigIntStats): void {
  if (stats.isFile()) return
  const name = basename(resolve(path))
  const detail = stats.isDirectory()
    ? `${path} is a directory: not yet. Pack it first: tar -czf ${name}.tar.gz ${name}`
    : `${path} is not a regular file`
  throw new Problem('source-not-a-file', { path, detail })
}

/**
 * Node shows bytes of a name that are not UTF-8 as U+FFFD, and cannot find the file by that. The folder's entries,
 * read as bytes, tell which file is meant.
 */
async function locate(absolute: string): Promise<string | Buffer> {
  const name = basename(absolute)
  if (!name.includes('\uFFFD')) return absolute
  const entries = await readdir(dirname(absolute), { encoding: 'buffer' })
  const [match, other] = entries.filter((entry) => entry.toString() === name)
  if (match === undefined) return absolute
  if (other !== undefined) throw new Error('several files have a name that looks like this one')
  return Buffer.concat([Buffer.from(join(dirname(absolute), '/')), match])
}

function unreadable(path: string, cause: unknown): unknown {
  if (cause instanceof Problem || !(cause instanceof Error)) return cause
  return new Problem('source-unreadable', { path, detail: `${path}: ${cause.message}` }, { cause })
}

/** Reads go to the kernel in slices of this size, so that hashing a large part does not hold up everything else. */
const READ_BYTES = 1024 * 1024

/**
 * Opens a file that has been checked.
 *
 * @throws Problem `source-unreadable` or `source-not-a-file`
 */
export async function openSource(source: Source): Promise<OpenSource> {
  let handle: FileHandle | null = null
  try {
    handle = await open(source.location, constants.O_RDONLY)
    const stats = await handle.stat({ bigint: true })
    assertIsFile(source.path, stats)
    return new OpenSource(source, handle, identityOf(stats))
  } catch (error) {
    await handle?.close()
    throw unreadable(source.path, error)
  }
}

/** Of one part, both in hex. */
export interface PartDigests {
  /** Of what travels. */
  readonly digest: string
  /** Of what the file holds. */
  readonly contentDigest: string
}

/** A file while it is sent. To be disposed of. */
export class OpenSource implements AsyncDisposable {
  readonly source: Source
  /** As it was when it was opened. */
  readonly identity: SourceIdentity
  readonly #handle: FileHandle

  constructor(source: Source, handle: FileHandle, identity: SourceIdentity) {
    this.source = source
    this.identity = identity
    this.#handle = handle
  }

  /**
   * Fills `target` with what is to travel of the bytes from `offsetBytes` on.
   *
   * @param sealer seals them on the way; its tag takes the last bytes of `target`
   * @returns the digest of `target`, and that of what the file holds, in hex; without a seal they are the same
   * @throws Problem `source-changed` when the file is shorter than it was; `source-unreadable` when reading fails
   */
  async readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    sealer: PartSealer | null = null,
  ): Promise<PartDigests> {
    const hasher = digestDriver(digestAlgorithm).create()
    const contentHasher = sealer === null ? null : digestDriver(digestAlgorithm).create()
    const lengthBytes = target.length - (sealer === null ? 0 : sealTagBytes)
    for (let at = 0; at < lengthBytes; ) {
      const bytesRead = await this.#read(target.subarray(0, lengthBytes), at, offsetBytes + at)
      if (bytesRead === 0) throw this.changed('it is shorter than it was')
      const bytes = target.subarray(at, at + bytesRead)
      // What is sealed takes the place of what was read: nothing else of the file stays in memory.
      contentHasher?.update(bytes)
      if (sealer !== null) sealInPlace(sealer, bytes)
      hasher.update(bytes)
      at += bytesRead
    }
    if (sealer !== null) {
      const tag = sealer.finish()
      target.set(tag, lengthBytes)
      hasher.update(tag)
    }
    const digest = hasher.digest()
    return { digest, contentDigest: contentHasher?.digest() ?? digest }
  }

  /** @throws Problem `source-changed` when the file, or what its path leads to, is no longer what was opened */
  async assertUnchanged(): Promise<void> {
    const opened = identityOf(await this.#handle.stat({ bigint: true }))
    if (!isSameSource(opened, this.identity)) throw this.changed('it was written to')
    try {
      const named = identityOf(await stat(this.source.location, { bigint: true }))
      if (!isSameSource(named, this.identity)) throw this.changed('another file has taken its place')
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) throw this.changed('it was removed', error)
      throw unreadable(this.source.path, error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }

  async #read(target: Uint8Array, at: number, position: number): Promise<number> {
    try {
      const lengthBytes = Math.min(READ_BYTES, target.length - at)
      return (await this.#handle.read(target, at, lengthBytes, position)).bytesRead
    } catch (error) {
      throw unreadable(this.source.path, error)
    }
  }

  /** The file is not what it was when it was opened. */
  changed(how: string, cause?: unknown): Problem {
    const { path } = this.source
    const detail = `${path}: ${how}. Send it again once nothing writes to it.`
    return new Problem('source-changed', { path, detail }, { cause })
  }
}

/** Small enough to stay in the processor's cache between reading, sealing and hashing. */
const SEAL_BYTES = 128 * 1024

function sealInPlace(sealer: PartSealer, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += SEAL_BYTES) {
    const slice = bytes.subarray(at, at + SEAL_BYTES)
    const sealed = sealer.update(slice)
    slice.set(sealed)
    release(sealed)
  }
}

function identityOf(stats: BigIntStats): SourceIdentity {
  return {
    sizeBytes: Number(stats.size),
    mtimeNs: String(stats.mtimeNs),
    inode: String(stats.ino),
    device: String(stats.dev),
  }
}
