/**
 * The load balancers of `deploy/` hide the metrics, in every spelling of the path. The portal of this test serves them
 * itself.
 */
import { describe, expect, test } from 'vitest'
import { loadBalancer, loadBalancerKinds } from '../../servers/load-balancer.ts'
import { World } from '../harness/world.ts'
import { ask, FORMS, OTHER_FORMS } from './figures.ts'
import { hostOf } from './scene.ts'

describe.each(loadBalancerKinds)('behind %s', (kind) => {
  test('the metrics of a portal are not served, in any encoding of the path', async () => {
    await using world = await World.create()
    await world.portal(['--trusted-proxies', '127.0.0.1'])
    // The test asks the load balancer directly, because a proxy in between could rewrite the path.
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
    // Other public requests are passed on.
    for (const target of ['/healthz', '/v1/limits', '/v1/%6cimits']) {
      expect(await ask(hostOf(balancer.url), target), target).toMatch(/^HTTP\/1\.1 200 /)
    }
  })
})
