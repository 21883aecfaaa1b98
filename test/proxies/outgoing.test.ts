/** Clients that leave their network through an HTTP proxy: a real squid, which alone can resolve the name of the portal. */
import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { LinkFollower } from '../../src/client/node-links.ts'
import { wayOf } from '../../src/client/node-transport.ts'
import { invite, openLedger } from '../../src/portal/index.ts'
import { type Ended, type Running, sha256Of, World } from '../e2e/harness/world.ts'
import { reachBy } from '../e2e/load-balancer/scene.ts'
import { Authority } from '../e2e/tls/authority.ts'
import { type ForwardProxy, startForwardProxy } from '../servers/forward-proxy.ts'
import { freePort } from '../servers/server-process.ts'
import { randomBytes } from '../suites/random.ts'

const MIB = 1024 * 1024
const INVITE_MS = 60_000
const PORTAL = 'portal.example'
const STORAGE = 'storage.example'
/** With characters that an address has to encode. */
const user = { name: 'alice', password: 'p@ss:w/rd%' }

let world: World
let proxy: ForwardProxy
let authority: Authority
/** The portal over TLS, and another one without, by names that only the proxy resolves. */
let secureUrl: string
let plain: World
let plainUrl: string
const disposed = new AsyncDisposableStack()

beforeAll(async () => {
  world = disposed.use(await World.create({ isShared: true }))
  plain = disposed.use(await World.create({ isShared: true }))
  proxy = disposed.use(await startForwardProxy({ names: [PORTAL, STORAGE], user }))
  authority = await Authority.create(world.path('tls'))
  const names = `IP:127.0.0.1,DNS:${PORTAL}`
  const { certPath, keyPath } = await authority.certify('portal', 1, { names })
  await world.portal(['--tls-cert', certPath, '--tls-key', keyPath])
  secureUrl = `https://${PORTAL}:${new URL(world.portalUrl).port}`
  world.env.NODE_EXTRA_CA_CERTS = authority.caPath
  await plain.portal()
  plainUrl = `http://${PORTAL}:${new URL(plain.portalUrl).port}`
  await plain.join(['alice', 'bob'])
  await reachBy(plain, 'alice', plainUrl)
  await reachBy(plain, 'bob', plainUrl)
})
afterAll(() => disposed.disposeAsync())

async function linkFor(name: string): Promise<string> {
  const ledger = await openLedger(world)
  const secret = await invite(ledger, name, INVITE_MS)
  await ledger.close()
  return `${secureUrl}/join#${secret}`
}

async function expectDelivered(where: World, sending: Running, path: string): Promise<void> {
  const ended = await sending.ended
  expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 })
  expect(await sha256Of(join(where.inbox('bob'), basename(path)))).toBe(await sha256Of(path))
}

function expectNoPassword({ stdout, stderr }: Ended): void {
  for (const secret of [
    user.password,
    encodeURIComponent(user.password),
    Buffer.from(user.password).toString('base64'),
  ]) {
    expect(stdout + stderr).not.toContain(secret)
  }
}

test('over https a receiver joins and is connected, and files large and small are delivered through a tunnel', async () => {
  world.env.HTTPS_PROXY = proxy.url
  for (const name of ['alice', 'bob']) {
    const joined = await world.run('join', await linkFor(name), '--profile', name)
    expect(joined, joined.stderr).toMatchObject({ code: 0 })
  }
  const bob = await world.receiver('bob')
  const large = await world.file('large.bin', 40 * MIB)
  const sending = world.send(large, 'bob')
  await expectDelivered(world, sending, large)
  expect(sending.json.filter(({ phase }) => phase === 'silence' || phase === 'repeating')).toEqual([])
  const many = await Promise.all(
    Array.from({ length: 40 }, (_, index) => world.file(`small-${index}.bin`, 1000 + index)),
  )
  const ended = await world.send(many, 'bob').ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  expect(bob.json.filter(({ type }) => type === 'disconnected')).toEqual([])
  await bob.stop()
})

