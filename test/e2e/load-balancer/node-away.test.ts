/**
 * A portal behind a real load balancer stops and starts again. Senders and receivers continue, and no file arrives
 * twice.
 */
import { describe, expect, test } from 'vitest'
import { loadBalancer, loadBalancerKinds } from '../../servers/load-balancer.ts'
import { allowedMs } from '../../suites/bounds.ts'
import { deliveredOnce } from '../first-hop/delivered-once.ts'
import { isComplete, MIB, partOf } from '../first-hop/requests.ts'
import { until, World } from '../harness/world.ts'
import { Authority } from '../tls/authority.ts'
import { behind, deadBackend, hostOf, IN_ORDER, saidOf } from './scene.ts'

describe.each(loadBalancerKinds)('behind %s', (kind) => {
  test('a file is delivered over TLS without any reported error', async () => {
    await using world = await World.create()
    const authority = await Authority.create(world.path('tls'))
    world.env.NODE_EXTRA_CA_CERTS = authority.caPath
    await world.portal(['--trusted-proxies', '127.0.0.1'])
    const certificate = await authority.certify('balancer', 1)
    const backends = [hostOf(world.portalUrl)]
    await using balancer = await loadBalancer({ kind, backends, folder: world.path('balancer'), certificate })
    await world.join(['alice', 'bob'], { alice: balancer, bob: balancer })
    const path = await world.file('report.bin', 40 * MIB + 17)
    const bob = await world.receiver('bob')
    const sending = world.send(path, 'bob')
    await deliveredOnce(world, sending, path)
    expect(saidOf(sending)).toEqual([])
    expect(bob.json.filter(({ type }) => type === 'disconnected')).toEqual([])
  })

  test('an upload continues after the portal was killed and away for a while', async () => {
    await using world = await World.create()
    const { network, portal } = await behind(world, kind)
    const path = await world.file('report.bin', 8 * MIB)
    const bob = await world.receiver('bob')
    network.rule = (seen) => {
      if (partOf(seen) === 4) portal.signal('SIGKILL')
      return null
    }
    const sending = world.send(path, 'bob', '--part-size', '1MiB', ...IN_ORDER)
    await portal.ended
    network.rule = () => null
    // The load balancer has answered by itself that no node is available.
    await until(
      () => saidOf(sending).some((reason) => reason.includes('in front of the portal')),
      'the sender says why',
    )
    await bob.object(({ type }) => type === 'disconnected')
    await world.portal()
    await deliveredOnce(world, sending, path)
  })

  test('a portal that is killed before it answers the upload is asked again', async () => {
    await using world = await World.create()
    const { network, portal } = await behind(world, kind)
    const path = await world.file('report.bin', 4 * MIB)
    await world.receiver('bob')
    let isFirst = true
    network.rule = (seen) => {
      if (!isComplete(seen) || !isFirst) return null
      isFirst = false
      portal.signal('SIGKILL')
      return { loseAnswer: true }
    }
    const sending = world.send(path, 'bob', '--part-size', '1MiB', ...IN_ORDER)
    await portal.ended
    await world.portal()
    await deliveredOnce(world, sending, path)
  })

  test('a delivery continues after the portal was killed', async () => {
    await using world = await World.create()
    const { network, portal } = await behind(world, kind)
    const path = await world.file('report.bin', 8 * MIB)
    const sending = world.send(path, 'bob', '--part-size', '1MiB', ...IN_ORDER)
    await sending.notification('stored')
    network.rule = ({ method, path }) => {
      if (method !== 'GET' || !path.endsWith('/parts/5')) return null
      portal.signal('SIGKILL')
      return { cutAnswerAfterBytes: 1000 }
    }
    await world.receiver('bob')
    await portal.ended
    network.rule = () => null
    await world.portal()
    await deliveredOnce(world, sending, path)
  })

  test('answers that break off, and streams that are cut, are requested again', async () => {
    await using world = await World.create()
    const { network } = await behind(world, kind)
    const path = await world.file('report.bin', 8 * MIB)
    const cut = new Set<string>()
    network.rule = (seen) => {
      const key = `${seen.method} ${seen.path}`
      const isFirst = !cut.has(key)
      cut.add(key)
      if (!isFirst) return null
      if (seen.method === 'PUT' && /parts\/[25]$/.test(seen.path)) return { cutRequestAfterBytes: 100_000 }
      if (seen.method === 'PUT' && /parts\/7$/.test(seen.path)) return { loseAnswer: true }
      if (seen.method === 'GET' && /parts\/[36]$/.test(seen.path)) return { cutAnswerAfterBytes: 100_000 }
      if (isComplete(seen) || seen.path.endsWith('/disposition')) return { loseAnswer: true }
      if (seen.path === '/v1/events' || seen.path === '/v1/inbox') return { cutAnswerAfterBytes: 50 }
      return null
    }
    await world.receiver('bob')
    const sending = world.send(path, 'bob', '--part-size', '1MiB', ...IN_ORDER)
    await deliveredOnce(world, sending, path)
  })

  test('a portal can be taken out of the load balancer and put back while files are transferred', async () => {
    await using world = await World.create()
    const { network, balancer } = await behind(world, kind)
    const path = await world.file('report.bin', 8 * MIB)
    const bob = await world.receiver('bob')
    const reached = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    network.rule = (seen) => {
      if (partOf(seen) !== 4 || seen.count > 1) return null
      reached.resolve()
      return { heldUntil: goOn.promise }
    }
    const sending = world.send(path, 'bob', '--part-size', '1MiB', ...IN_ORDER)
    await reached.promise
    await balancer.reload([await deadBackend()])
    network.cutAll()
    goOn.resolve()
    await bob.object(({ type }) => type === 'disconnected')
    await until(
      () => saidOf(sending).some((reason) => reason.includes('in front of the portal')),
      'the sender says why',
    )
    await balancer.reload([hostOf(network.url)])
    await deliveredOnce(world, sending, path)
  })
})

test('haproxy detects a portal that stands still, and cuts its connections', async () => {
  await using world = await World.create()
  const { portal } = await behind(world, 'haproxy')
  const bob = await world.receiver('bob')
  portal.signal('SIGSTOP')
  const path = await world.file('report.bin', 2 * MIB)
  // Without that, a receiver notices after three missing heartbeats, which are 75 seconds.
  const stoppedAtMs = performance.now()
  await bob.object(({ type }) => type === 'disconnected')
  expect(performance.now() - stoppedAtMs).toBeLessThan(allowedMs(30_000))
  const sending = world.send(path, 'bob', '--part-size', '1MiB', ...IN_ORDER)
  await until(() => saidOf(sending).some((reason) => reason.includes('in front of the portal')), 'the sender says why')
  portal.signal('SIGCONT')
  await deliveredOnce(world, sending, path)
})
