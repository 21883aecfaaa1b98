/**
 * Two addresses of one portal stand for two nodes. When one dies, the load balancer sends its requests to the other.
 */
import { describe, expect, test } from 'vitest'
import { type LoadBalancerKind, loadBalancer, loadBalancerKinds } from '../../servers/load-balancer.ts'
import { deliveredOnce } from '../first-hop/delivered-once.ts'
import { isComplete, MIB, partOf } from '../first-hop/requests.ts'
import type { Fault, FaultyNetwork, Seen } from '../harness/proxy.ts'
import { World } from '../harness/world.ts'
import { curl, outcome } from '../one-request/curl.ts'
import { aWay, hostOf } from './scene.ts'

/** A portal with two addresses, and the accounts alice and bob. */
async function twoWays(world: World, kind: LoadBalancerKind) {
  await world.portal(['--trusted-proxies', '127.0.0.1'])
  const ways = [await aWay(world), await aWay(world)]
  const backends = ways.map(({ url }) => hostOf(url))
  const balancer = await loadBalancer({ kind, backends, folder: world.path('balancer') })
  await world.join(['alice', 'bob'], { alice: balancer, bob: balancer })
  const rule = (decide: (seen: Seen, way: FaultyNetwork) => Fault | null): void => {
    for (const way of ways) way.rule = (seen) => decide(seen, way)
  }
  return { ways, balancer, rule }
}

describe.each(loadBalancerKinds)('behind %s', (kind) => {
  test('requests in flight at a node that dies continue at the other node', async () => {
    await using world = await World.create()
    const { rule } = await twoWays(world, kind)
    const dead = new Set<FaultyNetwork>()
    rule((seen, way) => {
      if (dead.size === 0 && partOf(seen) === 5) {
        dead.add(way)
        way.cutAll()
      }
      return dead.has(way) ? { refuse: true } : null
    })
    await world.receiver('bob')
    const path = await world.file('report.bin', 12 * MIB)
    await deliveredOnce(world, world.send(path, 'bob', '--part-size', '1MiB'), path)
    expect(dead.size).toBe(1)
  })

  test('an answer that was lost with a node is requested from the other, and is the same', async () => {
    await using world = await World.create()
    const { rule } = await twoWays(world, kind)
    const lost = new Set<string>()
    rule((seen) => {
      const what = isComplete(seen) ? 'complete' : seen.path.endsWith('/disposition') ? 'disposition' : null
      if (what === null || lost.has(what)) return null
      lost.add(what)
      return { loseAnswer: true }
    })
    await world.receiver('bob')
    const path = await world.file('report.bin', 3 * MIB)
    await deliveredOnce(world, world.send(path, 'bob', '--part-size', '1MiB'), path)
    expect(lost.size).toBe(2)
  })

  test('a file in one request without an idempotency key is never sent to a second node', async () => {
    await using world = await World.create()
    const { ways, balancer, rule } = await twoWays(world, kind)
    rule(({ path }) => (path.startsWith('/v1/to/') ? { loseAnswer: true } : null))
    // An empty file has no body after the head, so the load balancer has everything that it needs to repeat the
    // request.
    const path = await world.file('empty.txt', 0)
    const asked = ['--header', `Authorization: Bearer ${await world.token('alice')}`, '--header', 'Prefer: wait=0']
    const { status } = await outcome(curl(...asked, '--upload-file', path, `${balancer.url}/v1/to/bob/`))
    expect(status).toBe(502)
    expect(ways.reduce((sum, way) => sum + way.count('PUT', /^\/v1\/to\//), 0)).toBe(1)
    const alice = await world.client('alice')
    expect((await alice.transfers()).transfers).toHaveLength(1)
  })
})
