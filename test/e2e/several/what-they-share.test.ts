/** Database or storage is away for a while: nobody is told anything that is not so, and all goes on by itself. */
import { setTimeout } from 'node:timers/promises'
import { test } from 'vitest'
import { ownPostgres } from '../../servers/postgres.ts'
import { ownRadosgw } from '../../servers/radosgw.ts'
import { Cluster } from '../harness/cluster.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { acknowledged, expectDeliveredOnce, expectEmptied, fetched, MIB } from './scene.ts'

/** Of each part: several are on their way at a time. */
const PACE = MIB / 2
const STORAGE_AWAY_MS = 20_000

test.each(['stop', 'kill'] as const)(
  'PostgreSQL restarts after a %s, in mid-upload and in mid-delivery',
  async (way) => {
    await using database = await ownPostgres()
    const cluster = await Cluster.create({ nodes: 2, database })
    const { world, balancer } = cluster
    await using slow = await FaultyNetwork.open(() => balancer.url)
    slow.rule = ({ path }) => (/\/parts\//.test(path) ? { bytesPerSecond: PACE } : null)
    await world.join(['alice', 'bob'], { alice: slow, bob: slow })
    await world.receiver('bob')
    const path = await world.file('film', 32 * MIB)
    const sending = world.send(path, 'bob', '--part-size', '1MiB')
    for (const reached of [acknowledged(sending, 4 * MIB), fetched(sending, 24 * MIB)]) {
      await reached
      await database[way]()
      await setTimeout(2000)
      await database.start()
    }
    await expectDeliveredOnce(world, sending, path)
    await expectEmptied(cluster.bucket)
  },
)

test.each([
  ['refuses connections', 'kill', 'start'],
  ['never answers', 'pause', 'resume'],
] as const)('S3 %s for 20 seconds, in mid-upload and in mid-delivery', async (_what, goes, comes) => {
  await using gateway = await ownRadosgw()
  const bucket = await gateway.bucket()
  const cluster = await Cluster.create({ nodes: 2, bucket })
  const { world, balancer } = cluster
  await using slow = await FaultyNetwork.open(() => balancer.url)
  slow.rule = ({ path }) => (/\/parts\//.test(path) ? { bytesPerSecond: PACE } : null)
  await world.join(['alice', 'bob'], { alice: slow, bob: slow })
  await world.receiver('bob')
  const path = await world.file('film', 32 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  for (const reached of [acknowledged(sending, 4 * MIB), fetched(sending, 24 * MIB)]) {
    await reached
    await gateway[goes]()
    await setTimeout(STORAGE_AWAY_MS)
    await gateway[comes]()
  }
  await expectDeliveredOnce(world, sending, path)
  await expectEmptied(bucket)
})
