/** All nodes are restarted one by one, as in an update, while fifty transfers run. All of them are delivered. */
import { expect, test } from 'vitest'
import { loadBalancerKinds } from '../../servers/load-balancer.ts'
import { Cluster } from '../harness/cluster.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of } from '../harness/world.ts'
import { expectEmptied, MIB } from './scene.ts'

const SENDERS = 5
const FILES_EACH = 10

/** Three nodes restart one after the other, each while fifty transfers run. */
const ROLLING_MS_MAX = 1_200_000

test.each(loadBalancerKinds)('behind %s', { timeout: ROLLING_MS_MAX }, async (kind) => {
  const cluster = await Cluster.create({ kind })
  const { world, balancer } = cluster
  await using slow = await FaultyNetwork.open(() => balancer.url)
  slow.rule = ({ path }) => (/\/parts\//.test(path) ? { bytesPerSecond: MIB } : null)
  await world.join(['alice', 'bob', 'carol'], { alice: slow, bob: slow, carol: slow })
  await Promise.all([world.receiver('bob'), world.receiver('carol')])
  const names = Array.from({ length: SENDERS * FILES_EACH }, (_, index) => `file-${index}`)
  const paths = await Promise.all(names.map((name) => world.file(name, 2 * MIB)))
  const senders = Array.from({ length: SENDERS }, (_, index) =>
    world.send(
      paths.slice(index * FILES_EACH, (index + 1) * FILES_EACH),
      index % 2 === 0 ? 'bob' : 'carol',
      '--part-size',
      '512KiB',
    ),
  )
  await Promise.all(senders.map((sender) => sender.object((line) => line.phase === 'uploading')))
  for (const { index } of cluster.nodes) {
    expect((await cluster.node(index).running.stop('SIGTERM')).code, 'a node that is told to stop stops').toBe(0)
    await cluster.restart(index)
    await cluster.balancerServes()
  }
  for (const sender of senders) {
    const { code, stderr } = await sender.ended
    expect(code, stderr).toBe(0)
  }
  const received = [...(await world.received('bob')), ...(await world.received('carol'))]
  expect(received.sort()).toEqual([...names].sort())
  for (const path of paths.filter((_, index) => index % 7 === 0)) {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const receiver = (await world.received('bob')).includes(name) ? 'bob' : 'carol'
    expect(await sha256Of(`${world.inbox(receiver)}/${name}`)).toBe(await sha256Of(path))
  }
  await expectEmptied(cluster.bucket)
})
