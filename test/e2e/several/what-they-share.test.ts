/** Database or store is away for a while. The portal makes no false statement, and continues by itself. */
import { setTimeout } from 'node:timers/promises'
import { afterAll, test } from 'vitest'
import { type OwnPostgres, ownPostgres } from '../../servers/postgres.ts'
import { type OwnRadosgw, ownRadosgw } from '../../servers/radosgw.ts'
import { Cluster } from '../harness/cluster.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import type { Running } from '../harness/world.ts'
import { acknowledged, expectDeliveredOnce, expectEmptied, fetched, MIB } from './scene.ts'

/** The delay of each part. Several are in flight at a time. */
const PACE = MIB / 2
const DATABASE_AWAY_MS = 3_000
const STORAGE_AWAY_MS = 20_000

/** One server of each kind, which a test stops and starts again. It serves the next test, too. */
let database: Promise<OwnPostgres> | null = null
let gateway: Promise<OwnRadosgw> | null = null

afterAll(async () => {
  await (await database)?.[Symbol.asyncDispose]()
  await (await gateway)?.[Symbol.asyncDispose]()
})

/** A slow transfer that is in progress. */
async function underWay(cluster: Cluster) {
  const { world, balancer } = cluster
  const slow = await FaultyNetwork.open(() => balancer.url)
  slow.rule = ({ path }) => (/\/parts\//.test(path) ? { bytesPerSecond: PACE } : null)
  await world.join(['alice', 'bob'], { alice: slow, bob: slow })
  const path = await world.file('film', 14 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  return { slow, path, sending }
}

test.each([
  ['stops in good order', 'stop', 'upload'],
  ['crashes', 'kill', 'delivery'],
] as const)('PostgreSQL %s and starts again (%s), during the %s', async (_what, way, hop) => {
  database ??= ownPostgres()
  const server = await database
  const cluster = await Cluster.create({ nodes: 2, database: await server.database() })
  const { slow, path, sending } = await underWay(cluster)
  await using _slow = slow
  await reached(cluster, sending, hop)
  await server[way]()
  await setTimeout(DATABASE_AWAY_MS)
  await server.start()
  await expectDeliveredOnce(cluster.world, sending, path)
  await expectEmptied(cluster.bucket)
})

test.each([
  ['refuses connections', 'kill', 'start', 'upload'],
  ['never answers', 'pause', 'resume', 'upload'],
  ['never answers', 'pause', 'resume', 'delivery'],
] as const)('S3 %s (%s, %s) for 20 seconds, during the %s', async (_what, goes, comes, hop) => {
  gateway ??= ownRadosgw()
  const server = await gateway
  const bucket = await server.bucket()
  const cluster = await Cluster.create({ nodes: 2, bucket })
  const { slow, path, sending } = await underWay(cluster)
  await using _slow = slow
  await reached(cluster, sending, hop)
  await server[goes]()
  await setTimeout(STORAGE_AWAY_MS)
  await server[comes]()
  await expectDeliveredOnce(cluster.world, sending, path)
  await expectEmptied(bucket)
})

/** During an upload the receiver is connected already. A delivery starts when the upload has ended. */
async function reached({ world }: Cluster, sending: Running, hop: 'upload' | 'delivery'): Promise<void> {
  if (hop === 'delivery') await sending.notification('stored')
  await world.receiver('bob')
  await (hop === 'upload' ? acknowledged : fetched)(sending, 4 * MIB)
}
