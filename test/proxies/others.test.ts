/** Proxies and relays without a configuration in `deploy/`, each with the least that makes it pass requests on. */
import { expect, test } from 'vitest'
import { deliveredOnce } from '../e2e/first-hop/delivered-once.ts'
import { MIB } from '../e2e/first-hop/requests.ts'
import { World } from '../e2e/harness/world.ts'
import { hostOf, saidOf } from '../e2e/load-balancer/scene.ts'
import { curl, outcome } from '../e2e/one-request/curl.ts'
import { Authority } from '../e2e/tls/authority.ts'
import { type SimpleProxyName, simpleProxies, startSimpleProxy } from '../servers/simple-proxy.ts'

const names = Object.keys(simpleProxies) as SimpleProxyName[]

test.concurrent.each(names)(
  'behind %s both sides connect, files are delivered, and no request is repeated',
  async (name) => {
    await using world = await World.create({ isShared: true })
    await world.portal(['--trusted-proxies', '127.0.0.1'])
    const authority = await Authority.create(world.path('tls'))
    world.env.NODE_EXTRA_CA_CERTS = authority.caPath
    const certificate = await authority.certify('proxy', 1)
    const options = { backend: hostOf(world.portalUrl), folder: world.path('proxy'), certificate }
    await using proxy = await startSimpleProxy(name, options)
    await world.join(['alice', 'bob', 'zoe'], { alice: proxy, bob: proxy })
    const bob = await world.receiver('bob')
    const path = await world.file('report.bin', 20 * MIB)
    const sending = world.send(path, 'bob', '--part-size', '1MiB')
    await deliveredOnce(world, sending, path)
    expect([...saidOf(sending), ...bob.json.filter(({ type }) => type === 'disconnected')]).toEqual([])

    const headers = ['-H', `Authorization: Bearer ${await world.token('alice')}`, '-H', 'Prefer: wait=0']
    const asked = ['--cacert', authority.caPath, ...headers, `${proxy.url}/v1/to/zoe/100%25%2Fb.bin`]
    const { status, lines } = await outcome(curl('-T', path, ...asked))
    expect(lines[0]).toMatch(/^stored \S+ 100%\/b\.bin, /)
    expect(status).toBe(200)

    const doctor = await world.run('doctor', '--profile', 'alice', '--json')
    expect(doctor.code, doctor.stdout + doctor.stderr).toBe(0)
  },
)
