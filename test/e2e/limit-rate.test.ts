/** `--limit-rate`, measured on the line: within five per cent over ten seconds, in each direction, whatever is sent and received. */
// @tier stress
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { Relay } from '../servers/relay.ts'
import { httpServer } from '../suites/http-server.ts'
import { randomBytes } from '../suites/random.ts'
import { expectRate } from '../suites/rates.ts'
import { until, World } from './harness/world.ts'
import { reachBy } from './load-balancer/scene.ts'
import { Authority } from './tls/authority.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SMALL_DEVIATION_MAX = 0.5

/** Alice and Bob, each behind a relay of their own. */
async function aScene({ isTls = false } = {}): Promise<{ world: World; alice: Relay; bob: Relay }> {
  const world = await World.create()
  const authority = await Authority.create(world.path('tls'))
  const { certPath, keyPath } = await authority.certify('portal', 1)
  const plain = await world.portal()
  await world.join(['alice', 'bob'])
  if (isTls) {
    // The test itself joined without TLS.
    await plain.stop()
    await world.portal(['--tls-cert', certPath, '--tls-key', keyPath])
    world.env.NODE_EXTRA_CA_CERTS = authority.caPath
  }
  const relays = [await Relay.to(world.portalUrl), await Relay.to(world.portalUrl)] as const
  onTestFinished(async () => {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
  })
  const [alice, bob] = relays
  for (const [name, relay] of Object.entries({ alice, bob })) {
    await reachBy(world, name, `${isTls ? 'https' : 'http'}://127.0.0.1:${relay.port}`)
  }
  return { world, alice, bob }
}

test.each([
  ['plain http', false],
  ['TLS', true],
])('a large file over %s is sent, and received, at the rate of the limit', async (_, isTls) => {
  const { world, alice, bob } = await aScene({ isTls })
  const path = await world.file('large.bin', 32 * MIB)
  const sending = world.send(path, 'bob', '--limit-rate', '2MiB', '--no-wait')
  expect(await sending.ended).toMatchObject({ code: 0 })
  expectRate(alice, 'up', 2 * MIB)
  const flags = ['--into', 'in', '--create', '--once', '--profile', 'bob', '--json']
  const receiving = world.start(['receive', ...flags, '--limit-rate', '2MiB'])
  expect(await receiving.ended).toMatchObject({ code: 0 })
  expectRate(bob, 'down', 2 * MIB)
  expect(receiving.stderr + sending.stderr).toBe('')
  for (const { json } of [sending, receiving]) {
    expect(json.filter(({ type, phase }) => phase === 'silence' || type === 'disconnected')).toEqual([])
  }
})

test('many small files, which travel in batches, keep the limit with all that goes with them', async () => {
  const scene = await aScene()
  const paths: string[] = []
  for (let number = 0; number < 1800; number++) paths.push(await scene.world.file(`small-${number}.bin`, 3 * KIB))
  await expectRateOfSmall(scene, paths, 384)
})

/** Sends small files, and receives them afterwards. */
async function expectRateOfSmall(
  { world, alice, bob }: Awaited<ReturnType<typeof aScene>>,
  paths: string[],
  limitKib: number,
): Promise<void> {
  const limit = ['--limit-rate', `${limitKib}KiB`]
  const ended = await world.send(paths, 'bob', ...limit, '--no-wait').ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  expectRate(alice, 'up', limitKib * KIB, SMALL_DEVIATION_MAX)
  const receiving = await world.receiver('bob', limit)
  await until(() => receiving.json.filter(({ type }) => type === 'received').length === paths.length, 'all are there')
  await receiving.stop()
  expectRate(bob, 'down', limitKib * KIB, SMALL_DEVIATION_MAX)
}

