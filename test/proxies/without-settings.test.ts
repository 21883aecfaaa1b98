/** Real proxies with their default configuration, without the settings of `deploy/`. The tests show what fails and what works. */
import { expect, onTestFinished, test } from 'vitest'
import { deliveredAmongCancelled, deliveredOnce, smallerParts } from '../e2e/first-hop/delivered-once.ts'
import { MIB } from '../e2e/first-hop/requests.ts'
import { FaultyNetwork } from '../e2e/harness/proxy.ts'
import { World } from '../e2e/harness/world.ts'
import { hostOf, reachBy } from '../e2e/load-balancer/scene.ts'
import { curl, outcome } from '../e2e/one-request/curl.ts'
import { type ProxyKind, type ReverseProxy, startProxy } from '../servers/proxy-process.ts'

async function scene(
  kind: ProxyKind,
  instead: Readonly<Record<string, string>>,
  finished: typeof onTestFinished = onTestFinished,
): Promise<{ world: World; proxy: ReverseProxy }> {
  const world = await World.create({ isShared: true })
  finished(() => world[Symbol.asyncDispose]())
  await world.portal(['--trusted-proxies', '127.0.0.1'])
  const proxy = await startProxy({ kind, backend: hostOf(world.portalUrl), folder: world.path('proxy'), instead })
  finished(() => proxy[Symbol.asyncDispose]())
  await world.join(['alice', 'bob'], { alice: proxy, bob: proxy })
  return { world, proxy }
}

test('lighttpd delays streams: both sides report it once, and the file is delivered', async () => {
  const { world } = await scene('lighttpd', { 'server.stream-request-body': '', 'server.stream-response-body': '' })
  const bob = await world.receiver('bob')
  const path = await world.file('report.bin', 3 * MIB)
  const sending = world.send(path, 'bob')
  await deliveredOnce(world, sending, path)
  const told = [...bob.json, ...sending.json].filter(({ type, phase }) => type === 'held-back' || phase === 'held-back')
  expect(told).toHaveLength(2)
})

test('Squid removes the Authorization header: the message names the proxy, and not the link', async () => {
  const { world } = await scene('squid', {
    cache_peer: 'cache_peer 127.0.0.1 parent 7878 0 no-query no-digest originserver name=portal',
  })
  const { code, stderr } = await world.run('status', '--profile', 'alice')
  expect(code).toBe(4)
  expect(stderr).toMatch(/removes the Authorization header[\s\S]*login=PASSTHRU/)
})

test('h2o ends an upload after ten seconds: the file is sent in smaller parts', async () => {
  const { world, proxy } = await scene('h2o', { 'http1-request-timeout': '' })
  await using thin = await FaultyNetwork.open(() => proxy.url)
  thin.rule = ({ method, path }) => (method === 'PUT' && path.includes('/parts/') ? { bytesPerSecond: 150_000 } : null)
  await reachBy(world, 'alice', thin.url)
  await world.receiver('bob')
  const path = await world.file('report.bin', 2 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '2MiB')
  await deliveredAmongCancelled(world, sending, path)
  expect(smallerParts(sending)).toEqual([MIB / 2])
})

test('Apache accepts no name with a slash', async () => {
  const { world, proxy } = await scene('apache', { AllowEncodedSlashes: '' })
  const path = await world.file('report.bin', 10)
  const asked = ['-H', `Authorization: Bearer ${await world.token('alice')}`]
  expect((await outcome(curl('-T', path, ...asked, `${proxy.url}/v1/to/bob/a%2Fb`))).status).toBe(404)
})

const LATE = 'uploads: get no answer before their end'
const ASKS_ITSELF = 'early refusals: come after the upload'
const DECODES = 'addresses: an encoded slash is decoded or refused'
/** The beginnings of the notes of `doctor` about each of them. */
const noted: Partial<Record<ProxyKind, { instead: Readonly<Record<string, string>>; notes: readonly string[] }>> = {
  lighttpd: {
    instead: { 'server.stream-response-body': '', 'server.stream-request-body': '', '"url-path-2f-decode"': '' },
    notes: ['between: something answers along: server: lighttpd/', 'streams: do not begin', LATE, ASKS_ITSELF, DECODES],
  },
  apache: {
    instead: { AllowEncodedSlashes: '' },
    notes: ['between: something answers along: server: Apache/', LATE, DECODES],
  },
  h2o: {
    instead: { 'http1-request-timeout': '' },
    notes: [
      'between: something answers along: server: h2o/',
      LATE,
      'upload time: one that takes long is ended after 10 s',
      ASKS_ITSELF,
    ],
  },
  nginx: {
    instead: {
      client_max_body_size: 'client_max_body_size 1m; gzip on; gzip_types application/json; gzip_min_length 1;',
      proxy_request_buffering: '',
    },
    notes: [
      'between: something answers along: server: nginx/',
      LATE,
      'upload size: no more than 1.0 MiB get through (8.0 MiB: HTTP status 413',
      ASKS_ITSELF,
    ],
  },
  varnish: {
    instead: {},
    notes: ['between: something answers along: via: 1.1 varnish', LATE, ASKS_ITSELF],
  },
}

test.concurrent.for(Object.entries(noted))(
  'doctor reports what %s does',
  async ([kind, { instead, notes }], context) => {
    const { world } = await scene(kind as ProxyKind, instead, context.onTestFinished)
    const { code, stdout } = await world.run('doctor', '--profile', 'alice', '--json')
    context.expect(code, stdout).toBe(0)
    const { findings } = JSON.parse(stdout) as { findings: { check: string; verdict: string; text: string }[] }
    const found = findings.filter(({ verdict, check }) => verdict !== 'ok' && check !== 'tls')
    const told = found.map(({ check, text }) => `${check}: ${text}`)
    expect(told).toEqual(notes.map((note) => expect.stringContaining(note)))
    if (kind === 'nginx') expect(told[0]).toContain('content-encoding: gzip')
  },
)
