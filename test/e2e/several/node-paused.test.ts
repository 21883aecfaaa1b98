/**
 * A node is stopped for longer than its leases and then continues. It must not overwrite what other nodes did
 * meanwhile.
 */
import { expect, test } from 'vitest'
import { Cluster } from '../harness/cluster.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { until } from '../harness/world.ts'
import { acknowledged, expectDeliveredOnce, expectEmptied, fetched, inboxesOf, MIB } from './scene.ts'

/** The delay of each part. Several are in flight at a time. */
const PACE = MIB / 2

test('the node of a receiver is paused past the lease: another node delivers, and the paused one finds it done', async () => {
  const cluster = await Cluster.create({ nodes: 2, args: ['--lease', '3s'] })
  const { world, balancer } = cluster
  await using slow = await FaultyNetwork.open(() => balancer.url)
  slow.rule = ({ path }) => (/\/parts\//.test(path) ? { bytesPerSecond: PACE } : null)
  await world.join(['alice', 'bob'], { bob: slow })
  const path = await world.file('film', 14 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await sending.notification('stored')
  await world.receiver('bob')
  await fetched(sending, 4 * MIB)
  const inboxes = await Promise.all(cluster.nodes.map(inboxesOf))
  const node = cluster.node(inboxes.indexOf(1))
  node.running.signal('SIGSTOP')
  await expectDeliveredOnce(world, sending, path)
  node.running.signal('SIGCONT')
  await until(async () => (await fetch(`${node.url}/readyz`)).ok, 'the paused node serves again')
  await expectEmptied(cluster.bucket)
  const [transfer] = (await (await world.client('alice')).transfers({ limit: 9 })).transfers
  expect(transfer).toMatchObject({ state: 'ended', deliveries: [{ state: 'delivered' }] })
  expect(await world.received('bob')).toEqual(['film'])
})

test('a node is paused while it receives parts, and continues after the transfer ended: none of the parts stays', async () => {
  const cluster = await Cluster.create({ nodes: 2 })
  const { world, balancer } = cluster
  await using slow = await FaultyNetwork.open(() => balancer.url)
  slow.rule = ({ method }) => (method === 'PUT' ? { bytesPerSecond: PACE } : null)
  await world.join(['alice', 'bob'], { alice: slow })
  await world.receiver('bob')
  const path = await world.file('film', 14 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await acknowledged(sending, 4 * MIB)
  const node = cluster.node(0)
  node.running.signal('SIGSTOP')
  await expectDeliveredOnce(world, sending, path)
  node.running.signal('SIGCONT')
  await until(async () => (await fetch(`${node.url}/readyz`)).ok, 'the paused node serves again')
  await expectEmptied(cluster.bucket)
})