test('plain http, where it is allowed, is forwarded by the proxy: files, event streams and progress', async () => {
  const env = { http_proxy: proxy.url, GOLOOADER_INSECURE: '1' }
  Object.assign(plain.env, env)
  const bob = await plain.receiver('bob')
  const path = await plain.file('plain.bin', 20 * MIB)
  const sending = plain.send(path, 'bob', '--verbose')
  await expectDelivered(plain, sending, path)
  expect(sending.stderr).toMatch(/^· PUT \/v1\/transfers\/\S+\/parts\/1 204/m)
  expectNoPassword(await sending.ended)
  expect(bob.json.filter(({ type }) => type === 'disconnected')).toEqual([])
  await bob.stop()
})

test('doctor names the proxy, and finds that answers, streams and uploads pass it', async () => {
  const secure = await world.run('doctor', '--profile', 'alice')
  expect(secure, secure.stdout).toMatchObject({ code: 0 })
  expect(secure.stdout).toContain(`✔ proxy: http://127.0.0.1:${proxy.port}, by HTTPS_PROXY`)
  expect(secure.stdout).toMatch(
    /✔ streams: begin[\s\S]*✔ uploads: are passed on[\s\S]*✔ early refusals: come before the upload/,
  )
  expectNoPassword(secure)
  const forwarded = await plain.run('doctor', '--profile', 'alice')
  expect(forwarded, forwarded.stdout).toMatchObject({ code: 0 })
  expect(forwarded.stdout).toMatch(/✔ proxy: \S+, by http_proxy[\s\S]*✔ streams: begin[\s\S]*✔ uploads: are passed on/)
  expectNoPassword(forwarded)
})

test.each([
  [
    'a wrong password',
    () => `http://${user.name}:wrong@127.0.0.1:${proxy.port}`,
    /does not accept the name and the password/,
  ],
  ['no password', () => `127.0.0.1:${proxy.port}`, /wants a name and a password/],
])('with %s a command ends at once, says so, and shows no secret', async (_, url, message) => {
  for (const [where, env] of [
    [world, { HTTPS_PROXY: url() }],
    [plain, { http_proxy: url() }],
  ] as const) {
    for (const args of [
      ['status'],
      ['send', await where.file('a.bin', 10), '--to', 'bob'],
      ['receive', '--into', 'in', '--create'],
    ]) {
      const ended = await where.start([...args, '--profile', 'alice'], { env }).ended
      expect(ended, args.join(' ') + ended.stderr).toMatchObject({ code: 4 })
      expect(ended.stderr).toMatch(message)
      expect(ended.stderr).toContain('(proxy-refused)')
      expect(ended.stderr).not.toContain('wrong')
    }
  }
})

test('a proxy that refuses the portal is named, with its status', async () => {
  const refusing = createServer()
  refusing.on('connect', (_, socket) => socket.end('HTTP/1.1 403 Forbidden by policy\r\n\r\n'))
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void refusing.close())
  const env = { HTTPS_PROXY: `http://127.0.0.1:${(refusing.address() as AddressInfo).port}` }
  const ended = await world.start(['status', '--profile', 'alice'], { env }).ended
  expect(ended).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(/does not let requests to portal\.example:\d+ pass \(403 Forbidden by policy\)/),
  })
})

test('a proxy that is down is named, and a send continues once it is back', async () => {
  const port = await freePort()
  const env = { HTTPS_PROXY: `http://${user.name}:secret@127.0.0.1:${port}` }
  const args = ['send', await world.file('down.bin', 10), '--to', 'bob', '--profile', 'alice', '--no-wait']
  const ended = await world.start([...args, '--answer-timeout', '1s'], { env }).ended
  expect(ended, ended.stderr).toMatchObject({ code: 5 })
  expect(ended.stdout + ended.stderr).toMatch(
    /the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\) cannot be reached: .*ECONNREFUSED/,
  )
  expect(ended.stdout + ended.stderr).not.toContain('secret')
  const again = await world.start(args).ended
  expect(again, again.stderr).toMatchObject({ code: 0 })
})

test.each([PORTAL, 'example', '.example', '*.EXAMPLE', 'other.test, portal.example', 'other.test portal.example', '*'])(
  'NO_PROXY=%s means a direct connection',
  async (list) => {
    // A busy machine takes its time to find out that nobody knows the name.
    const env = { NO_PROXY: list, GOLOOADER_ANSWER_TIMEOUT: '3s' }
    const args = ['send', await world.file('a.bin', 10), '--to', 'bob', '--profile', 'alice', '--json']
    const ended = await world.start(args, { env }).ended
    // Only the proxy knows the name.
    expect(ended).toMatchObject({
      code: 5,
      stdout: expect.stringMatching(/ENOTFOUND portal\.example|EAI_AGAIN portal\.example/),
    })
  },
)