test('parts from a storage count with everything else, and each direction by itself', async () => {
  const content = randomBytes(24 * MIB)
  const storage = await httpServer((request, response) => sendRange(request, response, content))
  const portal = await httpServer(async (request, response) => {
    for await (const _ of request);
    response.setHeader('etag', '"1"')
    sendRange(request, response, content)
  })
  const relays = [await Relay.to(storage.url), await Relay.to(portal.url)] as const
  onTestFinished(async () => {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
  })
  const [fromStorage, fromPortal] = relays
  const limitBytesPerSecond = 2 * MIB
  const transport = nodeTransport(`http://127.0.0.1:${fromPortal.port}`, { limitBytesPerSecond, proxies: false })
  onTestFinished(() => transport.close())
  const bounds = { stallTimeoutMs: 20_000 }
  const linked = async (): Promise<Buffer> => {
    const response = await transport.follow?.(`http://127.0.0.1:${fromStorage.port}/part`, bounds)
    if (response === undefined) throw new Error('no links')
    expect(response.status).toBe(200)
    return buffer(response.body)
  }
  const ofPortal = async (): Promise<Buffer> => {
    const ask = {
      method: 'GET',
      path: '/part',
      headers: { prefer: 'wait=0, redirect' },
      partBytesMax: content.length,
      ...bounds,
    } as const
    const response = await transport.request(ask)
    expect([response.status, response.header('content-length')]).toEqual([200, String(content.length)])
    return buffer(response.body)
  }
  const upload = transport.request({ method: 'PUT', path: '/', headers: {}, body: content, ...bounds })
  const got = await Promise.all([linked(), ofPortal()])
  expect(got.every((one) => one.equals(content))).toBe(true)
  const both = Relay.together(relays)
  expectRate(both, 'down', limitBytesPerSecond)
  // The last bytes may not have been reported yet.
  for (const relay of relays) expect(relay.total('down')).toBeGreaterThan(0.95 * content.length)
  expect((await upload).status).toBe(200)
  expectRate(fromPortal, 'up', limitBytesPerSecond)
})

/** What a storage answers to one range, or without one. */
function sendRange(request: IncomingMessage, response: ServerResponse, content: Buffer): void {
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
  if (start === undefined) {
    response.end(content)
    return
  }
  const bytes = content.subarray(Number(start), Number(end) + 1)
  const range = `bytes ${start}-${Number(start) + bytes.length - 1}/${content.length}`
  response.writeHead(206, { 'content-range': range, 'content-length': bytes.length }).end(bytes)
}

test('with a low limit small files keep it, too, whether they would come with their offers or not', async () => {
  const scene = await aScene()
  const paths: string[] = []
  for (const [sizeKib, count] of [
    [3, 30],
    [32, 12],
    [60, 6],
  ] as const) {
    for (let number = 0; number < count; number++) {
      paths.push(await scene.world.file(`small-${sizeKib}-${number}.bin`, sizeKib * KIB))
    }
  }
  await expectRateOfSmall(scene, paths, 32)
})

test.each([
  ['32KiB', 300],
  ['8KiB', 60],
])('a limit of %s is not taken for silence, by a sender or by a receiver without patience', async (limit, sizeKib) => {
  const { world } = await aScene()
  const paths = await Promise.all(['a', 'b', 'c'].map((name) => world.file(`slow-${name}.bin`, sizeKib * KIB)))
  const bob = await world.receiver('bob', ['--limit-rate', limit])
  const sending = world.send(paths, 'bob', '--limit-rate', limit, '--answer-timeout', '3s')
  const ended = await sending.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  expect(sending.json.filter(({ phase }) => phase === 'silence' || phase === 'repeating')).toEqual([])
  expect(bob.json.filter(({ type }) => /^(disconnected|link-failed|repeating)$/.test(type))).toEqual([])
})

test('a limit below what the protocol itself needs is refused', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const ended = await world.send(await world.file('a.bin', 1), 'bob', '--limit-rate', '4KiB').ended
  expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('8192 bytes a second or more') })
})
