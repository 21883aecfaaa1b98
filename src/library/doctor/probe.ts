/** One request of `doctor`, and everything that came back: interim answers, times, and traces of proxies. */
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { NoResponseError } from '../../client/index.ts'
import { builtIn, type NodeRoutes } from '../../client/node-routes.ts'
import { problemMediaType, timerMs } from '../../protocol/index.ts'

/** How much of an answer is read to find its problem. */
const TEXT_LENGTH_MAX = 64 * 1024

export interface ProbeRequest {
  readonly method: 'GET' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  /** Writes the body; `isOver` tells whether the answer has come meanwhile. Without it, the request has no body. */
  readonly write?: (request: ClientRequest, isOver: () => boolean) => Promise<void>
  readonly routes: NodeRoutes
  /** Silence for this time ends the request. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export interface Probed {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  /** The code of the portal's problem; null when the answer is not a problem of a portal. */
  readonly code: string | null
  readonly afterMs: number
  /** Whether "100 Continue" came before the answer. */
  readonly wasAskedForBody: boolean
  readonly tls: { readonly protocol: string; readonly issuer: string; readonly validTo: string } | null
}

/** @throws NoResponseError with Node's message when no answer came */
export async function probeRequest(
  url: string,
  { method, headers = {}, write, routes, timeoutMs, signal }: ProbeRequest,
): Promise<Probed> {
  const startedAtMs = performance.now()
  const limits = AbortSignal.any([signal, AbortSignal.timeout(timerMs(timeoutMs))])
  const route = routes.for(new URL(url))
  const { request: begin } = builtIn(new URL(url).protocol)
  const request = begin(url, { method, ...route.options, headers: { ...headers, ...route.headers }, signal: limits })
  let wasAskedForBody = false
  let isOver = false
  request.on('continue', () => {
    wasAskedForBody = true
  })
  let tls: Probed['tls'] = null
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', (response) => {
      // A connection that is closed later, for instance after a refusal, knows no certificate any more.
      tls = tlsOf(response)
      resolve(response)
    })
    request.on('error', reject)
  })
  try {
    const writing = write === undefined ? request.end() : write(request, () => isOver)
    const response = await answered
    isOver = true
    const afterMs = performance.now() - startedAtMs
    const code = await codeOf(response)
    await writing
    const { statusCode = 0 } = response
    return { status: statusCode, headers: response.headers, code, afterMs, wasAskedForBody, tls }
  } catch (cause) {
    signal.throwIfAborted()
    throw new NoResponseError(cause instanceof Error ? cause.message : String(cause), { cause })
  } finally {
    isOver = true
    request.destroy()
  }
}

async function codeOf(response: IncomingMessage): Promise<string | null> {
  let text = ''
  for await (const bytes of response) {
    text += String(bytes)
    if (text.length > TEXT_LENGTH_MAX) break
  }
  if (!String(response.headers['content-type']).startsWith(problemMediaType)) return null
  try {
    return String(JSON.parse(text).code)
  } catch {
    // The answer does not come from a portal.
    return null
  }
}

function tlsOf({ socket }: IncomingMessage): Probed['tls'] {
  if (!('getPeerCertificate' in socket)) return null
  const secure = socket as TLSSocket
  const { issuer, valid_to: validTo } = secure.getPeerCertificate()
  return { protocol: secure.getProtocol() ?? '', issuer: String(issuer?.O ?? issuer?.CN ?? ''), validTo }
}
