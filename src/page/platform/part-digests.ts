/**
 * Digests of whole parts, without holding up the page. SHA-256 is WebCrypto's, which computes it elsewhere and fast. BLAKE3 is
 * computed in a few workers. A part's memory is lent to them as it is: new memory for a copy costs the page more time than
 * the digest costs the worker.
 */

import type { DigestAlgorithm } from '../../protocol/index.ts'
import { toHex } from '../../protocol/index.ts'
import type { DigestAnswer, DigestTask } from './part-digests-worker.ts'
import address from './part-digests-worker.ts?worker&url'
import { startWorker } from './workers.ts'

const WORKERS_MAX = 2

export interface LentPart {
  /** In hex. */
  readonly digest: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** The digest of a part, in hex. `bytes` must not be changed meanwhile. BLAKE3 copies them. */
export async function digestPart(algorithm: DigestAlgorithm, bytes: Uint8Array): Promise<string> {
  return (await digestLent(algorithm, algorithm === 'sha-256' ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice()))
    .digest
}

/**
 * The same of a part that has memory of its own, without copying it.
 *
 * @param bytes all of their memory; they are not there while the digest is computed, and gone if it fails
 * @returns the digest, and the bytes, which are there again
 */
export async function digestLent(algorithm: DigestAlgorithm, bytes: Uint8Array<ArrayBuffer>): Promise<LentPart> {
  if (algorithm === 'sha-256') {
    return { digest: toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))), bytes }
  }
  const worker = await borrowed()
  try {
    const lent = await worker.digest(algorithm, bytes)
    giveBack(worker)
    return lent
  } catch (error) {
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

  digest(algorithm: DigestAlgorithm, bytes: Uint8Array<ArrayBuffer>): Promise<LentPart> {
    return new Promise((resolve, reject) => {
      this.#failed = reject
      this.#answered = resolve
      this.#worker.postMessage({ algorithm, bytes } satisfies DigestTask, [bytes.buffer])
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
