/** What a proxy on the way out says, and what its users read of it: refusals, missing answers, interim answers, TLS of its own. */
import { readFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { basename, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { type Ended, sha256Of } from '../e2e/harness/world.ts'
import { Authority } from '../e2e/tls/authority.ts'
import { type ForwardProxy, startForwardProxy } from '../servers/forward-proxy.ts'
import { freePort } from '../servers/server-process.ts'
import { type NamedPortal, namedPortal, portalName } from './named-portal.ts'

const MIB = 1024 * 1024
const FORBIDDEN = 'forbidden.example'
const user = { name: 'alice', password: 'right' }

let secure: NamedPortal
let plain: NamedPortal
let proxy: ForwardProxy
const disposed = new AsyncDisposableStack()

beforeAll(async () => {
  secure = disposed.use(await namedPortal({ isTls: true }))
  plain = disposed.use(await namedPortal({ isTls: false }))
  proxy = disposed.use(await startForwardProxy({ names: [portalName, FORBIDDEN], user, forbidden: [FORBIDDEN] }))
})
afterAll(() => disposed.disposeAsync())

/** Both ways of a proxy: a tunnel for https, and forwarding for plain http. */
const ways = [
  ['through a tunnel', 'HTTPS_PROXY', () => secure],
  ['when it forwards', 'http_proxy', () => plain],
] as const

/** Sends a file, with few seconds of patience. */
async function sending(portal: NamedPortal, env: Record<string, string>): Promise<Ended> {
  const path = await portal.world.file('a.bin', 10)
  const args = ['send', path, '--to', 'bob', '--no-wait', '--profile', 'alice', '--answer-timeout', '2s']
  return portal.world.start(args, { env }).ended
}

/** The address of the portal, or of nothing, by another name. */
const elsewhere = ({ url }: NamedPortal, host: string): string => url.replace(portalName, host)

/** What commands need to reach another address with the account alice. */
async function asAlice(portal: NamedPortal, url: string): Promise<Record<string, string>> {
  return { GOLOOADER_PORTAL: url, GOLOOADER_TOKEN: await portal.world.token('alice') }
}

test.each(ways)(
  '%s, a wrong password is one sentence, and the variable to change is in it',
  async (_, variable, of) => {
    const ended = await sending(of(), { [variable]: `http://alice:wrong@127.0.0.1:${proxy.port}` })
    expect(ended, ended.stderr).toMatchObject({ code: 4 })
    expect(ended.stderr).toContain(
      `the proxy http://127.0.0.1:${proxy.port} (${variable}) does not accept the name and the password in ${variable} (407`,
    )
    expect(ended.stderr).toContain('(proxy-refused)')
  },
)

test.each(ways)('%s, a portal that the proxy forbids is named, with what to do', async (_, variable, of) => {
  const portal = of()
  const env = { [variable]: proxy.url, ...(await asAlice(portal, elsewhere(portal, FORBIDDEN))) }
  const ended = await portal.world.start(['status'], { env }).ended
  expect(ended, ended.stderr).toMatchObject({ code: 4 })
  const host = `${FORBIDDEN}:${new URL(portal.url).port}`
  expect(ended.stderr).toContain(
    `does not let requests to ${host} pass (403 Forbidden): ask its operator to allow them`,
  )
  expect(ended.stderr).toContain(`NO_PROXY=${FORBIDDEN}`)
  expect(ended.stderr).toContain('(proxy-refused)')
})

test.each(ways)('%s, a portal that the proxy cannot find is not taken for the end', async (_, variable, of) => {
  const portal = of()
  const env = { [variable]: proxy.url, ...(await asAlice(portal, elsewhere(portal, 'unknown.invalid'))) }
  const path = await portal.world.file('b.bin', 10)
  const args = ['send', path, '--to', 'bob', '--no-wait', '--answer-timeout', '2s']
  const ended = await portal.world.start(args, { env }).ended
  expect(ended, ended.stderr).toMatchObject({ code: 5 })
  const host = `unknown.invalid:${new URL(portal.url).port}`
  expect(ended.stdout + ended.stderr).toMatch(
    new RegExp(`\\(${variable}\\)(, or something behind it,)? cannot reach ${host} \\(50\\d .*\\)`),
  )
})

test.each([
  [502, 'Bad Gateway'],
  [504, 'Gateway Timeout'],
])('a page of HTML with %s is told as what it is, whichever way', async (status, text) => {
  const page = `<html><body>${'The service is down. '.repeat(500)}`
  const sick = createServer((_, response) => void response.writeHead(status, { 'content-type': 'text/html' }).end(page))
  sick.on('connect', (_, socket) => {
    socket.end(`HTTP/1.1 ${status} ${text}\r\nContent-Type: text/html\r\nContent-Length: ${page.length}\r\n\r\n${page}`)
  })
  const url = `http://127.0.0.1:${await listening(sick)}`
  for (const [, variable, of] of ways) {
    const ended = await sending(of(), { [variable]: url })
    expect(ended, ended.stderr).toMatchObject({ code: 5 })
    const said = ended.stdout + ended.stderr
    expect(said).toContain(`cannot reach ${new URL(of().url).host} (${status} ${text})`)
    expect(said).not.toContain('The service is down')
  }
})

test.each(ways)('%s, a proxy that is down is named, and the same command continues later', async (_, variable, of) => {
  const ended = await sending(of(), { [variable]: `http://127.0.0.1:${await freePort()}` })
  expect(ended, ended.stderr).toMatchObject({ code: 5 })
  expect(ended.stdout + ended.stderr).toMatch(
    new RegExp(`the proxy http://127\\.0\\.0\\.1:\\d+ \\(${variable}\\) cannot be reached: .*ECONNREFUSED`),
  )
  expect(await sending(of(), { [variable]: proxy.url })).toMatchObject({ code: 0 })
})

test.each(ways)('%s, interim answers of a slow portal are passed over, and count as life', async (_, variable, of) => {
  const stallTimeoutMs = 1_000
  const slow: RequestListener = (request, response) => {
    request.resume()
    response.writeContinue()
    const beat = setInterval(() => response.writeProcessing(), stallTimeoutMs / 4)
    setTimeout(() => {
      clearInterval(beat)
      response.end('at last')
    }, 3 * stallTimeoutMs)
  }
  const isTls = of() === secure
  const { certPath, keyPath } = await secure.authority.certify('slow', 7, { names: `DNS:${portalName}` })
  const server = isTls
    ? createSecureServer({ cert: await readFile(certPath), key: await readFile(keyPath) }, slow)
    : createServer(slow)
  const port = await listening(server)
  const authorities = getCACertificates('default')
  setDefaultCACertificates([await readFile(secure.authority.caPath)])
  onTestFinished(() => setDefaultCACertificates(authorities))
  process.env[variable] = proxy.url
  onTestFinished(() => void delete process.env[variable])
  const url = `${isTls ? 'https' : 'http'}://${portalName}:${port}`
  const transport = nodeTransport(url, { proxies: true, insecure: true })
  onTestFinished(() => transport.close())
  let signs = 0
  const onAlive = (): void => void signs++
  const body = Buffer.alloc(MIB)
  const response = await transport.request({ method: 'PUT', path: '/', headers: {}, body, onAlive, stallTimeoutMs })
  expect([response.status, (await buffer(response.body)).toString()]).toEqual([200, 'at last'])
  expect(signs).toBeGreaterThan(3)
})

test.each(ways)('a proxy over TLS is used %s, and its certificate is verified', async (_, variable, of) => {
  const portal = of()
  const { world } = portal
  const trusted = await secure.authority.certify('proxy', 8)
  const tls = disposed.use(await startForwardProxy({ names: [portalName], user, certificate: trusted }))
  const env = { [variable]: tls.url, NODE_EXTRA_CA_CERTS: secure.authority.caPath }
  const bob = world.start(['receive', '--into', 'by-tls', '--create', '--profile', 'bob'], { env })
  for (const flags of [[], ['--limit-rate', '8MiB']]) {
    const path = await world.file(`tls${flags.length}.bin`, 12 * MIB)
    const ended = await world.start(['send', path, '--to', 'bob', '--profile', 'alice', ...flags], { env }).ended
    expect(ended, ended.stderr).toMatchObject({ code: 0 })
    expect(await sha256Of(join(world.path('by-tls'), basename(path)))).toBe(await sha256Of(path))
  }
  await bob.stop()
  const status = ['status', '--profile', 'alice']
  const wrong = await world.start(status, { env: { ...env, [variable]: tls.url.replace('right', 'wrong') } }).ended
  expect(wrong).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(/does not accept the name.*\(proxy-refused\)/s),
  })

  const stranger = await Authority.create(world.path('stranger'))
  const unknown = await startForwardProxy({
    names: [portalName],
    user,
    certificate: await stranger.certify('proxy', 1),
  })
  await using _unknown = unknown
  const refused = await world.start(status, { env: { ...env, [variable]: unknown.url } }).ended
  expect(refused, refused.stderr).toMatchObject({ code: 4 })
  expect(refused.stderr).toMatch(
    /the proxy https:\/\/127\.0\.0\.1:\d+ shows is not trusted: .*\(certificate-invalid\)/s,
  )
})

/** @returns its port. It ends with the test */
async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
