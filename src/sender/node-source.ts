/** Files to send: checked before any request, then read part by part through one handle. */
import { accessSync, type BigIntStats, realpathSync, statSync } from 'node:fs'
import { constants, readdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { digestDriver, digestOf } from '../digests/index.ts'
import { fileErrorText, hasCode, whenDescriptorsAllow } from '../fs/index.ts'
import { type DigestAlgorithm, Problem } from '../protocol/index.ts'
import { type PartDigests, type PartSeal, sealTagBytes } from '../trust/index.ts'
import { partSealer } from '../trust/node-part-cipher.ts'
import { mediaTypeOfFile } from './node-media-type.ts'
import { sealInPlace } from './node-part-bytes.ts'
import { PartsRead, type ReadAt, type ReadPart } from './node-parts-read.ts'
import { openSourceHandle, type SourceHandle } from './node-source-handle.ts'
import { isSizeTrue, readUnsized, UnsizedFileError } from './node-unsized.ts'
import { isSameSource, type OpenSource, type Source, type SourceIdentity } from './source.ts'

/**
 * Checks every path before anything is sent.
 *
 * @param withTimes whether the receivers are told when a file was modified
 * @returns one source per path, in their order
 * @throws Problem `source-not-a-file`, `source-unreadable`, or `request-invalid` when the same file is given twice
 */
export async function checkSources(
  paths: readonly string[],
  { withTimes }: { readonly withTimes: boolean } = { withTimes: true },
): Promise<Source[]> {
  const sources: Source[] = []
  const seen = new Set<string>()
  for (const path of paths) {
    const source = await checkSource(path, withTimes)
    if (seen.has(source.place)) {
      throw new Problem('request-invalid', { path, detail: `${path} is given more than once` })
    }
    seen.add(source.place)
    sources.push(source)
  }
  return sources
}

async function checkSource(path: string, withTimes: boolean): Promise<Source> {
  try {
    const absolute = resolve(path)
    const location = await locate(absolute)
    // In this thread: for thousands of files the way to another one and back costs more than the look.
    const stats = statSync(location, { bigint: true })
    assertIsFile(path, stats)
    accessSync(location, constants.R_OK)
    // `realpath` of a name that is not UTF-8 would not be text either, so only its folder is resolved.
    const place =
      typeof location === 'string'
        ? realpathSync.native(location)
        : join(realpathSync.native(dirname(absolute)), basename(absolute))
    return new FileSource(path, { place, location, sizeBytes: Number(stats.size), withTimes })
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
 * Node shows bytes of a name that are not UTF-8 as U+FFFD, and then cannot find the file. So the entries of the folder are read
 * as bytes to find the file.
 */
async function locate(absolute: string): Promise<string | Buffer> {
  const name = basename(absolute)
  if (!name.includes('\uFFFD')) return absolute
  const entries = await whenDescriptorsAllow(() => readdir(dirname(absolute), { encoding: 'buffer' }))
  const [match, other] = entries.filter((entry) => entry.toString() === name)
  if (match === undefined) return absolute
  if (other !== undefined) throw new Error('several files have a name that looks like this one')
  return Buffer.concat([Buffer.from(join(dirname(absolute), '/')), match])
}

function unreadable(path: string, cause: unknown): unknown {
  if (cause instanceof Problem || !(cause instanceof Error)) return cause
  return new Problem('source-unreadable', { path, detail: fileErrorText(path, cause) }, { cause })
}

/** The size of a read. Between reads the process does other work, so that hashing a large part does not block it. */
const READ_BYTES = 1024 * 1024
/** Without O_NONBLOCK (unknown to Windows), opening /proc/kmsg or a pipe that replaced the file would block a thread without end. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

interface CheckedPlace extends Pick<Source, 'place' | 'sizeBytes'> {
  readonly location: string | Buffer
  readonly withTimes: boolean
}

/** A file that has been checked. */
class FileSource implements Source {
  readonly path: string
  /** The last element of the path. */
  readonly name: string
  readonly place: string
  readonly sizeBytes: number
  /** The path to open: bytes where the name on disk is not UTF-8. */
  readonly location: string | Buffer

  readonly #withTimes: boolean

  constructor(path: string, { place, location, sizeBytes, withTimes }: CheckedPlace) {
    this.path = path
    this.name = basename(resolve(path))
    this.place = place
    this.location = location
    this.sizeBytes = sizeBytes
    this.#withTimes = withTimes
  }

  /** @param stats null where they say nothing about the content */
  mediaTypeWith(stats: BigIntStats | null): string | undefined {
    return mediaTypeOfFile(this.name, stats, { withTimes: this.#withTimes })
  }

  async open(): Promise<OpenSource> {
    let handle: SourceHandle | null = null
    try {
      handle = await whenDescriptorsAllow(() => openSourceHandle(this.location, OPEN_FLAGS, this.sizeBytes))
      const stats = await handle.stat({ bigint: true })
      assertIsFile(this.path, stats)
      if (await isSizeTrue(handle, Number(stats.size))) return new OpenFile(this, handle, stats)
      const content = await this.#readUnsized(handle, stats)
      await handle.close()
      return new HeldFile(this, content)
    } catch (error) {
      await handle?.close()
      throw error instanceof UnsizedFileError ? error : unreadable(this.path, error)
    }
  }

  async #readUnsized(handle: SourceHandle, stats: BigIntStats): Promise<Uint8Array> {
    const content = await readUnsized(handle)
    // When the size changes, a program is writing to the file.
    if ((await handle.stat({ bigint: true })).size !== stats.size) throw changed(this.path, 'it was written to')
    if (content !== null) return content
    throw new UnsizedFileError(this.path, this.location)
  }
}

/** The common part of the open files below. */
abstract class OpenContent implements OpenSource {
  readonly source: FileSource
  readonly identity: SourceIdentity
  readonly mediaType: string | undefined
  readonly isIdentityProof = true

  constructor(source: FileSource, identity: SourceIdentity, stats: BigIntStats | null) {
    this.source = source
    this.identity = identity
    this.mediaType = source.mediaTypeWith(stats)
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
    const sealer = seal === null ? null : partSealer(seal.partKey, seal.position)
    const hasher = digestDriver(digestAlgorithm).create()
    const contentHasher = sealer === null ? null : digestDriver(digestAlgorithm).create()
    const lengthBytes = target.length - (sealer === null ? 0 : sealTagBytes)
    for (let at = 0; at < lengthBytes; ) {
      const bytesRead = await this.read(target.subarray(0, lengthBytes), at, offsetBytes + at)
      if (bytesRead === 0) throw this.changed('it is shorter than it was')
      const bytes = target.subarray(at, at + bytesRead)
      // The sealed bytes replace the plain ones in the same buffer.
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
    const contentDigest = contentHasher?.digest() ?? digest
    this.noteRead({ offsetBytes, lengthBytes, digestAlgorithm, contentDigest })
    return { digest, contentDigest }
  }

  /** Called for each part that was read. */
  protected noteRead(_part: ReadPart): void {}

  changed(how: string, cause?: unknown): Problem {
    return changed(this.source.path, how, cause)
  }
}

/** How often a file is read again when its time changes while it is read. */
const REREADS_MAX = 3
const WRITTEN = 'it was written to'

/** Whether two looks saw the same file with the same length. The time is ignored. */
function isSameFile({ mtimeNs: _, ...one }: SourceIdentity, { mtimeNs: __, ...other }: SourceIdentity): boolean {
  return isSameSource(one, other)
}

/** A file whose size is true: read part by part. */
class OpenFile extends OpenContent {
  readonly #handle: SourceHandle
  readonly #parts = new PartsRead()
  /** The modification time at which the content was last known to equal the parts read. */
  #mtimeNs: SourceIdentity[string]

  constructor(source: FileSource, handle: SourceHandle, stats: BigIntStats) {
    super(source, identityOf(stats), stats)
    this.#handle = handle
    this.#mtimeNs = this.identity.mtimeNs ?? ''
  }

  /**
   * The path must still lead to this file, too. Network file systems change the time of a file by themselves after it was written. So
   * when only the time is new, the file is read again, and its content decides.
   */
  async assertUnchanged(onRead?: () => Promise<void>): Promise<void> {
    await this.#requireContent(onRead)
    try {
      // A file system may report an old size although data was appended.
      if (!(await isSizeTrue(this.#handle, this.identity.sizeBytes))) throw this.changed('it is not as long as it was')
      const named = identityOf(statSync(this.source.location, { bigint: true }))
      if (!isSameFile(named, this.identity)) throw this.changed('another file has taken its place')
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) throw this.changed('it was removed', error)
      throw unreadable(this.source.path, error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }

  async #requireContent(onRead: (() => Promise<void>) | undefined): Promise<void> {
    const { sizeBytes } = this.identity
    for (let tries = 1; ; tries++) {
      const found = identityOf(await this.#handle.stat({ bigint: true }))
      if (!isSameFile(found, this.identity)) throw this.changed(WRITTEN)
      if (found.mtimeNs === this.#mtimeNs) return
      const readAt: ReadAt = (target, position) => this.#readAt(target, position)
      const isSame = tries <= REREADS_MAX && (await this.#parts.isSame(sizeBytes, readAt, onRead))
      if (!isSame) throw this.changed(WRITTEN)
      // The time is checked once more, because a program may have written where the file had been read already.
      this.#mtimeNs = found.mtimeNs ?? ''
    }
  }

  protected override noteRead(part: ReadPart): void {
    this.#parts.note(part)
  }

  protected async read(target: Uint8Array, at: number, position: number): Promise<number> {
    return this.#readAt(target.subarray(at, at + READ_BYTES), position)
  }

  async #readAt(target: Uint8Array, position: number): Promise<number> {
    try {
      return (await this.#handle.read(target, 0, target.length, position)).bytesRead
    } catch (error) {
      throw unreadable(this.source.path, error)
    }
  }
}

/** A file whose size is not true: its content is read when it is opened, and sent from memory. */
class HeldFile extends OpenContent {
  readonly #content: Uint8Array

  constructor(source: FileSource, content: Uint8Array) {
    super(source, { sizeBytes: content.length, contentDigest: digestOf('sha-256', content) }, null)
    this.#content = content
  }

  /** Always succeeds, because the content is held in memory. */
  async assertUnchanged(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  protected async read(target: Uint8Array, at: number, position: number): Promise<number> {
    const bytes = this.#content.subarray(position, position + Math.min(READ_BYTES, target.length - at))
    target.set(bytes, at)
    return bytes.length
  }
}

function changed(path: string, how: string, cause?: unknown): Problem {
  const detail = `${path}: ${how}. Send it again once nothing writes to it.`
  return new Problem('source-changed', { path, detail }, { cause })
}

function identityOf(stats: BigIntStats): SourceIdentity {
  return {
    sizeBytes: Number(stats.size),
    mtimeNs: String(stats.mtimeNs),
    inode: String(stats.ino),
    device: String(stats.dev),
  }
}
