/**
 * Files whose reported size is not true. The kernel makes the content of /proc and /sys when it is read, and reports a size of 0 or
 * one page. Other file systems may report an outdated size.
 *
 * The sender trusts a size only when a read confirms it: the last byte exists, and none follows it. It reads any other file to its
 * end at once, into memory, and sends that.
 */
import type { SourceHandle } from './node-source-handle.ts'

/** The longest such file that is held in memory. Files in /proc or /sys that people send are shorter. */
export const unsizedBytesMax = 32 * 1024 * 1024

const READ_BYTES = 64 * 1024

/** A file is longer than that, and is to be sent as a stream. */
export class UnsizedFileError extends Error {
  override readonly name = 'UnsizedFileError'
  /** What to open: see `FileSource`. */
  readonly location: string | Buffer

  constructor(path: string, location: string | Buffer) {
    super(`${path} is long, and the system does not say how long`)
    this.location = location
  }
}

/** Whether a file ends where its size says. */
export async function isSizeTrue(handle: SourceHandle, sizeBytes: number): Promise<boolean> {
  const lastBytes = Math.min(sizeBytes, 1)
  const probe = new Uint8Array(lastBytes + 1)
  const { bytesRead } = await handle.read(probe, 0, probe.length, sizeBytes - lastBytes)
  return bytesRead === lastBytes
}

/**
 * Reads a file in order, to its end.
 *
 * @returns null for one of more than {@link unsizedBytesMax}
 * @throws errors of the file system
 */
export async function readUnsized(handle: SourceHandle): Promise<Uint8Array | null> {
  const buffer = new Uint8Array(READ_BYTES)
  const read: Uint8Array[] = []
  let sizeBytes = 0
  while (sizeBytes <= unsizedBytesMax) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, null)
    if (bytesRead === 0) return Buffer.concat(read)
    // A copy, because the kernel may fill only a small part of the buffer.
    read.push(buffer.slice(0, bytesRead))
    sizeBytes += bytesRead
  }
  return null
}
