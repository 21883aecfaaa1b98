/**
 * Behaviour of load balancers: they cut silent connections, refuse large requests, and answer without asking the
 * portal.
 */
import { describe, expect, test } from 'vitest'
import { loadBalancerKinds } from '../../servers/load-balancer.ts'
import { deliveredAmongCancelled, deliveredOnce, smallerParts } from '../first-hop/delivered-once.ts'
import { MIB, partsSent } from '../first-hop/requests.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'
import { curl, outcome } from '../one-request/curl.ts'
import { behind, deadBackend, hostOf, reachBy, saidOf } from './scene.ts'

const KIB = 1024
const SHORT = {
  haproxy: { 'timeout server': 'timeout server 2s' },
  nginx: { proxy_read_timeout: 'proxy_read_timeout 2s;' },
}
const SMALL = limitedTo(100)
/** The protocol has no parts below 64 KiB. */
const SMALLER = limitedTo(50)

function limitedTo(sizeKib: number) {
  const tooLarge = `{ req.hdr_val(content-length) gt ${sizeKib * KIB} }`
  return {
    haproxy: { 'option forwardfor': `http-request deny deny_status 413 if ${tooLarge}` },
    nginx: { client_max_body_size: `client_max_body_size ${sizeKib}k;` },
  }
}

describe.each(loadBalancerKinds)('behind %s', (kind) => {
  test('a stream that is cut because it was silent is opened again, and every answer comes once', async () => {
    await using world = await World.create()
    const { network } = await behind(world, kind, SHORT[kind])
    const path = await world.file('report.bin', 3 * MIB)
    const bob = await world.receiver('bob')
    await until(() => network.count('GET', /^\/v1\/inbox$/) >= 3, 'the inbox was cut twice')
    network.rule = (seen) =>
      // Held until the request is repeated, because the load balancer gave up. Then the portal gets all of them.
      seen.path.endsWith('/disposition') && seen.count < 3
        ? { heldUntil: until(() => network.count('POST', /\/disposition$/) > seen.count, 'the answer is repeated') }
        : null
    const sending = world.send(path, 'bob', '--part-size', '1MiB')
    await deliveredOnce(world, sending, path)
    expect(bob.json.filter(({ type }) => type === 'received')).toHaveLength(1)
  })

  test('a limit on the size of requests is detected: the file is sent in smaller parts', async () => {
    await using world = await World.create()
    await behind(world, kind, SMALL[kind])
    const path = await world.file('report.bin', 4 * MIB)
    await world.receiver('bob')
    const sending = world.send(path, 'bob')
    await deliveredAmongCancelled(world, sending, path)
    expect(smallerParts(sending).at(-1)).toBe(64 * KIB)
  })

  test('a limit below the smallest part size is reported at the end, and the upload continues once the limit is raised', async () => {
    await using world = await World.create()
    const { balancer, network } = await behind(world, kind, SMALLER[kind])
    const path = await world.file('report.bin', 4 * MIB)
    const sending = world.send(path, 'bob')
    const { code, stdout } = await sending.ended
    expect(code).toBe(5)
    // HAProxy closes the connection of a request that is still being sent, so its answer may be lost.
    expect(stdout).toMatch(kind === 'nginx' ? /takes no request of this size/ : /takes no request|probably a proxy/)
    if (kind === 'nginx') expect(saidOf(sending)).toEqual([])
    await balancer.reload([hostOf(network.url)], {})
    await world.receiver('bob')
    await deliveredAmongCancelled(world, world.send(path, 'bob'), path)
  })

  test('a part on a slow line is sent, although no interim response comes through', async () => {
    await using world = await World.create()
    const { balancer, network } = await behind(world, kind)
    await using thin = await FaultyNetwork.open(() => balancer.url)
    await reachBy(world, 'alice', thin.url)
    thin.rule = ({ method }) => (method === 'PUT' ? { bytesPerSecond: 150_000 } : null)
    const path = await world.file('report.bin', 2 * MIB)
    await world.receiver('bob')
    // Four seconds without a response end a try. All bytes are in buffers by then, and the part takes fourteen seconds.
    const sending = world.send(path, 'bob', '--part-size', '2MiB', '--answer-timeout', '12s')
    await deliveredOnce(world, sending, path)
    expect(saidOf(sending)).toEqual([])
    expect(partsSent(network)).toEqual({ 1: 1 })
  })

  test('a file in one request is asked for with 100 Continue, and stored', async () => {
    await using world = await World.create()
    const { balancer } = await behind(world, kind)
    const path = await world.file('report.bin', 2 * MIB)
    const token = await world.token('alice')
    const headers = [`Authorization: Bearer ${token}`, 'Expect: 100-continue', 'Prefer: wait=0']
    const asked = headers.flatMap((header) => ['--header', header])
    // Without 100 Continue curl would wait longer than the test does.
    const waiting = ['--expect100-timeout', '600', '--upload-file', path]
    const { status, sentBytes, lines } = await outcome(curl(...asked, ...waiting, `${balancer.url}/v1/to/bob/`))
    expect(lines[0]).toMatch(/^stored /)
    expect([status, sentBytes]).toEqual([200, 2 * MIB])
  })

  test('commands that make one request say in plain words that the portal does not answer', async () => {
    await using world = await World.create()
    const { balancer } = await behind(world, kind)
    await balancer.reload([await deadBackend()])
    const { code, stderr } = await world.run('status', '--profile', 'alice')
    expect(code).toBe(5)
    expect(stderr).toContain('what stands in front of the portal cannot reach it just now (HTTP status 50')
  })
})
