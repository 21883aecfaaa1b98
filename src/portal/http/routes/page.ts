/**
 * `/`, `/join`, `/g`, `/r` and `/assets/*`: the web page. Invite links lead to `/join`, send links to `/g` and request links to `/r`.
 * Browsers do not send the secret of a link, which is in the fragment. So a preview of a link gets the page, and changes nothing.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { Problem } from '../../../protocol/index.ts'
import type { App } from '../app.ts'
import { textMediaType } from '../lines.ts'
import type { PageFile, WebPage } from '../page-files.ts'
import { assetHeaders, pageHeaders } from '../security-headers.ts'

const NOT_BUILT = 'The web page is not built here. In the checkout: npm run build:page; then start the portal again.\n'
/** Browsers revalidate each time and get 304 if the page is unchanged, so that a new portal shows its new page at once. */
const REVALIDATED = 'no-cache'
/** Which document each path has. */
const pages = [
  ['/', 'html'],
  ['/join', 'html'],
  ['/g', 'guestHtml'],
  ['/r', 'guestHtml'],
] as const
const FOREVER = 'public, max-age=31536000, immutable'

/** @param page null when it has not been built */
export function pageRoutes(app: App, page: WebPage | null): void {
  for (const [path, html] of pages) {
    app.get(path, async (request, reply) => {
      if (page !== null) return sendFile(request, reply, page[html], { ...pageHeaders, 'cache-control': REVALIDATED })
      return reply.code(404).type(textMediaType).send(NOT_BUILT)
    })
  }
  app.get('/assets/:name', { schema: { params: Type.Object({ name: Type.String() }) } }, async (request, reply) => {
    const { name } = request.params
    const file = page?.assets.get(name)
    if (file === undefined) throw new Problem('not-found')
    return sendFile(request, reply, file, { ...assetHeaders(name), 'cache-control': FOREVER })
  })
}

function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  file: PageFile,
  headers: Readonly<Record<string, string>>,
): FastifyReply {
  const brotli = takesBrotli(request) ? file.brotli : null
  // RFC 9110 section 8.8.3.3: two encodings are two representations, each with an entity tag of its own.
  const tag = `"${file.digest}${brotli === null ? '' : '-br'}"`
  reply.headers({ ...headers, vary: 'accept-encoding', etag: tag })
  if (isKnown(request, tag)) return reply.code(304).send()
  if (brotli !== null) reply.header('content-encoding', 'br')
  return reply.type(file.mediaType).send(brotli ?? file.plain)
}

/** Whether the client accepts brotli (RFC 9110 section 12.5.3). */
function takesBrotli({ headers }: FastifyRequest): boolean {
  return /(?:^|,)\s*br\s*(?:,|$|;\s*q=(?:0?\.0*[1-9]|1))/i.test(String(headers['accept-encoding'] ?? ''))
}

/** `If-None-Match` (RFC 9110 section 13.1.2). */
function isKnown({ headers }: FastifyRequest, tag: string): boolean {
  const tags = String(headers['if-none-match'] ?? '').split(',')
  return tags.some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === tag)
}
