/** What the load balancers of `deploy/` keep from the world, in whatever way it is written. The portal here serves figures itself. */
import { describe, expect, test } from 'vitest'
import { loadBalancer, loadBalancerKinds } from '../../servers/load-balancer.ts'
import { World } from '../harness/world.ts'
import { ask, FORMS, OTHER_FORMS } from './figures.ts'
import { hostOf } from './scene.ts'

describe.each(loadBalancerKinds)('behind %s', (kind) => {
  test('the figures of a portal cannot be asked for, in whatever encoding', async () => {
    await using world = await World.create()
    await world.portal(['--trusted-proxies', '127.0.0.1'])
    // Straight to the portal: what else stands between could change how a path is written.
    const backends = [hostOf(world.portalUrl)]
    const balancer = await loadBalancer({ kind, backends, folder: world.path('balancer') })
    for (const target of FORMS) {
      expect(await ask(hostOf(world.portalUrl), target), `the portal itself: ${target}`).toContain(
        'golooader_open_bytes',
      )
      expect(await ask(hostOf(balancer.url), target), target).toMatch(/^HTTP\/1\.1 404 /)
    }
    for (const target of OTHER_FORMS) {
      const answer = await ask(hostOf(balancer.url), target)
      expect(answer, target).not.toContain('golooader_open_bytes')
    }
    // What else a stranger may ask is passed on.
    for (const target of ['/healthz', '/v1/limits', '/v1/%6cimits']) {
      expect(await ask(hostOf(balancer.url), target), target).toMatch(/^HTTP\/1\.1 200 /)
    }
  })
})
