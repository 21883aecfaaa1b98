/**
 * One origin for a browser: a portal, an empty page with the page's own security headers, and modules of tests. All
 * other requests pass through to the portal unchanged, as by a plain proxy.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, extname } from 'node:path'
import { assetHeaders, pageHeaders } from '../../../src/portal/http/security-headers.ts'
import { bundleOf, ENTRY } from './modules.ts'

const EMPTY_PAGE_PATH = '/test-page'
/** Browsers request it by themselves where a page names no icon. */
const ICON_PATH = '/favicon.ico'
const MODULES_PATH = '/test-modules/'
const mediaTypes: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
}

/** Each module bundles its own copy of shared code, so several copies may create the policy that starts workers. */
const emptyPageHeaders = {
  ...pageHeaders,
  'content-security-policy': `${pageHeaders['content-security-policy']} 'allow-duplicates'`,
}

export class Origin {
  readonly #server: Server
  /** The path of the portal in this origin: empty, or with a leading slash. */
  readonly #prefix: string
  /** The address of the portal; null while there is none. Requests then fail to connect. */
  portalUrl: string | null

  private constructor(portalUrl: string | null, prefix: string) {
    this.portalUrl = portalUrl
    this.#prefix = prefix
    this.#server = createServer((asked, answer) => this.#answer(asked, answer))
    // Only the portal sets limits.
    this.#server.requestTimeout = 0
    this.#server.headersTimeout = 0
  }

  static async open(portalUrl: string | null, prefix = ''): Promise<Origin> {
    const origin = new Origin(portalUrl, prefix)
    await new Promise<void>((resolve) => origin.#server.listen(0, '127.0.0.1', resolve))
    return origin
  }

  /** The portal's address in this origin. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#prefix}`
  }

  get emptyPageUrl(): string {
    return new URL(EMPTY_PAGE_PATH, this.url).href
  }

  /** @param path of a module, relative to the repository */
  moduleUrl(path: string): string {
    return new URL(`${MODULES_PATH}${encodeURIComponent(path)}/${ENTRY}`, this.url).href
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  #answer(asked: IncomingMessage, answer: ServerResponse): void {
    const path = asked.url ?? '/'
    if (path === EMPTY_PAGE_PATH) {
      answer
        .writeHead(200, { ...emptyPageHeaders, 'content-type': 'text/html' })
        .end('<!doctype html><title>test</title>')
    } else if (path === ICON_PATH) {
      answer.writeHead(204).end()
    } else if (path.startsWith(MODULES_PATH)) {
      this.#answerModule(path.slice(MODULES_PATH.length), answer).catch((error) =>
        answer.writeHead(500).end(String(error)),
      )
    } else {
      this.#pass(asked, answer)
    }
  }

  async #answerModule(path: string, answer: ServerResponse): Promise<void> {
    const [module = '', ...name] = path.split('/')
    const file = (await bundleOf(decodeURIComponent(module))).get(name.join('/'))
    const headers = { ...assetHeaders(basename(path)), 'content-type': mediaTypes[extname(path)] ?? 'text/plain' }
    if (file === undefined) answer.writeHead(404).end()
    else answer.writeHead(200, headers).end(file)
  }

  #pass(asked: IncomingMessage, answer: ServerResponse): void {
    const path = asked.url ?? '/'
    if (this.portalUrl === null || !path.startsWith(this.#prefix)) {
      answer.destroy()
      return
    }
    const { method, headers } = asked
    const rest = path.slice(this.#prefix.length)
    const passed = request(this.portalUrl, {
      method,
      headers,
      path: rest.startsWith('/') ? rest : `/${rest}`,
      agent: false,
    })
    const cut = (): void => {
      answer.destroy()
      passed.destroy()
    }
    passed.on('error', cut)
    answer.on('close', () => {
      // The response may arrive before the whole request body. The proxy discards the rest of the body: Firefox reads no response before
      // its body has left. A pipe into a destroyed request would pause it.
      asked.unpipe(passed)
      passed.destroy()
      asked.resume()
    })
    passed.on('response', (response) => {
      const { connection: _, ...own } = response.headers
      answer.writeHead(response.statusCode ?? 500, own)
      answer.flushHeaders()
      response.on('error', cut)
      response.on('aborted', cut)
      response.pipe(answer)
    })
    asked.pipe(passed)
  }
}
