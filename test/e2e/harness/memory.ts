/** The peak of a process's memory. */
import { readFile } from 'node:fs/promises'
import type { Running } from './world.ts'

const LOOK_MS = 200

/** The peak memory of a process so far, in bytes. It must still be running. */
export async function memoryPeakBytes({ child }: Pick<Running, 'child'>): Promise<number> {
  const text = await readFile(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024
}

/** Reads the peak of a process repeatedly, because it can be read only while that runs. */
export function watchMemoryPeak(running: Pick<Running, 'child'>): Disposable & { readonly bytes: number } {
  let bytes = 0
  const timer = setInterval(async () => {
    const peakBytes = await memoryPeakBytes(running).catch(() => 0)
    // A process that is ending has no memory, and reports no peak.
    if (peakBytes > bytes) bytes = peakBytes
  }, LOOK_MS)
  return {
    get bytes() {
      return bytes
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
