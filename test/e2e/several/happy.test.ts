/** Several portals over one PostgreSQL and one S3 store, behind a load balancer, act as one portal. */
import { expect, test } from 'vitest'
import { loadBalancerKinds } from '../../servers/load-balancer.ts'
import { testDatabase } from '../../servers/postgres.ts'
import { testBucket } from '../../servers/radosgw.ts'
import { Cluster } from '../harness/cluster.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'

const MIB = 1024 * 1024

test.each(loadBalancerKinds)('behind %s, files of all sizes are delivered by any of the nodes', async (kind) => {
  const { world } = await Cluster.create({ kind })
  await world.join(['alice', 'bob', 'carol'])
  const files = await Promise.all([
    world.file('empty', 0),
    world.file('small', 1000),
    world.file('large', 40 * MIB),
    ...Array.from({ length: 20 }, (_, index) => world.file(`small-${index}`, 1000 * index)),
  ])
  await Promise.all([world.receiver('bob'), world.receiver('carol')])
  const sent = await world.send(files, 'bob,carol').ended
  expect(sent, sent.stderr).toMatchObject({ code: 0 })
  for (const receiver of ['bob', 'carol']) {
    expect(await world.received(receiver)).toEqual(files.map((path) => path.slice(path.lastIndexOf('/') + 1)).sort())
    const [large = ''] = files.filter((path) => path.endsWith('large'))
    expect(await sha256Of(`${world.inbox(receiver)}/large`)).toBe(await sha256Of(large))
  }
})

test('a file that is uploaded to one node can be fetched from another meanwhile', async () => {
  const { world, nodes } = await Cluster.create({ nodes: 2 })
  const [up, down] = [nodes[0]?.url ?? '', nodes[1]?.url ?? '']
  await using slow = await FaultyNetwork.open(() => up)
  await using watched = await FaultyNetwork.open(() => down)
  // The last part is held until the receiver has some earlier parts through the other node.
  const isFetched = Promise.withResolvers<void>()
  slow.rule = ({ method, path }) =>
    method === 'PUT' && path.endsWith('/parts/5') ? { heldUntil: isFetched.promise } : null
  await world.join(['alice', 'bob'], { alice: slow, bob: watched })
  await world.receiver('bob')
  const path = await world.file('film', 5 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await until(() => watched.count('GET', /\/parts\/5$/) > 0, 'only the last one is still to come')
  expect(sending.json.filter((line) => line.type === 'notification')).toEqual([])
  isFetched.resolve()
  expect((await sending.ended).code).toBe(0)
  expect(await sha256Of(`${world.inbox('bob')}/film`)).toBe(await sha256Of(path))
})

test('the operator invites, lists and revokes with access to the database only', async () => {
  const { world, databaseUrl, balancer } = await Cluster.create({ nodes: 2 })
  world.env.GOLOOADER_DATABASE = databaseUrl
  const invited = await world.run('invite', 'alice')
  expect(invited.stdout).toContain(`${balancer.url}/join#`)
  expect((await world.run('join', invited.stdout.trim())).code).toBe(0)
  const listed = await world.run('accounts', '--json')
  expect(JSON.parse(listed.stdout)).toMatchObject({ account: 'alice', state: 'active' })
  const receiver = world.start(['receive', '--into', world.inbox('alice'), '--create', '--json'])
  await receiver.object(({ type }) => type === 'connected')
  expect((await world.run('accounts', 'revoke', 'alice')).code).toBe(0)
  expect((await receiver.ended).code, 'cut off by whichever node it hung on').not.toBe(0)
})

test('only the ledger, or only the store, can be a remote service', async () => {
  const [bucket, { url: databaseUrl }] = await Promise.all([testBucket(), testDatabase()])
  for (const args of [
    ['--database', databaseUrl],
    ['--store', bucket.address],
  ]) {
    await using world = await World.create()
    Object.assign(world.env, bucket.env)
    if (args[0] === '--database') world.databaseUrl = databaseUrl
    await world.portal(args)
    await world.join(['alice', 'bob'])
    await world.receiver('bob')
    const path = await world.file('plan', 3 * MIB)
    expect((await world.send([path, await world.file('note', 10)], 'bob').ended).code).toBe(0)
    expect(await sha256Of(`${world.inbox('bob')}/plan`)).toBe(await sha256Of(path))
  }
})