test.each(['ample', 'xportal.example', 'portal.example:1', '10.0.0.0/8', ''])(
  'NO_PROXY=%s leaves the proxy in use',
  async (list) => {
    const ended = await world.start(['status', '--profile', 'alice'], { env: { NO_PROXY: list } }).ended
    expect(ended, ended.stderr).toMatchObject({ code: 0 })
  },
)

test('this machine is never asked for by a proxy', async () => {
  const nowhere = `http://127.0.0.1:${await freePort()}`
  const env = { HTTPS_PROXY: nowhere, HTTP_PROXY: nowhere, http_proxy: nowhere, https_proxy: nowhere }
  for (const host of ['127.0.0.1', 'localhost', 'portal.localhost']) {
    const address = `http://${host}:${new URL(plain.portalUrl).port}`
    const own = { ...env, GOLOOADER_PORTAL: address, GOLOOADER_TOKEN: await plain.token('alice') }
    const ended = await plain.start(['status'], { env: own }).ended
    expect(ended, host + ended.stderr).toMatchObject({ code: 0 })
  }
})

test('NODE_USE_ENV_PROXY=0 turns the proxies of the environment off', async () => {
  const args = ['send', await world.file('a.bin', 10), '--to', 'bob', '--profile', 'alice', '--json']
  const env = { NODE_USE_ENV_PROXY: '0', GOLOOADER_ANSWER_TIMEOUT: '500ms' }
  expect(await world.start(args, { env }).ended).toMatchObject({ code: 5 })
})

test.each([
  ['socks5://127.0.0.1:1080', /HTTPS_PROXY names a proxy for 'socks5:', which cannot be used/],
  ['http://name:hidden@', /HTTPS_PROXY is not the address of a proxy/],
])('HTTPS_PROXY=%s is refused, and never ignored', async (value, message) => {
  const ended = await world.start(['status', '--profile', 'alice'], { env: { HTTPS_PROXY: value } }).ended
  expect(ended).toMatchObject({ code: 2, stderr: expect.stringMatching(message) })
  expect(ended.stderr).not.toContain('hidden')
})

test('a program that uses the library has the proxies of the environment as its own HTTP has them, or by an option', async () => {
  const library = new URL('../../src/index.ts', import.meta.url).href
  const asks = async (options: object, env: Record<string, string>): Promise<string> => {
    const script = `import { openProfile } from ${JSON.stringify(library)}
      await using me = await openProfile('alice', ${JSON.stringify(options)})
      await me.sent({ signal: AbortSignal.timeout(5000) }).then((sent) => console.log('sent', sent.length > 0), (error) => console.log(error.name))`
    const all = {
      PATH: process.env.PATH,
      XDG_CONFIG_HOME: world.path('config'),
      XDG_STATE_HOME: world.path('state'),
      ...world.env,
      ...env,
    }
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env: all })
    return stdout.trim()
  }
  expect(await asks({}, { NODE_USE_ENV_PROXY: '1' })).toBe('sent true')
  expect(await asks({ proxies: true }, {})).toBe('sent true')
  expect(await asks({}, {})).toBe('TimeoutError')
  expect(await asks({ proxies: false }, { NODE_USE_ENV_PROXY: '1' })).toBe('TimeoutError')
})

test('parts in a storage come through the proxy, too', async () => {
  const content = randomBytes(3 * MIB)
  const storage = createServer((_, response) => response.end(content))
  await new Promise<void>((resolve) => storage.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void storage.close())
  const before = process.env.HTTP_PROXY
  process.env.HTTP_PROXY = proxy.url
  onTestFinished(() => {
    if (before === undefined) delete process.env.HTTP_PROXY
    else process.env.HTTP_PROXY = before
  })
  const follower = new LinkFollower('http://portal.example', wayOf('http://portal.example', { proxies: true }))
  onTestFinished(() => follower.close())
  const link = `http://${STORAGE}:${(storage.address() as AddressInfo).port}/part?signature=x`
  const response = await follower.fetch(link, { stallTimeoutMs: 20_000 })
  expect((await buffer(response.body)).equals(content)).toBe(true)
})
