/**
 * What a source is read through. A small file is read in this thread: for a few thousand bytes the way to another thread and back costs
 * several times as much as the read. Larger files are read in other threads, so that a slow disk does not hold up the process.
 */
import { type BigIntStats, closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'

/** Files up to this size are read in this thread. */
const SMALL_BYTES_MAX = 64 * 1024

/** The methods of Node's `FileHandle` that a source needs. */
export interface SourceHandle {
  stat(options: { readonly bigint: true }): Promise<BigIntStats>
  /** @param position null to read on in order */
  read(target: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesRead: number }>
  close(): Promise<void>
}

/** @throws errors of the file system */
export async function openSourceHandle(
  location: string | Buffer,
  flags: number,
  sizeBytes: number,
): Promise<SourceHandle> {
  return sizeBytes > SMALL_BYTES_MAX ? open(location, flags) : new SmallHandle(openSync(location, flags))
}

class SmallHandle implements SourceHandle {
  #descriptor: number | null

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  async stat(options: { readonly bigint: true }): Promise<BigIntStats> {
    return fstatSync(this.#open, options)
  }

  async read(target: Uint8Array, offset: number, length: number, position: number | null) {
    return { bytesRead: readSync(this.#open, target, offset, length, position) }
  }

  /** A second call does nothing. */
  async close(): Promise<void> {
    const descriptor = this.#descriptor
    this.#descriptor = null
    if (descriptor !== null) closeSync(descriptor)
  }

  get #open(): number {
    if (this.#descriptor === null) throw new Error('the file is closed')
    return this.#descriptor
  }
}
