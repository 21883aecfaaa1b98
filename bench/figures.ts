/** Figures of several rounds, as they are told; and the files that they are about. */
import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { pipeline } from 'node:stream/promises'

export const KIB = 1024
export const MIB = 1024 * KIB

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = Math.floor(sorted.length / 2)
  const [low = 0, high = 0] = sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1)
  return (low + high) / 2
}

/** The smallest value that so large a share of all does not exceed: 0.99 for the 99th percentile. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

/** As many digits as mean something. */
export function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function mebibytes(bytes: number): string {
  return (bytes / MIB).toFixed(0)
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

/** A table for RESULTS.md. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
  return `${line(head)}${'|---'.repeat(head.length)}|\n${rows.map(line).join('')}`
}

/** When and on what it was measured. */
export function circumstances(): string {
  const processors = cpus()
  const model = processors[0]?.model.trim() ?? 'an unknown processor'
  return `${new Date().toISOString().slice(0, 10)}, ${processors.length} x ${model}, Linux ${release()}, Node ${process.version}`
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
