/**
 * A node is killed. What was acknowledged is not lost, both sides continue through another node, and no file arrives
 * twice.
 */
import { expect, test } from 'vitest'
import { loadBalancerKinds } from '../../servers/load-balancer.ts'
import { Cluster } from '../harness/cluster.ts'
import { type Fault, FaultyNetwork } from '../harness/proxy.ts'
import { acknowledged, expectDeliveredOnce, expectEmptied, fetched, MIB } from './scene.ts'

/** The delay of each part. Several are in flight at a time. */
const PACE = MIB / 4
const PARTS = 28

/** Parts are slow, and the last one is held until all nodes have been killed, so that no kill comes too late. */
function paced(path: string, killed: Promise<void>): Fault {
  return path.endsWith(`/parts/${PARTS}`) ? { heldUntil: killed } : { bytesPerSecond: PACE }
}

/** Kills one node after another, each as soon as `next` resolves, and starts it again. */
async function killEach(cluster: Cluster, next: (index: number) => Promise<void>): Promise<void> {
  for (const { index } of cluster.nodes) {
    await next(index)
    await cluster.node(index).running.stop('SIGKILL')
    await cluster.restart(index)
    await cluster.balancerServes()
  }
}

test.each(loadBalancerKinds)('every node behind %s is killed once during an upload', async (kind) => {
  const cluster = await Cluster.create({ kind })
  const { world, balancer } = cluster
  await using slow = await FaultyNetwork.open(() => balancer.url)
  const killed = Promise.withResolvers<void>()
  slow.rule = ({ method, path }) => (method === 'PUT' ? paced(path, killed.promise) : null)
  await world.join(['alice', 'bob'], { alice: slow })
  await world.receiver('bob')
  const path = await world.file('film', PARTS * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await killEach(cluster, (index) => acknowledged(sending, 4 * MIB + index * 6 * MIB))
  killed.resolve()
  await expectDeliveredOnce(world, sending, path)
  await expectEmptied(cluster.bucket)
})

test.each(loadBalancerKinds)('every node behind %s is killed once during a delivery', async (kind) => {
  const cluster = await Cluster.create({ kind, args: ['--lease', '5s'] })
  const { world, balancer } = cluster
  await using slow = await FaultyNetwork.open(() => balancer.url)
  const killed = Promise.withResolvers<void>()
  slow.rule = ({ path }) => (/\/parts\//.test(path) ? paced(path, killed.promise) : null)
  await world.join(['alice', 'bob'], { bob: slow })
  const path = await world.file('film', PARTS * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await sending.notification('stored')
  await world.receiver('bob')
  await killEach(cluster, (index) => fetched(sending, 4 * MIB + index * 6 * MIB))
  killed.resolve()
  await expectDeliveredOnce(world, sending, path)
  await expectEmptied(cluster.bucket)
})

test('many small files that are sent while nodes are killed are each delivered once', async () => {
  const cluster = await Cluster.create()
  const { world } = cluster
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const paths = await Promise.all(Array.from({ length: 300 }, (_, index) => world.file(`file-${index}`, 500 + index)))
  const sending = world.send(paths, 'bob')
  const deliveries = () => sending.json.filter((line) => line.notification === 'delivered').length
  await killEach(cluster, async (index) => {
    await sending.object(() => deliveries() >= (index + 1) * 40)
  })
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  expect(await world.received('bob')).toEqual(paths.map((path) => path.slice(path.lastIndexOf('/') + 1)).sort())
})
