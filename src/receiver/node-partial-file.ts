/**
 * A file that is being received: the content, written at the offsets of its parts, and beside it a list of the verified
 * parts.
 *
 *     <transferId>.parts:   golooader-parts 2 <sizeBytes, or ? for a stream that has not ended> <partSizeBytes> <digestAlgorithm>
 *                           <partNumber> <digest> <contentDigest>
 *                           ...
 *
 * `digest` is that of the part as it travelled, `contentDigest` that of its content in the file. Without a seal they are the same.
 *
 * A part is entered in the list only once its bytes are verified and durable. The list itself is not synced: a missing entry
 * means that the part is fetched again, and a later run hashes each listed part again before it counts. So neither a crash nor a
 * lying disk can make a missing part count.
 */
import { constants } from 'node:fs'
import { appendFile, type FileHandle, open, rm } from 'node:fs/promises'
import { sep } from 'node:path'
import type { Readable } from 'node:stream'
import { digestDriver } from '../digests/index.ts'
import { hasCode, readTextOrNull, replaceFile, setModified, whenDescriptorsAllow, writeAll } from '../fs/index.ts'
import type { PartSink } from '../parts/index.ts'
import { type FileTraits, isDigestHex, partCount, partSpan } from '../protocol/index.ts'
import type { PartDigests } from '../trust/index.ts'
import {
  type ArrivingPart,
  type IncomingFile,
  noTraits,
  type PartialLayout,
  type ReceiveLimits,
} from './incoming-file.ts'
import { inboxFolderName } from './names.ts'
import { receiveArrivingPart } from './node-arriving-part.ts'

const READ_BYTES = 1024 * 1024
/** The mode of the finished file, minus the umask. Before that, its folder keeps other users out. */
const FILE_MODE = 0o644
const PROGRAM_MODE = 0o755

/** The mode with which a file is created; the umask takes its bits away. */
export function modeOf({ isExecutable }: Pick<FileTraits, 'isExecutable'>): number {
  return isExecutable ? PROGRAM_MODE : FILE_MODE
}

/**
 * Opens the partial file of a transfer, or begins one.
 *
 * @throws errors of the file system; the signal's reason when that aborts
 */
export async function openPartialFile(
  paths: TransferPaths,
  layout: PartialLayout,
  signal: AbortSignal,
  traits: FileTraits = noTraits,
): Promise<PartialFile> {
  const listed = await readList(paths.parts, layout)
  const handle = listed.size === 0 ? null : await openKept(paths.partial)
  if (handle === null) return begin(paths, layout, traits)
  try {
    const held = await verified(handle, layout, listed, signal)
    // Written again without lines that a crash cut off or that name a bad part.
    await writeList(paths.parts, layout, held)
    return new PartialFile(paths, layout, traits, { handle, held, isNew: false })
  } catch (error) {
    await handle.close()
    throw error
  }
}

interface OpenedPartial {
  readonly handle: FileHandle
  readonly held: Map<number, PartDigests>
  readonly isNew: boolean
}

export class PartialFile implements IncomingFile<Readable> {
  readonly #paths: TransferPaths
  #layout: PartialLayout
  readonly #traits: FileTraits
  readonly #handle: FileHandle
  readonly #held: Map<number, PartDigests>
  /** Whether nothing was in the file before this run. */
  readonly #isNew: boolean
  /** The parts of which bytes may be in the file. */
  readonly #begun = new Set<number>()
  #heldBytes = 0

  constructor(paths: TransferPaths, layout: PartialLayout, traits: FileTraits, { handle, held, isNew }: OpenedPartial) {
    this.#paths = paths
    this.#layout = layout
    this.#traits = traits
    this.#handle = handle
    this.#held = held
    this.#isNew = isNew
    for (const partNumber of held.keys()) this.#heldBytes += partSpan(layout, partNumber).lengthBytes
  }

