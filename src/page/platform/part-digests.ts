/**
 * Digests of whole parts, without holding up the page. SHA-256 is WebCrypto's, which computes it elsewhere and fast. BLAKE3 is
 * JavaScript, for what other senders chose: in a few workers, to which a part goes in slices, so that the caller keeps its buffer and
 * no more than a slice or two are there twice.
 */

import type { DigestAlgorithm } from '../../protocol/index.ts'
import { toHex } from '../../protocol/index.ts'
import type { DigestAnswer, DigestTask } from './part-digests-worker.ts'
import address from './part-digests-worker.ts?worker&url'
import { startWorker } from './workers.ts'

const WORKERS_MAX = 2
const SLICE_BYTES = 1024 * 1024
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
      const sendSlice = (): void => {
        if (at > bytes.length) return
        const slice = at === bytes.length ? null : bytes.slice(at, at + SLICE_BYTES)
        // One more than the length: all has been sent, and the word that it was all.
        at = slice === null ? bytes.length + 1 : at + slice.length
        const task: DigestTask = { algorithm, bytes: slice }
        this.#worker.postMessage(task, slice === null ? [] : [slice.buffer])
      }
      this.#failed = reject
      this.#answered = ({ digest }) => {
        if (digest === null) sendSlice()
        else resolve(digest)
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
