/** The portal serves the web page. Browsers cannot mistake any other answer for a page. */
import { readdirSync } from 'node:fs'
import { brotliDecompressSync } from 'node:zlib'
import Fastify from 'fastify'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type { App } from '../../../src/portal/http/app.ts'
import { textMediaType } from '../../../src/portal/http/lines.ts'
import { pageRoutes } from '../../../src/portal/http/routes/page.ts'
import { builtPage } from '../../page/built.ts'
import { browserPage } from '../../page/harness/browser.ts'
import { type Answer, refusalOf, TestPortal } from '../portal.ts'

const ASSETS = new URL('../../../dist/page/assets/', import.meta.url)
const POLICY = 'content-security-policy'

beforeAll(() => builtPage())

test('the page is at the address of the portal, and where links lead', async () => {
  const portal = await TestPortal.start()
  const html = await portal.ask('GET', '/')
  expect(html.status).toBe(200)
  expect(html.headers['content-type']).toBe('text/html; charset=utf-8')
  expect(html.body.toString()).toMatch(/^<!doctype html>/)
  expect((await portal.ask('GET', '/join')).body).toEqual(html.body)
  expect((await portal.ask('GET', '/?from=elsewhere')).body).toEqual(html.body)
  // People without an account need less of it.
  const guest = await portal.ask('GET', '/g')
  expect([guest.status, guest.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
  expect(guest.headers['content-security-policy']).toBe(html.headers['content-security-policy'])
  expect(scriptOf(guest)).not.toBe(scriptOf(html))
  expect((await portal.ask('GET', '/r')).body).toEqual(guest.body)
  const head = await portal.ask('HEAD', '/')
  expect([head.status, head.headers['content-length']]).toEqual([200, String(html.body.length)])
  for (const method of ['POST', 'PUT', 'DELETE']) expect(refusalOf(await portal.ask(method, '/'))).toBe('404 not-found')
})

test('each page defines the symbols of `using` before any other module of it runs', async () => {
  const portal = await TestPortal.start()
  for (const path of ['/', '/g']) {
    const script = (await portal.ask('GET', scriptOf(await portal.ask('GET', path)))).body.toString()
    const [, first] = /\bimport\s*(?:[^"';]*?from\s*)?["']([^"']+)["']/.exec(script) ?? []
    expect(first, path).toMatch(/^\.\/disposables-/)
  }
})

test('the assets are cached without end, and the page itself is revalidated', async () => {
  const portal = await TestPortal.start()
  const html = await portal.ask('GET', '/')
  expect(html.headers['cache-control']).toBe('no-cache')
  const again = await portal.ask('GET', '/', { headers: { 'if-none-match': html.headers.etag ?? '' } })
  expect([again.status, again.body.length]).toEqual([304, 0])
  const changed = await portal.ask('GET', '/', { headers: { 'if-none-match': '"another"' } })
  expect(changed.status).toBe(200)
  const script = await portal.ask('GET', scriptOf(html))
  expect([script.status, script.headers['content-type']]).toEqual([200, 'text/javascript; charset=utf-8'])
  expect(script.headers['cache-control']).toBe('public, max-age=31536000, immutable')
  expect(refusalOf(await portal.ask('GET', '/assets/none.js'))).toBe('404 not-found')
  expect(refusalOf(await portal.ask('GET', '/assets/..%2findex.html'))).toBe('404 not-found')
})

test('a browser that accepts brotli gets it, under an ETag of its own', async () => {
  const portal = await TestPortal.start()
  const path = scriptOf(await portal.ask('GET', '/'))
  const plain = await portal.ask('GET', path, { headers: { 'accept-encoding': 'gzip, br;q=0' } })
  const small = await portal.ask('GET', path, { headers: { 'accept-encoding': 'gzip, deflate, br' } })
  expect([plain.headers['content-encoding'], small.headers['content-encoding']]).toEqual([undefined, 'br'])
  expect(small.body.length).toBeLessThan(plain.body.length / 2)
  expect(brotliDecompressSync(small.body)).toEqual(plain.body)
  expect(small.headers.etag).not.toBe(plain.headers.etag)
  expect([plain.headers.vary, small.headers.vary]).toEqual(['accept-encoding', 'accept-encoding'])
})

test('the pages of accounts and of links weigh less than 160 kB on the wire together', async () => {
  const portal = await TestPortal.start()
  const names = [
    '/',
    '/g',
    ...readdirSync(ASSETS)
      .filter((name) => !name.endsWith('.br'))
      .map((name) => `/assets/${name}`),
  ]
  const headers = { 'accept-encoding': 'br' }
  const answers = await Promise.all(names.map((name) => portal.ask('GET', name, { headers })))
  const sizesBytes = answers.map(({ body }) => body.length)
  expect(sizesBytes.reduce((sum, bytes) => sum + bytes)).toBeLessThan(160_000)
})

test('the page may run its own scripts, connect to its own portal, and nothing else', async () => {
  const portal = await TestPortal.start()
  const html = await portal.ask('GET', '/')
  for (const { headers } of [html, await portal.ask('GET', scriptOf(html))]) {
    expect(headers[POLICY]).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(headers[POLICY]).toContain("frame-ancestors 'none'; require-trusted-types-for 'script'")
    expect(headers[POLICY]).not.toMatch(/unsafe|data:|blob:|\*|http/)
    expect(headers).toMatchObject({
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
  }
  // The security policy forbids inline scripts and styles, and the page has none.
  expect(html.body.toString()).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/)
})

test('only the worker that hashes parts may compile WebAssembly, and it may do less than the page otherwise', async () => {
  const portal = await TestPortal.start()
  const names = readdirSync(ASSETS).filter((name) => !name.endsWith('.br'))
  const policies = await Promise.all(
    names.map(async (name) => [name, (await portal.ask('GET', `/assets/${name}`)).headers[POLICY]] as const),
  )
  const others = policies.filter(([name]) => !name.startsWith('part-worker-'))
  expect(policies.length - others.length).toBe(1)
  const page = (await portal.ask('GET', '/')).headers[POLICY]
  for (const [, policy] of others) expect(policy).toBe(page)
  expect(policies.find((one) => !others.includes(one))?.[1]).toBe(
    "default-src 'none'; script-src 'wasm-unsafe-eval'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
      "require-trusted-types-for 'script'; trusted-types 'none'",
  )
})

test.each(['', '/gl'])(
  'a browser shows it at the path "%s" of a host, and has nothing to complain of',
  async (prefix) => {
    const portal = await TestPortal.start()
    await using browser = await browserPage({ portalUrl: portal.url, prefix })
    for (const path of ['/', '/join#gli_none']) {
      await browser.page.goto(browser.origin.url + path)
      expect(await browser.page.getByRole('heading', { level: 1 }).first().innerText()).not.toBe('')
    }
    expect(browser.complaints).toEqual([])
  },
)

test('no other answer can be used as a page: neither JSON, nor content, nor a stream', async () => {
  const portal = await TestPortal.start()
  const token = portal.token('bob')
  const content = Buffer.from('<!doctype html><script>alert(1)</script>')
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const answers = [
    await portal.ask('GET', '/v1/limits'),
    await portal.ask('GET', '/v1/account'),
    await portal.ask('GET', '/nothing'),
    await portal.ask('GET', '/v1/account', { token }),
    await portal.ask('GET', `/v1/inbox/${transferId}/parts/1?lease=${leaseId}&held=0`, { token }),
  ]
  expect(answers.at(-1)?.body).toEqual(content)
  for (const { headers } of answers) {
    expect(headers[POLICY]).toBe("default-src 'none'; frame-ancestors 'none'; sandbox")
    expect(headers['x-content-type-options']).toBe('nosniff')
  }
  const stream = await portal.connect()
  const began = new Promise<Buffer>((resolve) => stream.once('data', resolve))
  stream.write(
    portal.request('GET', '/v1/inbox?instance=i&window=1', { token, headers: { accept: 'text/event-stream' } }),
  )
  expect((await began).toString()).toMatch(
    /content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox/i,
  )
  stream.destroy()
})

test('pages of other sites get nothing: their requests are refused, and no answer allows them', async () => {
  const portal = await TestPortal.start()
  const token = portal.token('bob')
  for (const site of ['cross-site', 'same-site']) {
    const headers = { 'sec-fetch-site': site, origin: 'https://elsewhere.example' }
    expect(refusalOf(await portal.ask('GET', '/v1/account', { token, headers }))).toBe('403 cross-site-request')
    expect(refusalOf(await portal.ask('POST', '/v1/join', { headers, body: {} }))).toBe('403 cross-site-request')
    // The same route with percent-encoded letters.
    expect(refusalOf(await portal.ask('GET', '/%76%31/account', { token, headers }))).toBe('403 cross-site-request')
    // A link on another site may lead to the page.
    expect((await portal.ask('GET', '/join', { headers })).status).toBe(200)
  }
  for (const site of ['same-origin', 'none']) {
    const headers = { 'sec-fetch-site': site }
    expect((await portal.ask('GET', '/v1/account', { token, headers })).status).toBe(200)
  }
  const asked = { origin: 'https://elsewhere.example', 'access-control-request-method': 'GET' }
  for (const answer of [
    await portal.ask('OPTIONS', '/v1/account', { headers: asked }),
    await portal.ask('GET', '/v1/account', { token, headers: { origin: asked.origin } }),
  ]) {
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
  }
})

test('a portal of a checkout whose page is not built says in one line how to build it', async () => {
  const app = Fastify()
  onTestFinished(() => app.close())
  pageRoutes(app as unknown as App, null)
  for (const url of ['/', '/join', '/g', '/r']) {
    const { statusCode, headers, body } = await app.inject({ url })
    expect([statusCode, headers['content-type'], body.trimEnd().split('\n').length]).toEqual([404, textMediaType, 1])
    expect(body).toContain('npm run build:page')
  }
})

test('a portal can run without the page', async () => {
  const portal = await TestPortal.start({ servesPage: false })
  for (const path of ['/', '/join', '/g', '/r']) expect(refusalOf(await portal.ask('GET', path))).toBe('404 not-found')
  expect((await portal.ask('GET', '/healthz')).status).toBe(200)
})

function scriptOf(html: Answer): string {
  const path = /src="\.(\/assets\/[^"]+\.js)"/.exec(html.body.toString())?.[1]
  if (path === undefined) throw new Error('the page loads no script')
  return path
}
