/** Receivers fetch their parts directly from a real S3 store. */
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { loadBalancer } from '../servers/load-balancer.ts'
import { testBucket } from '../servers/radosgw.ts'
import { deliveredOnce } from './first-hop/delivered-once.ts'
import { MIB } from './first-hop/requests.ts'
import { type Running, World } from './harness/world.ts'
import { hostOf } from './load-balancer/scene.ts'

const SIZE_BYTES = 24 * MIB + 5

function redirectedBytesOf(receiving: Running): number {
  return Math.max(...receiving.json.map(({ redirectedBytes }) => Number(redirectedBytes ?? 0)))
}

/** The parts that receivers fetched through the portal, and directly from the store. */
async function partBytesOf(world: World): Promise<{ out: number; redirected: number }> {
  const metrics = await (await fetch(`${world.portalUrl}/metrics`)).text()
  const value = (direction: string) =>
    Number(new RegExp(`golooader_part_bytes_total\\{direction="${direction}"\\} (\\d+)`).exec(metrics)?.[1] ?? 0)
  return { out: value('out'), redirected: value('redirected') }
}

test.each([
  ['that waits for it', false],
  ['that comes later', true],
])('a file is delivered to a receiver %s, and the portal sends no byte of it', async (_what, isLater) => {
  await using world = await World.create()
  const { address, env } = await testBucket()
  await world.portal(['--store', address, '--redirect-downloads'], { env })
  await using balancer = await loadBalancer({
    kind: 'nginx',
    backends: [hostOf(world.portalUrl)],
    folder: world.path('balancer'),
  })
  await world.join(['alice', 'bob'], { alice: balancer, bob: balancer })
  const path = await world.file('report.bin', SIZE_BYTES)
  let bob = isLater ? null : await world.receiver('bob')
  const sending = world.send(path, 'bob')
  await sending.notification('stored')
  bob ??= await world.receiver('bob')
  await deliveredOnce(world, sending, path)
  expect(redirectedBytesOf(bob)).toBeGreaterThanOrEqual(SIZE_BYTES)
  const { out, redirected } = await partBytesOf(world)
  expect(out).toBe(0)
  expect(redirected).toBeGreaterThanOrEqual(SIZE_BYTES)
})

test('a receiver that cannot reach the store fetches from the portal', async () => {
  await using world = await World.create()
  const { bucket, endpoint, region, env } = await testBucket()
  // The portal's own connection to its store is let through.
  const wayIn = await gateway(endpoint, (headers) => String(headers['user-agent'] ?? '').includes('aws-sdk'))
  await world.portal(['--store', `s3://${bucket}?endpoint=${wayIn}&region=${region}`, '--redirect-downloads'], { env })
  await world.join(['alice', 'bob'])
  const path = await world.file('report.bin', SIZE_BYTES)
  const bob = await world.receiver('bob')
  await deliveredOnce(world, world.send(path, 'bob'), path)
  expect(redirectedBytesOf(bob)).toBe(0)
  expect(bob.json.filter(({ type }) => type === 'link-failed').length).toBeGreaterThanOrEqual(3)
})

/** A proxy to the store that lets only matching clients through. */
async function gateway(endpoint: string, isWelcome: (headers: IncomingHttpHeaders) => boolean): Promise<string> {
  const server = createServer((incoming, answer) => {
    const { method, url = '/', headers } = incoming
    if (!isWelcome(headers)) {
      incoming.socket.destroy()
      return
    }
    const outgoing = request(endpoint + url, { method, headers, agent: false })
    outgoing.on('error', () => incoming.socket.destroy())
    outgoing.on('response', (back) => {
      answer.writeHead(back.statusCode ?? 502, back.headers)
      back.pipe(answer)
    })
    incoming.pipe(outgoing)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
