import { Readable } from 'node:stream'
import { Agent, request } from 'undici'
import { type HttpRequest, NoAnswer, type Transport } from './transport.ts'

/** A body leaves in slices of this size, so that a slow upload can be told from a stalled one. */
const SLICE_BYTES = 256 * 1024
const CONNECT_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 30_000

/**
 * The transport for Node, over undici.
 *
 * @param portalUrl address of the portal; a path in it is kept as a prefix
 */
export function nodeTransport(portalUrl: string): Transport<Readable> {
  const base = portalUrl.replace(/\/+$/, '')
  // Time limits are this transport's own: undici's do not tell a slow upload from a stalled one.
  const agent = new Agent({
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  return {
    async request({ method, path, headers, body, onSent, onAlive, stallMs, signal }) {
      const controller = new AbortController()
      const stalled = new NoAnswer(`no answer within ${stallMs} ms`)
      const watchdog = setTimeout(() => controller.abort(stalled), stallMs)
      const abort = (): void => controller.abort(signal?.reason)
      signal?.addEventListener('abort', abort, { once: true })
      if (signal?.aborted === true) abort()
      const sent = (byteCount: number): void => {
        watchdog.refresh()
        onSent?.(byteCount)
      }
      try {
        const response = await request(base + path, {
          dispatcher: agent,
          method,
          headers: body === undefined ? headers : { ...headers, 'content-length': String(body.length) },
          ...(body === undefined ? {} : { body: Readable.from(slices(body, sent), { highWaterMark: 1 }) }),
          signal: controller.signal,
          // An interim answer (RFC 9110 section 15.2): the portal is busy with the request.
          onInfo: () => {
            watchdog.refresh()
            onAlive?.()
          },
        })
        response.body.once('close', () => signal?.removeEventListener('abort', abort))
        return {
          status: response.statusCode,
          header: (name) => {
            const value = response.headers[name]
            return value === undefined ? null : String(value)
          },
          body: response.body,
          discard: () => {
            response.body.on('error', () => {})
            response.body.destroy()
          },
        }
      } catch (cause) {
        signal?.removeEventListener('abort', abort)
        if (signal?.aborted === true) throw signal.reason
        if (cause instanceof NoAnswer) throw cause
        throw new NoAnswer(`no answer: ${describe(cause)}`, { cause })
      } finally {
        clearTimeout(watchdog)
      }
    },
    close: () => agent.destroy(),
  }
}

async function* slices(body: NonNullable<HttpRequest['body']>, sent: (byteCount: number) => void) {
  for (let at = 0; at < body.length; at += SLICE_BYTES) {
    const slice = body.subarray(at, at + SLICE_BYTES)
    yield slice
    sent(slice.length)
  }
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message
  return cause.message
}
