/** The portal behind a real reverse proxy with TLS and a path prefix. */

import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { expect, test } from 'vitest'
import { digestOf } from '../../../src/digests/index.ts'
import { formatContentDigest, partSizeBytesMin } from '../../../src/protocol/index.ts'
import { freePort } from '../../servers/server-process.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'
import { Authority } from './authority.ts'
import { joinByLink, joinFrom } from './joining.ts'
import { Nginx } from './nginx.ts'

const MIB = 1024 * 1024
const WHO = 'proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;'
/** The configuration of docs/operating.md. */
const DOCUMENTED = [
  'client_max_body_size 64m;',
  'proxy_http_version 1.1;',
  'proxy_request_buffering off;',
  'proxy_buffering off;',
  WHO,
]
const BUFFERED = ['client_max_body_size 64m;', 'proxy_http_version 1.1;', WHO]
/** A minimal configuration: the proxy asks the portal in HTTP/1.0. */
const SPARSE = ['client_max_body_size 64m;']

interface Behind {
  readonly proxy: Nginx
  readonly portal: Running
  readonly caPath: string
}

async function behindProxy(world: World, lines: readonly string[], ...portalArgs: string[]): Promise<Behind> {
  const authority = await Authority.create(world.path('tls'))
  world.env.NODE_EXTRA_CA_CERTS = authority.caPath
  const portalPort = await freePort()
  const certificate = await authority.certify('proxy', 1)
  const proxy = await Nginx.start(world.path('nginx'), { portalPort, certificate, lines })
  const listen = ['--listen', `127.0.0.1:${portalPort}`, '--data', world.dataFolder, '--log-level', 'info']
  const portal = world.start(['portal', ...listen, '--public-url', proxy.url, ...portalArgs])
  expect(await portal.line((one) => one.startsWith('portal listening on'))).toContain(proxy.url)
  world.portalUrl = `http://127.0.0.1:${portalPort}`
  return { proxy, portal, caPath: authority.caPath }
}

/** The client addresses that the portal logged for joining accounts. */
function addressesOf(portal: Running): string[] {
  const lines = portal.stderr.split('\n').filter((line) => line.includes('"audit":"invite-redeemed"'))
  return lines.map((line) => JSON.parse(line).address)
}

/** The log line may come a moment after the answer. */
async function expectAddresses(portal: Running, expected: readonly string[]): Promise<void> {
  await until(() => addressesOf(portal).length >= expected.length, 'the portal has told of who joined')
  expect(addressesOf(portal)).toEqual(expected)
}

test.each([
  ['as docs/operating.md shows it', DOCUMENTED],
  ['with buffers for requests and answers', BUFFERED],
  ['that was told next to nothing', SPARSE],
])('a file is delivered through a proxy %s', async (_what, lines) => {
  await using world = await World.create()
  const { proxy } = await behindProxy(world, lines)
  await using _ = proxy
  await joinByLink(world, 'alice', 'bob')
  const profile = JSON.parse(await readFile(world.path('config', 'golooader', 'profiles', 'alice.json'), 'utf8'))
  expect(profile.portalUrl).toBe(proxy.url)
  const bob = await world.receiver('bob')
  const path = await world.file('report.bin', 40 * MIB + 17)
  const sending = world.send(path, 'bob')
  const ended = await sending.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  const notifications = sending.json.filter((line) => line.type === 'notification')
  expect(notifications.map((one) => one.notification)).toEqual(['stored', 'delivered'])
  expect(sending.json.filter((value) => value.phase === 'silence' || value.phase === 'repeating')).toEqual([])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
  expect(bob.json.filter((value) => value.type === 'disconnected')).toEqual([])
})

test.each([
  ['as docs/operating.md shows it', DOCUMENTED],
  ['that speaks HTTP/1.0 to the portal', ['client_max_body_size 64m;', 'proxy_request_buffering off;']],
])('a part that arrives slowly through a proxy %s gets only its final response', async (_what, lines) => {
  await using world = await World.create()
  const { proxy, caPath } = await behindProxy(world, lines, '--trusted-proxies', '127.0.0.1')
  await using _ = proxy
  await joinByLink(world, 'alice', 'bob')
  const client = await world.client('alice')
  const transferId = '01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c'
  const layout = { sizeBytes: partSizeBytesMin, partSizeBytes: partSizeBytesMin, digestAlgorithm: 'sha-256' } as const
  await client.announce(transferId, { to: ['bob'], metadata: { name: 'slow.bin' }, ...layout })

  const informed: number[] = []
  const headers = {
    authorization: `Bearer ${await world.token('alice')}`,
    'content-type': 'application/octet-stream',
    'content-length': layout.sizeBytes,
    'content-digest': formatContentDigest('sha-256', digestOf('sha-256', Buffer.alloc(layout.sizeBytes))),
  }
  const url = `${proxy.url}/v1/transfers/${transferId}/parts/1`
  const asking = request(url, { method: 'PUT', headers, ca: await readFile(caPath) })
  asking.on('information', ({ statusCode }) => informed.push(statusCode))
  const status = new Promise((resolve, reject) => {
    asking.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject)
  })
  // Five seconds: two interim responses would be due.
  const slices = 25
  for (let sent = 0; sent < slices; sent++) {
    const from = Math.floor((layout.sizeBytes * sent) / slices)
    asking.write(Buffer.alloc(Math.floor((layout.sizeBytes * (sent + 1)) / slices) - from))
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  asking.end()
  expect(await status).toBe(204)
  expect(informed).toEqual([])
})

test('a joining client has the address that a trusted proxy reports, and no other', async () => {
  await using world = await World.create()
  const { proxy, portal } = await behindProxy(world, DOCUMENTED, '--trusted-proxies', '127.0.0.2,127.0.0.1,10.0.0.0/8')
  await using _ = proxy
  // The proxy appends its client's address to the header that the client sent.
  await joinFrom(world, proxy.url, '203.0.113.7', '127.0.0.3')
  await expectAddresses(portal, ['127.0.0.3'])
  // A client that connects directly is not believed.
  await joinFrom(world, world.portalUrl, '203.0.113.7', '127.0.0.3')
  await expectAddresses(portal, ['127.0.0.3', '127.0.0.3'])
  // A chain of proxies is followed as far as it is trusted.
  await joinFrom(world, world.portalUrl, '203.0.113.7, 198.51.100.9, 10.1.2.3', '127.0.0.2')
  await expectAddresses(portal, ['127.0.0.3', '127.0.0.3', '198.51.100.9'])
})

test('without --trusted-proxies no forwarding header is believed, not even the proxy’s', async () => {
  await using world = await World.create()
  const { proxy, portal } = await behindProxy(world, DOCUMENTED)
  await using _ = proxy
  await joinFrom(world, proxy.url, '203.0.113.7', '127.0.0.3')
  await expectAddresses(portal, ['127.0.0.1'])
})
