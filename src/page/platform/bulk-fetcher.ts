/**
 * Fetches parts in a worker: a part arrives in a hundred reads, and each would interrupt the page. The page gets a part as a whole,
 * transferred.
 */
import { type BulkFetcher, browserTransport } from '../../client/browser-transport.ts'
import type { Transport } from '../../client/index.ts'
import { isProblemCode, Problem } from '../../protocol/index.ts'
import type { PartBody, ReceiveLimits } from '../../receiver/index.ts'
import type { FetchAnswer, FetchRequest } from './fetch-worker.ts'
import address from './fetch-worker.ts?worker&url'
import type { GatheredBody, GatheredPart } from './inbox/gather.ts'
import { startWorker } from './workers.ts'

/** The transport of the page. */
export function pageTransport(portalUrl: string): Transport<PartBody> {
  return browserTransport(portalUrl, new WorkerFetcher())
}

class WorkerFetcher implements BulkFetcher {
  #worker: Worker | null = null
  readonly #waiting = new Map<number, PromiseWithResolvers<FetchAnswer>>()
  #fetches = 0

  async fetch(...[url, headers, signal, done]: Parameters<BulkFetcher['fetch']>) {
    signal.throwIfAborted()
    const number = ++this.#fetches
    const abort = (): void => {
      this.#worker?.postMessage({ number, ask: 'abort' } satisfies FetchRequest)
      this.#waiting.get(number)?.reject(signal.reason)
      this.#waiting.delete(number)
    }
    signal.addEventListener('abort', abort, { once: true })
    const ask = (request: FetchRequest): Promise<FetchAnswer> => {
      signal.throwIfAborted()
      return this.#ask(request)
    }
    const head = await ask({ number, ask: 'fetch', url, headers: { ...headers } })
    if (head.answer !== 'head') throw unexpected(head)
    const fields = new Headers(head.headers)
    return { status: head.status, header: (name: string) => fields.get(name), body: bodyOf(number, ask, done) }
  }

  [Symbol.dispose](): void {
    this.#worker?.terminate()
    this.#fail('the connection was closed')
  }

  #ask(request: FetchRequest): Promise<FetchAnswer> {
    const waiting = Promise.withResolvers<FetchAnswer>()
    this.#waiting.set(request.number, waiting)
    this.#worker ??= this.#start()
    this.#worker.postMessage(request)
    return waiting.promise
  }

  #start(): Worker {
    const worker = startWorker(address)
    worker.onmessage = ({ data }: MessageEvent<FetchAnswer>) => {
      const waiting = this.#waiting.get(data.number)
      this.#waiting.delete(data.number)
      waiting?.resolve(data)
    }
    // The script may not have loaded, because the network was away. The next request starts another worker.
    worker.onerror = ({ message }) => {
      worker.terminate()
      this.#fail(`the worker for requests failed: ${message}`)
    }
    return worker
  }

  #fail(message: string): void {
    this.#worker = null
    for (const { reject } of this.#waiting.values()) reject(new TypeError(message))
    this.#waiting.clear()
  }
}

function bodyOf(
  number: number,
  ask: (request: FetchRequest) => Promise<FetchAnswer>,
  done: () => void,
): PartBody & GatheredBody {
  return {
    async gather(part: GatheredPart, { idleMs, minThroughput, signal }: ReceiveLimits) {
      // Ends the request, and with it the question to the worker.
      signal.addEventListener('abort', done, { once: true })
      if (signal.aborted) done()
      try {
        const limits = { idleMs, ...(minThroughput === undefined ? {} : { minThroughput }) }
        const answer = await ask({ number, ask: 'gather', part, limits })
        if (answer.answer !== 'bytes' || answer.bytes === null) throw unexpected(answer)
        return answer.bytes
      } catch (cause) {
        if (cause instanceof Problem) throw cause
        throw new Problem('part-incomplete', { ...part, detail: 'the connection broke' }, { cause })
      } finally {
        signal.removeEventListener('abort', done)
        done()
      }
    },
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const answer = await ask({ number, ask: 'read' })
          if (answer.answer !== 'bytes') throw unexpected(answer)
          if (answer.bytes === null) return
          yield answer.bytes
        }
      } finally {
        done()
      }
    },
  }
}

function unexpected(answer: FetchAnswer): Error {
  if (answer.answer !== 'failed') return new Error(`the worker for requests answered "${answer.answer}"`)
  const { code, details, message } = answer
  return code !== undefined && isProblemCode(code) ? new Problem(code, details) : new TypeError(message)
}
