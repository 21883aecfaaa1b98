/** Compares the contents of two files of this machine. */
import { type FileHandle, open } from 'node:fs/promises'
import { hasCode, whenDescriptorsAllow } from '../fs/index.ts'

const READ_BYTES = 1024 * 1024

/** @returns false when one of them is missing or is not a file */
export async function haveSameContent(one: string, other: string): Promise<boolean> {
  try {
    await using first = await whenDescriptorsAllow(() => open(one, 'r'))
    await using second = await whenDescriptorsAllow(() => open(other, 'r'))
    const [firstStat, secondStat] = [await first.stat(), await second.stat()]
    if (!firstStat.isFile() || !secondStat.isFile() || firstStat.size !== secondStat.size) return false
    for (let atByte = 0; atByte < firstStat.size; atByte += READ_BYTES) {
      const lengthBytes = Math.min(READ_BYTES, firstStat.size - atByte)
      const [a, b] = await Promise.all([read(first, atByte, lengthBytes), read(second, atByte, lengthBytes)])
      if (!a.equals(b)) return false
    }
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EISDIR', 'ENOTDIR', 'ENAMETOOLONG')) return false
    throw error
  }
}

async function read(handle: FileHandle, startByte: number, lengthBytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(lengthBytes)
  let readBytes = 0
  while (readBytes < lengthBytes) {
    const { bytesRead } = await handle.read(buffer, readBytes, lengthBytes - readBytes, startByte + readBytes)
    if (bytesRead === 0) break
    readBytes += bytesRead
  }
  return buffer.subarray(0, readBytes)
}
