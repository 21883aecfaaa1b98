/**
 * Digests of whole parts, without holding up the page. SHA-256 is WebCrypto's, which computes it elsewhere and fast. BLAKE3 is
 * computed in a few workers, to which a part is copied, so that the caller keeps its buffer: at once, or, where it is large, in
 * slices, so that no more than a slice or two are there twice. Each message waits for a processor: few large ones, not many small.
 */

import type { DigestAlgorithm } from '../../protocol/index.ts'
import { toHex } from '../../protocol/index.ts'
import type { DigestAnswer, DigestTask } from './part-digests-worker.ts'
import address from './part-digests-worker.ts?worker&url'
import { startWorker } from './workers.ts'

const WORKERS_MAX = 2
/** What parts usually are, sealed, fits in. */
const SLICE_BYTES = 9 * 1024 * 1024
/** One is on its way while another is being worked on. */
const SLICES_AHEAD_MAX = 2

/** The digest of a part, in hex. `bytes` must not be changed meanwhile. */
export async function digestPart(algorithm: DigestAlgorithm, bytes: Uint8Array): Promise<string> {
  if (algorithm === 'sha-256') {
    return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)))
  }
  const worker = await borrowed()
  try {
    const digest = await worker.digest(algorithm, bytes)
    giveBack(worker)
    return digest
  } catch (error) {
    // What it has of the part would get into the next one.
    worker.end()
    giveBack(null)
    throw error
  }
}

class DigestWorker {
  readonly #worker = startWorker(address)
  #answered: (answer: DigestAnswer) => void = () => {}
  #failed: (error: Error) => void = () => {}

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<DigestAnswer>) => this.#answered(data)
    this.#worker.onerror = ({ message }) => this.#failed(new Error(`the worker for digests failed: ${message}`))
  }

  digest(algorithm: DigestAlgorithm, bytes: Uint8Array): Promise<string> {
    return new Promise((resolve, reject) => {
      let at = 0
      let isAllSent = false
      const sendSlice = (): void => {
        if (isAllSent) return
        const slice = bytes.slice(at, at + SLICE_BYTES)
        at += slice.length
        isAllSent = at === bytes.length
        const task: DigestTask = { algorithm, bytes: slice, isLast: isAllSent }
        this.#worker.postMessage(task, [slice.buffer])
      }
      this.#failed = reject
      this.#answered = ({ digest }) => {
        if (digest !== null) return resolve(digest)
        try {
          sendSlice()
        } catch (error) {
          // There is no memory for a slice.
          reject(error)
        }
      }
      for (let ahead = 0; ahead < SLICES_AHEAD_MAX; ahead++) sendSlice()
    })
  }

  end(): void {
    this.#worker.terminate()
  }
}

const idle: DigestWorker[] = []
const waiting: ((worker: DigestWorker) => void)[] = []
let startedCount = 0

function borrowed(): Promise<DigestWorker> | DigestWorker {
  const worker = idle.pop()
  if (worker !== undefined) return worker
  if (startedCount < WORKERS_MAX) {
    startedCount++
    return new DigestWorker()
  }
  return new Promise((resolve) => waiting.push(resolve))
}

/** @param worker null for one that has ended */
function giveBack(worker: DigestWorker | null): void {
  const next = waiting.shift()
  if (next !== undefined) next(worker ?? new DigestWorker())
  else if (worker !== null) idle.push(worker)
  else startedCount--
}