  /** The verified and durable parts: part number -> digest in hex of the part as it travelled. */
  get held(): ReadonlyMap<number, string> {
    return new Map([...this.#held].map(([partNumber, { digest }]) => [partNumber, digest]))
  }

  *contentDigests(): Generator<string> {
    for (let partNumber = 1; partNumber <= partCount(this.#layout); partNumber++) {
      const held = this.#held.get(partNumber)
      if (held === undefined) throw new Error(`part ${partNumber} is not held`)
      yield held.contentDigest
    }
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  receivePart(part: ArrivingPart<Readable>, limits: ReceiveLimits): Promise<void> {
    return receiveArrivingPart(part, limits, (contentDigest) => this.sink(part.partNumber, contentDigest))
  }

  /**
   * A sink for the bytes of one part. The bytes of a discarded part do not count. Zeros are not written where there is nothing yet:
   * a hole reads as zeros, and takes neither room nor time.
   *
   * @param contentDigest called before the commit; omitted where the transfer is not sealed
   */
  sink(partNumber: number, contentDigest?: () => string): PartSink {
    const { offsetBytes } = partSpan(this.#layout, partNumber)
    const mayHaveHoles = this.#isNew && !this.#begun.has(partNumber)
    this.#begun.add(partNumber)
    let atByte = offsetBytes
    let writtenToByte = offsetBytes
    return {
      write: async (buffers) => {
        for (const { isZeros, buffers: run, lengthBytes } of mayHaveHoles ? runsOf(buffers) : [wholeRun(buffers)]) {
          if (!isZeros) {
            await writeAll(this.#handle, run, atByte)
            writtenToByte = atByte + lengthBytes
          }
          atByte += lengthBytes
        }
      },
      commit: async (digest) => {
        // A part that ends in a hole must not lie behind the end of the file.
        if (writtenToByte < atByte) await writeAll(this.#handle, [ZEROS.subarray(0, 1)], atByte - 1)
        await this.#handle.datasync()
        // Fails when the list is missing: a vanished folder is noticed here and not made again.
        const flag = constants.O_WRONLY | constants.O_APPEND
        const held: PartDigests = { digest, contentDigest: contentDigest?.() ?? digest }
        await whenDescriptorsAllow(() => appendFile(this.#paths.parts, lineOf(partNumber, held), { flag }))
        if (!this.#held.has(partNumber)) this.#heldBytes += atByte - offsetBytes
        this.#held.set(partNumber, held)
      },
      discard: async () => {
        // The bytes stay in the file, unlisted, until the next try replaces them.
      },
    }
  }

  async sized(sizeBytes: number): Promise<void> {
    const { partSizeBytes, digestAlgorithm } = this.#layout
    this.#layout = { sizeBytes, partSizeBytes, digestAlgorithm }
    for (const partNumber of this.#held.keys()) {
      if (partNumber > partCount(this.#layout)) this.#held.delete(partNumber)
    }
    this.#heldBytes = 0
    for (const partNumber of this.#held.keys()) this.#heldBytes += partSpan(this.#layout, partNumber).lengthBytes
    await writeList(this.#paths.parts, this.#layout, this.#held)
  }

  async startOver(): Promise<void> {
    this.#held.clear()
    this.#heldBytes = 0
    await writeList(this.#paths.parts, this.#layout, this.#held)
    await this.#handle.truncate(0)
    this.#begun.clear()
  }

  async finish(): Promise<void> {
    const { mtimeNs } = this.#traits
    await this.#handle.truncate(this.#layout.sizeBytes)
    if (mtimeNs !== null) setModified(this.#handle.fd, mtimeNs)
    await this.#handle.sync()
    await this.close()
  }

  async close(): Promise<void> {
    if (this.#handle.fd !== -1) await this.#handle.close()
  }
}

/** Consecutive buffers that are all zeros, or none of them. */
interface Run {
  readonly isZeros: boolean
  readonly buffers: readonly Uint8Array[]
  readonly lengthBytes: number
}

const ZEROS = new Uint8Array(64 * 1024)

function wholeRun(buffers: readonly Uint8Array[]): Run {
  return { isZeros: false, buffers, lengthBytes: buffers.reduce((sum, { length }) => sum + length, 0) }
}

function runsOf(buffers: readonly Uint8Array[]): Run[] {
  if (!buffers.some(isZero)) return [wholeRun(buffers)]
  return buffers.map((bytes) => ({ isZeros: isZero(bytes), buffers: [bytes], lengthBytes: bytes.length }))
}

function isZero(bytes: Uint8Array): boolean {
  // Most content is told by its ends.
  if (bytes[0] !== 0 || bytes.at(-1) !== 0) return false
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const slice = bytes.subarray(at, at + ZEROS.length)
    if (Buffer.compare(slice, ZEROS.subarray(0, slice.length)) !== 0) return false
  }
  return true
}

async function begin(paths: TransferPaths, layout: PartialLayout, traits: FileTraits): Promise<PartialFile> {
  // Removed instead of truncated: after a crash the old file may be a second name of a published file.
  await rm(paths.parts, { force: true })
  await rm(paths.partial, { force: true })
  const handle = await whenDescriptorsAllow(() => open(paths.partial, 'wx+', modeOf(traits)))
  try {
    await writeList(paths.parts, layout, new Map())
    return new PartialFile(paths, layout, traits, { handle, held: new Map(), isNew: true })
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** @returns null when there is no file that may be written to */
async function openKept(path: string): Promise<FileHandle | null> {
  let handle: FileHandle
  try {
    handle = await whenDescriptorsAllow(() => open(path, 'r+'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
  const { nlink } = await handle.stat()
  if (nlink === 1) return handle
  await handle.close()
  return null
}

function headOf({ sizeBytes, partSizeBytes, digestAlgorithm, isSizeKnown }: PartialLayout): string {
  return `golooader-parts 2 ${isSizeKnown === false ? '?' : sizeBytes} ${partSizeBytes} ${digestAlgorithm}`
}

function lineOf(partNumber: number, { digest, contentDigest }: PartDigests): string {
  return `${partNumber} ${digest} ${contentDigest}\n`
}

async function writeList(path: string, layout: PartialLayout, held: ReadonlyMap<number, PartDigests>): Promise<void> {
  const lines = [...held].map(([partNumber, part]) => lineOf(partNumber, part))
  await replaceFile(path, `${headOf(layout)}\n${lines.join('')}`)
}

/** The listed parts, not verified yet; empty when the list has another layout. */
async function readList(path: string, layout: PartialLayout): Promise<Map<number, PartDigests>> {
  const listed = new Map<number, PartDigests>()
  const text = await readTextOrNull(path)
  if (text === null) return listed
  const [head, ...lines] = text.split('\n')
  // A stream may have ended since.
  if (head !== headOf(layout) && head !== headOf({ ...layout, isSizeKnown: false })) return listed
  const count = partCount(layout)
  for (const line of lines) {
    const [, number, digest, contentDigest] = /^([1-9][0-9]{0,5}) ([0-9a-f]+) ([0-9a-f]+)$/.exec(line) ?? []
    if (number === undefined || digest === undefined || contentDigest === undefined || Number(number) > count) continue
    const areDigests = [digest, contentDigest].every((text) => isDigestHex(layout.digestAlgorithm, text))
    if (areDigests) listed.set(Number(number), { digest, contentDigest })
  }
  return listed
}

async function verified(
  handle: FileHandle,
  layout: PartialLayout,
  listed: ReadonlyMap<number, PartDigests>,
  signal: AbortSignal,
): Promise<Map<number, PartDigests>> {
  const held = new Map<number, PartDigests>()
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, layout.partSizeBytes))
  for (const [partNumber, part] of listed) {
    const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
    const hasher = digestDriver(layout.digestAlgorithm).create()
    let readBytes = 0
    while (readBytes < lengthBytes) {
      signal.throwIfAborted()
      const wantedBytes = Math.min(buffer.length, lengthBytes - readBytes)
      const { bytesRead } = await handle.read(buffer, 0, wantedBytes, offsetBytes + readBytes)
      if (bytesRead === 0) break
      hasher.update(buffer.subarray(0, bytesRead))
      readBytes += bytesRead
    }
    if (readBytes === lengthBytes && hasher.digest() === part.contentDigest) held.set(partNumber, part)
  }
  return held
}

/** The files of one transfer that is not finished. */
export interface TransferPaths {
  /** The content so far, written at the offsets of its parts. */
  readonly partial: string
  /** The list of the verified parts. */
  readonly parts: string
  /** The commit record: the name under which the file is being published. */
  readonly commit: string
}

/** @param transferId must be validated, because it becomes part of a path */
export function transferPaths(folder: string, transferId: string): TransferPaths {
  const base = baseOf(folder, transferId)
  return { partial: `${base}.partial`, parts: `${base}.parts`, commit: `${base}.commit` }
}

/** The files of one tree that is not finished. */
export interface TreePaths {
  /** The root folder. */
  readonly tree: string
  /** The last step, which may take long. */
  readonly later: string
  /** A part before its turn: its number follows. */
  readonly waiting: string
}

/** @param transferId must be validated, because it becomes part of a path */
export function treePaths(folder: string, transferId: string): TreePaths {
  const base = baseOf(folder, transferId)
  return { tree: `${base}.tree`, later: `${base}.later`, waiting: `${base}.waiting-` }
}

/** Not by `join`, which would take apart the same folder several times for each file. */
function baseOf(folder: string, transferId: string): string {
  return `${folder}${sep}${inboxFolderName}${sep}${transferId}`
}
