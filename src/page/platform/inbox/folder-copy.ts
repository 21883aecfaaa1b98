/** Copies finished files into the folder that the user has chosen. */
import { Problem, partCount, partSpan } from '../../../protocol/index.ts'
import type { PartialLayout } from '../../../receiver/index.ts'
import type { PartDigests } from '../../../trust/index.ts'
import { digestLent } from '../part-workers.ts'
import { storageReasonOf } from './storage-problem.ts'

/** Chromium writes to a file with this end first, and leaves it when it is killed. */
export const swapEnd = '.crswap'

/** What exists under a name: a file, something else, or nothing. */
export async function entryIn(folder: FileSystemDirectoryHandle, name: string): Promise<File | 'other' | null> {
  try {
    return await (await folder.getFileHandle(name)).getFile()
  } catch (error) {
    const reason = storageReasonOf(error)
    if (reason === 'TypeMismatchError') return 'other'
    // The browser refuses this name.
    if (error instanceof TypeError) return 'other'
    if (reason === 'NotFoundError') return null
    throw error
  }
}

/**
 * Copies a file. The browser writes to a temporary file and replaces the empty one when the copy is complete.
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
  if (size > 0) throw new DOMException('another program has just put a file there', 'InvalidStateError')
  try {
    await content.stream().pipeTo(await handle.createWritable(), { signal })
  } catch (cause) {
    signal.throwIfAborted()
    if (storageReasonOf(cause) !== 'AbortError') throw cause
    // Browsers refuse to write some types of files.
    throw new Problem(
      'write-failed',
      { detail: 'the browser of the receiver does not let such a file be written' },
      { cause },
    )
  }
  const copied = await handle.getFile()
  if (copied.size !== content.size) throw new DOMException('the copy is not as long as the file', 'NotReadableError')
}

/** Removes the empty file that an interrupted copy has left. A file that is empty itself stays. */
export async function removeEmpty(folder: FileSystemDirectoryHandle, name: string, sizeBytes: number): Promise<void> {
  try {
    const entry = await entryIn(folder, name)
    if (!(entry instanceof File) || entry.size > 0 || sizeBytes === 0) return
    await folder.removeEntry(name)
    await removeUnlessFull(folder, name + swapEnd)
  } catch (error) {
    // Without the permission the empty file stays in the folder, in addition to the delivered one.
    if (storageReasonOf(error) === null) throw error
  }
}

/** Whether a file consists of these parts. Reads all of it, one part at a time. */
export async function holdsContent(
  file: File,
  layout: PartialLayout,
  parts: ReadonlyMap<number, PartDigests>,
): Promise<boolean> {
  for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
    const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
    const bytes = new Uint8Array(await file.slice(offsetBytes, offsetBytes + lengthBytes).arrayBuffer())
    const { digest } = await digestLent(layout.digestAlgorithm, bytes)
    if (digest !== parts.get(partNumber)?.contentDigest) return false
  }
  return true
}

/** Removes a file, or a folder unless something is in it. */
export async function removeUnlessFull(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  try {
    await folder.removeEntry(name)
  } catch (error) {
    const reason = storageReasonOf(error)
    if (reason !== 'InvalidModificationError' && reason !== 'NotFoundError') throw error
  }
}
