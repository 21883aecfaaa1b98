/**
 * The work on whole parts, in a few workers: it does not block the page, and two processors share it. The page transfers the buffer
 * of a part to a worker and back, because a copy would cost the page more time than the digest costs the worker.
 */
import { type DigestAlgorithm, Problem } from '../../protocol/index.ts'
import type { PartSeal } from '../../trust/index.ts'
import type { AlgorithmsAnswer, AlgorithmsTask, PartAnswer, PartTask, WorkedPart } from './part-worker.ts'
import address from './part-worker.ts?worker&url'
import { startWorker } from './workers.ts'

export type { WorkedPart } from './part-worker.ts'

const WORKERS_MAX = 2

/**
 * Reads a part of a file, and seals it if `seal` is given. The caller uses a key and a position for one content only.
 *
 * @returns the bytes to send, with their digest and that of the content
 * @throws DOMException when the browser does not read the file
 */
export function readPart(content: Blob, algorithm: DigestAlgorithm, seal: PartSeal | null): Promise<WorkedPart> {
  return run({ task: 'read', algorithm, seal, content })
}

/**
 * Verifies a part that has arrived, and opens its seal.
 *
 * @param bytes the whole buffer; it is detached, and lost on failure
 * @param expected the digest of the part as it travels, in hex
 * @returns the content
 * @throws Problem `digest-mismatching-value`, `seal-broken`
 */
export async function verifyAndOpen(
  bytes: Uint8Array<ArrayBuffer>,
  {
    algorithm,
    expected,
    seal,
    partNumber,
  }: Readonly<{
    algorithm: DigestAlgorithm
    expected: string
    seal: PartSeal | null
    partNumber: number
  }>,
): Promise<WorkedPart> {
  const part = await run({ task: 'open', algorithm, seal, bytes, expected }, [bytes.buffer])
  if (part.digest === expected) return part
  throw new Problem('digest-mismatching-value', { partNumber, expected, actual: part.digest })
}

/**
 * Computes the digest of bytes that own their buffer, without copying them in the page.
 *
 * @param bytes the whole buffer; it is detached meanwhile, and lost on failure
 * @returns the digest, and the bytes in a usable buffer
 */
export function digestLent(algorithm: DigestAlgorithm, bytes: Uint8Array<ArrayBuffer>): Promise<WorkedPart> {
  return run({ task: 'open', algorithm, seal: null, bytes, expected: null }, [bytes.buffer])
}

/** The digest algorithms that the workers compute fast, fastest first. */
export async function workerDigestAlgorithms(): Promise<readonly DigestAlgorithm[]> {
  const { algorithms } = await answerTo<AlgorithmsAnswer>({ task: 'algorithms' })
  return algorithms
}

async function run(task: PartTask, transfer: Transferable[] = []): Promise<WorkedPart> {
  const answer = await answerTo<PartAnswer>(task, transfer)
  if ('part' in answer) return answer.part
  if ('unreadable' in answer) throw new DOMException(answer.unreadable.message, answer.unreadable.name)
  throw new Problem('seal-broken', { partNumber: task.seal?.position.partNumber })
}

async function answerTo<Answer>(task: PartTask | AlgorithmsTask, transfer: Transferable[] = []): Promise<Answer> {
  const worker = await borrowed()
  try {
    const answer = await worker.run(task, transfer)
    giveBack(worker)
    return answer as Answer
  } catch (error) {
    worker.end()
    giveBack(null)
    throw error
  }
}

class PartWorker {
  readonly #worker = startWorker(address)
  #answered: (answer: unknown) => void = () => {}
  #failed: (error: Error) => void = () => {}

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<unknown>) => this.#answered(data)
    this.#worker.onerror = ({ message }) => this.#failed(new Error(`the worker for parts failed: ${message}`))
  }

  run(task: PartTask | AlgorithmsTask, transfer: Transferable[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#failed = reject
      this.#answered = resolve
      this.#worker.postMessage(task, transfer)
    })
  }

  end(): void {
    this.#worker.terminate()
  }
}

const idle: PartWorker[] = []
const waiting: ((worker: PartWorker) => void)[] = []
let startedCount = 0

function borrowed(): Promise<PartWorker> | PartWorker {
  const worker = idle.pop()
  if (worker !== undefined) return worker
  if (startedCount < WORKERS_MAX) {
    startedCount++
    return new PartWorker()
  }
  return new Promise((resolve) => waiting.push(resolve))
}

/** @param worker null for one that has ended */
function giveBack(worker: PartWorker | null): void {
  const next = waiting.shift()
  if (next !== undefined) next(worker ?? new PartWorker())
  else if (worker !== null) idle.push(worker)
  else startedCount--
}
