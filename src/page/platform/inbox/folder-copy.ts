/** Copies of finished files in a folder that a person has chosen. */
import { Problem, partCount, partSpan } from '../../../protocol/index.ts'
import type { PartialLayout } from '../../../receiver/index.ts'
import { digestLent } from '../part-digests.ts'
import type { HeldPart } from './arrivals.ts'
import { reasonOf } from './storage-problem.ts'

/** What stands under a name: a file, something else, or nothing. */
export async function entryIn(folder: FileSystemDirectoryHandle, name: string): Promise<File | 'other' | null> {
  try {
    return await (await folder.getFileHandle(name)).getFile()
  } catch (error) {
    const reason = reasonOf(error)
    if (reason === 'TypeMismatchError') return 'other'
    // A name that the browser does not write.
    if (error instanceof TypeError) return 'other'
    if (reason === 'NotFoundError') return null
    throw error
  }
}

/**
 * The browser writes into a file of its own and puts it in the place of the empty one when all of it is there.
 *
 * @throws the signal's reason when that aborts before
 */
export async function copyInto(
  folder: FileSystemDirectoryHandle,
  name: string,
  content: File,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const handle = await folder.getFileHandle(name, { create: true })
  const { size } = await handle.getFile()
  if (size > 0) throw new DOMException('somebody else has just put a file there', 'InvalidStateError')
  try {
    await content.stream().pipeTo(await handle.createWritable(), { signal })
  } catch (cause) {
    signal.throwIfAborted()
    if (reasonOf(cause) !== 'AbortError') throw cause
    // Browsers do not let just any type of file be written.
    throw new Problem(
      'write-failed',
      { detail: 'the browser of the receiver does not let such a file be written' },
      { cause },
    )
  }
  const copied = await handle.getFile()
  if (copied.size !== content.size) throw new DOMException('the copy is not as long as the file', 'NotReadableError')
}

/** Removes what a copy that was broken off has left: an empty file in the place of one that is not empty. */
export async function removeEmpty(folder: FileSystemDirectoryHandle, name: string, sizeBytes: number): Promise<void> {
  try {
    const entry = await entryIn(folder, name)
    if (entry instanceof File && entry.size === 0 && sizeBytes > 0) await folder.removeEntry(name)
  } catch (error) {
    // Without the permission it stays: an empty file beside the delivered one.
    if (reasonOf(error) === null) throw error
  }
}

/** Whether a file is the one that these parts make up. Reads all of it, one part at a time. */
export async function holdsContent(
  file: File,
  layout: PartialLayout,
  parts: ReadonlyMap<number, HeldPart>,
): Promise<boolean> {
  for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
    const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
    const bytes = new Uint8Array(await file.slice(offsetBytes, offsetBytes + lengthBytes).arrayBuffer())
    const { digest } = await digestLent(layout.digestAlgorithm, bytes)
    if (digest !== parts.get(partNumber)?.contentDigest) return false
  }
  return true
}
