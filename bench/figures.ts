/** Figures of several rounds, as they are told; and the files that they are about. */
import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'

const MIB = 1024 * 1024

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = Math.floor(sorted.length / 2)
  const [low = 0, high = 0] = sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1)
  return (low + high) / 2
}

export function seconds(ms: number): string {
  return (ms / 1000).toFixed(2)
}

/** The smallest and the largest, as `format` writes them. */
export function range(values: readonly number[], format: (value: number) => string): string {
  return `${format(Math.min(...values))}-${format(Math.max(...values))}`
}

/** A file of random bytes. */
export async function makeFile(path: string, mib: number): Promise<void> {
  const handle = await open(path, 'wx')
  const block = Buffer.allocUnsafe(MIB)
  for (let written = 0; written < mib; written++) await handle.write(randomFillSync(block))
  await handle.close()
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: MIB }), hash)
  return hash.digest('hex')
}
