/** Interim answers (RFC 9110 section 15.2), and the connections that carry them. */
import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** `104 (Upload Resumption Supported)` of draft-ietf-httpbis-resumable-upload. */
const RESUMPTION = 104
STATUS_CODES[RESUMPTION] ??= 'Upload Resumption Supported'

/** Headers that proxies or browsers add to a request. */
const STANDS_BETWEEN = ['via', 'forwarded', 'x-forwarded-for', 'sec-fetch-site', 'sec-fetch-mode']

/**
 * Whether an interim answer would reach the client as one. HTTP/1.0 has none. Some proxies, for instance nginx 1.22, take one for the head
 * of the answer and the true answer for its content. And browsers do not show them to their page. The client has to ask for them besides,
 * because some clients, for instance Python's `http.client`, take one for the final answer.
 */
export function carriesInterimAnswers({ headers, raw }: FastifyRequest): boolean {
  return raw.httpVersion === '1.1' && STANDS_BETWEEN.every((name) => headers[name] === undefined)
}

/** Sends 102 (RFC 2518 section 10.1). */
export function sendProcessing({ raw }: FastifyReply): void {
  if (!raw.headersSent) raw.writeProcessing()
}

/** Sends 104 to a client that follows this version of the draft. @param fields of the upload */
export function sendResumption({ raw }: FastifyReply, interopVersion: number, fields: Record<string, string>): void {
  if (raw.headersSent || raw.destroyed) return
  raw.writeInformation(RESUMPTION, { ...fields, 'upload-draft-interop-version': String(interopVersion) })
}
