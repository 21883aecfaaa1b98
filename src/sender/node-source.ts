/** The files that are sent: checked before anything goes over the wire, then read part by part through one handle. */
import type { BigIntStats } from 'node:fs'
import { access, constants, type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { digestDriver } from '../digests/index.ts'
import { release } from '../hop/index.ts'
import { hasCode } from '../hop/node.ts'
import { type DigestAlgorithm, Problem } from '../protocol/index.ts'
import { sealTagBytes } from '../trust/index.ts'
import { type PartSealer, partSealer } from '../trust/node-part-cipher.ts'
import {
  isSameSource,
  type OpenSource,
  type PartDigests,
  type PartSeal,
  type Source,
  type SourceIdentity,
} from './source.ts'

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
    if (seen.has(source.place)) {
      throw new Problem('request-invalid', { path, detail: `${path} is given more than once` })
    }
    seen.add(source.place)
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
    // A name that is not UTF-8 cannot be spelled by a link's target text either; its folder can.
    const place =
      typeof location === 'string'
        ? await realpath(location)
        : join(await realpath(dirname(absolute)), basename(absolute))
    return new FileSource(path, place, location, Number(stats.size))
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

/** A file that has been checked. */
class FileSource implements Source {
  readonly path: string
  /** The last element of the path. */
  readonly name: string
  readonly place: string
  readonly sizeBytes: number
  /** How the file is opened: bytes where its name on disk is not UTF-8. */
  readonly location: string | Buffer

  constructor(path: string, place: string, location: string | Buffer, sizeBytes: number) {
    this.path = path
    this.name = basename(resolve(path))
    this.place = place
    this.location = location
    this.sizeBytes = sizeBytes
  }

  async open(): Promise<OpenSource> {
    let handle: FileHandle | null = null
    try {
      handle = await open(this.location, constants.O_RDONLY)
      const stats = await handle.stat({ bigint: true })
      assertIsFile(this.path, stats)
      return new OpenFile(this, handle, identityOf(stats))
    } catch (error) {
      await handle?.close()
      throw unreadable(this.path, error)
    }
  }
}

class OpenFile implements OpenSource {
  readonly source: FileSource
  readonly identity: SourceIdentity
  readonly isIdentityProof = true
  readonly #handle: FileHandle

  constructor(source: FileSource, handle: FileHandle, identity: SourceIdentity) {
    this.source = source
    this.identity = identity
    this.#handle = handle
  }

  async readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests> {
    const sealer = seal === null ? null : partSealer(seal.partKey, seal.position)
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

  /** What counts is what its path leads to, too. */
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
