/**
 * Behind a proxy that passes an answer on only when it has ended, as lighttpd does by default, no event stream ever
 * begins.
 */
import { expect, test } from 'vitest'
import { deliveredOnce } from '../first-hop/delivered-once.ts'
import { isAnnounce, MIB } from '../first-hop/requests.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'

const HELD = { holdAnswer: true }

async function scene(): Promise<{ world: World; network: FaultyNetwork }> {
  const world = await World.create()
  const network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network, bob: network })
  network.rule = () => HELD
  return { world, network }
}

test('a file is sent and delivered, and both sides report the proxy once', async () => {
  const { world, network } = await scene()
  await using _ = network
  const bob = await world.receiver('bob')
  const path = await world.file('report.bin', 3 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await deliveredOnce(world, sending, path)
  const told = [...bob.json, ...sending.json].filter(({ type, phase }) => type === 'held-back' || phase === 'held-back')
  expect(told.map(({ reason }) => String(reason).includes('holds event streams back'))).toEqual([true, true])
})

test('a withdrawn offer is reported, and the next file still arrives', async () => {
  const { world, network } = await scene()
  await using _ = network
  const bob = await world.receiver('bob')
  // Bob waits for a file that never becomes complete.
  network.rule = ({ method, path }) => (method === 'PUT' && path.endsWith('/parts/2') ? { hang: true } : HELD)
  const first = world.send(
    await world.file('first.bin', 2 * MIB),
    'bob',
    '--part-size',
    '1MiB',
    '--parts-in-flight',
    '1',
  )
  await bob.object(({ type, heldBytes }) => type === 'fetching' && heldBytes === MIB)
  const { transferId } = await first.object(({ phase }) => phase === 'started')
  await (await world.client('alice')).cancel(String(transferId))
  await bob.object(({ type }) => type === 'withdrawn')
  await first.stop('SIGKILL')
  network.rule = () => HELD
  const path = await world.file('report.bin', MIB)
  expect((await world.send(path, 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['report.bin'])
})

test('more files than are worked on at once all arrive, each once', async () => {
  const { world, network } = await scene()
  await using _ = network
  await world.receiver('bob', ['--transfers', '2'])
  const paths = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => world.file(name, 1000)))
  const sending = world.send(paths, 'bob')
  expect((await sending.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['a', 'b', 'c', 'd', 'e'])
})

test('a receiver that is killed gets its own offer again at once', async () => {
  const { world, network } = await scene()
  await using _ = network
  const bob = await world.receiver('bob')
  network.rule = ({ method, path }) => (method === 'PUT' && path.endsWith('/parts/2') ? { hang: true } : HELD)
  const path = await world.file('report.bin', 2 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '1')
  await bob.object(({ type, heldBytes }) => type === 'fetching' && heldBytes === MIB)
  await bob.stop('SIGKILL')
  network.rule = () => HELD
  network.cutHanging()
  const again = await world.receiver('bob')
  const offered = await again.object(({ type }) => type === 'offered')
  expect(offered).toMatchObject({ isResumed: true })
  await deliveredOnce(world, sending, path)
})

test('a portal that begins a stream slowly is not mistaken for one behind such a proxy', async () => {
  const { world, network } = await scene()
  await using _ = network
  let open = (): void => {}
  const heldUntil = new Promise<void>((resolve) => {
    open = resolve
  })
  // For a while nothing gets through, not even small requests.
  network.rule = () => ({ heldUntil })
  const path = await world.file('report.bin', MIB)
  const sending = world.send(path, 'bob', '--no-wait')
  await until(() => network.seen.some(({ path: asked }) => asked === '/v1/account'), 'something small is asked')
  network.rule = () => null
  open()
  expect((await sending.ended).code).toBe(0)
  expect(sending.json.filter(({ phase }) => phase === 'held-back')).toEqual([])
  expect(network.seen.filter(isAnnounce).length).toBeGreaterThan(0)
})
