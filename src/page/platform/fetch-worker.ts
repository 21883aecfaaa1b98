/**
 * A worker that makes the requests for parts, and reads their answers. It has the security policy of the page: it talks to the page's
 * portal and to nobody else.
 */
import './disposables.ts'
import { bytesIn, fetchSettings, noBytes } from '../../client/browser-transport.ts'
import { Problem } from '../../protocol/index.ts'
import type { ReceiveLimits } from '../../receiver/index.ts'
import { directBody } from './direct-body.ts'
import { type GatheredPart, gather } from './inbox/gather.ts'

/** Messages of the page about a request: one at a time, and the abort. */
export type FetchRequest = { readonly number: number } & (
  | { readonly ask: 'fetch'; readonly url: string; readonly headers: Record<string, string> }
  | { readonly ask: 'gather'; readonly part: GatheredPart; readonly limits: Omit<ReceiveLimits, 'signal'> }
  | { readonly ask: 'read' }
  | { readonly ask: 'abort' }
)

/** What the worker answers. Buffers are transferred. */
export type FetchAnswer = { readonly number: number } & (
  | { readonly answer: 'head'; readonly status: number; readonly headers: [string, string][] }
  /** Null at the end of the body. */
  | { readonly answer: 'bytes'; readonly bytes: Uint8Array<ArrayBuffer> | null }
  | {
      readonly answer: 'failed'
      readonly message: string
      /** The members of a problem. */
      readonly code?: string
      readonly details?: Readonly<Record<string, unknown>>
    }
)

interface Fetching {
  readonly controller: AbortController
  content: ReadableStream<Uint8Array<ArrayBuffer>> | null
  /** Reads the content as it arrives; null before the first bytes. */
  arriving: AsyncGenerator<Uint8Array<ArrayBuffer>> | null
}

const underway = new Map<number, Fetching>()

self.onmessage = async ({ data }: MessageEvent<FetchRequest>) => {
  const { number } = data
  if (data.ask === 'abort') {
    underway.get(number)?.controller.abort()
    underway.delete(number)
    return
  }
  try {
    const answer = data.ask === 'fetch' ? await begin(data) : await read(data)
    const isLast = answer.answer === 'bytes' && (answer.bytes === null || data.ask === 'gather')
    if (isLast) underway.delete(number)
    self.postMessage(answer, {
      transfer: answer.answer === 'bytes' && answer.bytes !== null ? [answer.bytes.buffer] : [],
    })
  } catch (error) {
    underway.get(number)?.controller.abort()
    underway.delete(number)
    const message = error instanceof Error || error instanceof DOMException ? error.message : String(error)
    const problem = error instanceof Problem ? { code: error.code, details: error.details } : {}
    self.postMessage({ number, answer: 'failed', message, ...problem } satisfies FetchAnswer)
  }
}

async function begin({ number, url, headers }: FetchRequest & { readonly ask: 'fetch' }): Promise<FetchAnswer> {
  const controller = new AbortController()
  underway.set(number, { controller, content: null, arriving: null })
  const response = await fetch(url, { headers, signal: controller.signal, ...fetchSettings })
  const one = underway.get(number)
  if (one !== undefined) one.content = response.body
  return { number, answer: 'head', status: response.status, headers: [...response.headers] }
}

async function read(request: FetchRequest & { readonly ask: 'gather' | 'read' }): Promise<FetchAnswer> {
  const { number } = request
  const one = underway.get(number)
  if (one === undefined) throw new TypeError('the request is over')
  if (request.ask === 'gather') {
    const { part, limits } = request
    const body = one.content === null ? noBytes() : directBody(one.content)
    const bytes = await gather({ ...part, body }, { ...limits, signal: one.controller.signal })
    return { number, answer: 'bytes', bytes }
  }
  one.arriving ??= one.content === null ? noBytes() : bytesIn(one.content)
  const { done, value } = await one.arriving.next()
  return { number, answer: 'bytes', bytes: done === true ? null : value }
}
