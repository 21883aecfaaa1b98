/**
 * A file on its way in: the content, written at the offsets of its parts, and beside it a list of the parts that
 * count.
 *
 *     <transferId>.parts:   golooader-parts 2 <sizeBytes> <partSizeBytes> <digestAlgorithm>
 *                           <partNumber> <digest> <contentDigest>
 *                           ...
 *
 * `digest` is that of what travelled, `contentDigest` that of what stands in the file; where nothing was sealed they are
 * the same.
 *
 * A part is entered in the list only once its bytes are verified and durable. The list itself is not synced: what is
 * missing there is fetched again, and what a later run reads there it believes only after it has hashed the part
 * anew. So neither a crash nor a disk that lies can make a part count that is not there.
 */
import { constants } from 'node:fs'
import { appendFile, type FileHandle, open, rm } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { digestDriver } from '../digests/index.ts'
import type { PartSink } from '../hop/index.ts'
import { hasCode, readTextOrNull, replaceFile, writeAll } from '../hop/node.ts'
import { isDigestHex, partCount, partSpan } from '../protocol/index.ts'
import type { ArrivingPart, IncomingFile, PartialLayout, TakeLimits } from './incoming-file.ts'
import type { TransferPaths } from './node-paths.ts'
import { takeIn } from './node-take-in.ts'

/** One part that counts; both digests in hex. */
interface HeldPart {
  readonly digest: string
  readonly contentDigest: string
}

const READ_BYTES = 1024 * 1024
/** The mode of the finished file, less what the umask takes. Until then its folder keeps others out. */
export const FILE_MODE = 0o644

/**
 * Opens what is there of a transfer, or begins it.
 *
 * @throws errors of the file system; the signal's reason when that aborts
 */
export async function openPartialFile(
  paths: TransferPaths,
  layout: PartialLayout,
  signal: AbortSignal,
): Promise<PartialFile> {
  const listed = await readList(paths.parts, layout)
  const handle = listed.size === 0 ? null : await openKept(paths.partial)
  if (handle === null) return begin(paths, layout)
  try {
    const held = await verified(handle, layout, listed, signal)
    // A line that was cut off by a crash, or that names a bad part, does not stay.
    await writeList(paths.parts, layout, held)
    return new PartialFile(paths, layout, handle, held)
  } catch (error) {
    await handle.close()
    throw error
  }
}

export class PartialFile implements IncomingFile<Readable> {
  readonly #paths: TransferPaths
  readonly #layout: PartialLayout
  readonly #handle: FileHandle
  readonly #held: Map<number, HeldPart>
  #heldBytes = 0

  constructor(paths: TransferPaths, layout: PartialLayout, handle: FileHandle, held: Map<number, HeldPart>) {
    this.#paths = paths
    this.#layout = layout
    this.#handle = handle
    this.#held = held
    for (const partNumber of held.keys()) this.#heldBytes += partSpan(layout, partNumber).lengthBytes
  }

  /** The parts that are verified and durable: part number -> digest in hex of what travelled. */
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

  takePart(part: ArrivingPart<Readable>, limits: TakeLimits): Promise<void> {
    return takeIn(part, limits, (contentDigest) => this.sink(part.partNumber, contentDigest))
  }

  /**
   * Where the bytes of one part go. What was written of a part that is discarded does not count.
   *
   * @param contentDigest is asked before the commit; not given where what travels is what the file holds
   */
  sink(partNumber: number, contentDigest?: () => string): PartSink {
    const { offsetBytes, lengthBytes } = partSpan(this.#layout, partNumber)
    let atByte: number | null = offsetBytes
    return {
      write: async (buffers) => {
        atByte = await writeAll(this.#handle, buffers, atByte)
      },
      commit: async (digest) => {
        await this.#handle.datasync()
        // The list must be there: a folder that has vanished is noticed here, and is not made anew.
        const flag = constants.O_WRONLY | constants.O_APPEND
        const held: HeldPart = { digest, contentDigest: contentDigest?.() ?? digest }
        await appendFile(this.#paths.parts, lineOf(partNumber, held), { flag })
        if (!this.#held.has(partNumber)) this.#heldBytes += lengthBytes
        this.#held.set(partNumber, held)
      },
      discard: async () => {
        // The bytes stay where they are, unlisted, until those of the next try replace them.
      },
    }
  }

  async startOver(): Promise<void> {
    this.#held.clear()
    this.#heldBytes = 0
    await writeList(this.#paths.parts, this.#layout, this.#held)
    await this.#handle.truncate(0)
  }

  async finish(): Promise<void> {
    await this.#handle.truncate(this.#layout.sizeBytes)
    await this.#handle.sync()
    await this.close()
  }

  async close(): Promise<void> {
    if (this.#handle.fd !== -1) await this.#handle.close()
  }
}

async function begin(paths: TransferPaths, layout: PartialLayout): Promise<PartialFile> {
  // Never truncated: after a crash the old one may be a second name of a file that is published already.
  await rm(paths.parts, { force: true })
  await rm(paths.partial, { force: true })
  const handle = await open(paths.partial, 'wx+', FILE_MODE)
  try {
    await writeList(paths.parts, layout, new Map())
    return new PartialFile(paths, layout, handle, new Map())
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** @returns null when there is nothing that may be written to */
async function openKept(path: string): Promise<FileHandle | null> {
  let handle: FileHandle
  try {
    handle = await open(path, 'r+')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
  const { nlink } = await handle.stat()
  if (nlink === 1) return handle
  await handle.close()
  return null
}

function headOf({ sizeBytes, partSizeBytes, digestAlgorithm }: PartialLayout): string {
  return `golooader-parts 2 ${sizeBytes} ${partSizeBytes} ${digestAlgorithm}`
}

function lineOf(partNumber: number, { digest, contentDigest }: HeldPart): string {
  return `${partNumber} ${digest} ${contentDigest}\n`
}

async function writeList(path: string, layout: PartialLayout, held: ReadonlyMap<number, HeldPart>): Promise<void> {
  const lines = [...held].map(([partNumber, part]) => lineOf(partNumber, part))
  await replaceFile(path, `${headOf(layout)}\n${lines.join('')}`)
}

/** The parts that are listed, none of them verified; empty for a list of other parts. */
async function readList(path: string, layout: PartialLayout): Promise<Map<number, HeldPart>> {
  const listed = new Map<number, HeldPart>()
  const text = await readTextOrNull(path)
  if (text === null) return listed
  const [head, ...lines] = text.split('\n')
  if (head !== headOf(layout)) return listed
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
  listed: ReadonlyMap<number, HeldPart>,
  signal: AbortSignal,
): Promise<Map<number, HeldPart>> {
  const held = new Map<number, HeldPart>()
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
