/** A drop folder with files under way, whose profile gets another address or name, or goes to another machine: each file is sent once. */
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, until, World } from '../harness/world.ts'
import { Outbox, receivedBy, transfersOf } from '../outbox/scene.ts'

const PASSPHRASE = 'correct horse battery'

/** A drop folder with a file that is stored, one that the portal has not heard of, and no watcher. */
async function halfDone(world: World, network: FaultyNetwork): Promise<Outbox> {
  const outbox = new Outbox(world)
  outbox.drop('stored.txt', 'stored')
  const watch = await outbox.watch()
  await watch.notification('stored')
  network.rule = () => ({ refuse: true })
  await watch.stop('SIGKILL')
  const sending = outbox.path('.sending')
  const record = readdirSync(sending).find((name) => name.endsWith('.jsonl')) ?? ''
  const header = JSON.parse(readFileSync(outbox.path('.sending', record), 'utf8').split('\n')[0] ?? '')
  const files = [{ name: 'taken.txt', isFolder: false }]
  const batchId = newTransferId()
  mkdirSync(outbox.path('.sending', batchId))
  writeFileSync(outbox.path('.sending', batchId, 'taken.txt'), 'taken')
  writeFileSync(outbox.path('.sending', `${batchId}.jsonl`), `${JSON.stringify({ ...header, files })}\n`)
  return outbox
}

async function world2(
  network: (world: World) => Promise<FaultyNetwork>,
): Promise<{ world: World; net: FaultyNetwork }> {
  const world = await World.create()
  await world.portal()
  const net = await network(world)
  await world.join(['alice', 'bob'], { alice: net })
  return { world, net }
}

const machine = (world: World): Record<string, string> => ({
  ...{ XDG_CONFIG_HOME: world.path('new', 'config'), XDG_STATE_HOME: world.path('new', 'state') },
  GOLOOADER_PASSPHRASE: PASSPHRASE,
})

async function moved(world: World, ...flags: string[]): Promise<void> {
  const file = world.path('alice.glp')
  const env = { GOLOOADER_PASSPHRASE: PASSPHRASE }
  const exporting = await world.start(['profile', 'export', 'alice', '--out', file, ...flags], { env }).ended
  expect(exporting.code, exporting.stderr).toBe(0)
  const importing = await world.start(['profile', 'import', file], { env: machine(world) }).ended
  expect(importing.code, importing.stderr).toBe(0)
}

async function expectAllSentOnce(world: World, outbox: Outbox, watch: Running): Promise<void> {
  await world.receiver('bob')
  await until(() => watch.json.filter(({ type }) => type === 'ended').length === 2, 'both have arrived')
  expect(receivedBy(world, 'bob')).toEqual({ 'stored.txt': 'stored', 'taken.txt': 'taken' })
  expect(outbox.files).toEqual({ 'sent/stored.txt': 'stored', 'sent/taken.txt': 'taken' })
  expect(watch.json.filter(({ type }) => type === 'left-alone')).toEqual([])
}

/** The reasons why files stay in `.sending`. */
async function leftAlone(watch: Running, count: number): Promise<unknown[]> {
  const left = () => watch.json.filter(({ type }) => type === 'left-alone')
  await until(() => left().length === count, 'they are named')
  return left().map(({ reason }) => reason)
}

test('a portal with a new address, and a profile with a new name: the watch continues with what it had begun', async () => {
  const { world, net: old } = await world2((one) => FaultyNetwork.open(() => one.portalUrl))
  await using _world = world
  await using _old = old
  await using name = await FaultyNetwork.open(() => world.portalUrl)
  const outbox = await halfDone(world, old)
  const moving = await world.run('profile', 'address', 'alice', name.url, '--other-name')
  expect(moving.code, moving.stderr).toBe(0)
  await world.run('profile', 'rename', 'alice', 'work')
  const watch = await outbox.watch(['--profile', 'work'])
  await expectAllSentOnce(world, outbox, watch)
})

test('with its transfers on another machine, a drop folder continues there; a copy that is left behind sends nothing', async () => {
  const { world, net } = await world2((one) => FaultyNetwork.open(() => one.portalUrl))
  await using _world = world
  await using _net = net
  const outbox = await halfDone(world, net)
  await moved(world, '--with-transfers')
  cpSync(outbox.folder, world.path('outbox-copy'), { recursive: true })
  renameSync(outbox.folder, world.path('outbox-there'))
  net.rule = () => null
  const behind = await new Outbox(world, 'outbox-copy').watch()
  const reasons = await leftAlone(behind, 2)
  expect(reasons).toEqual([expect.stringContaining('another machine'), expect.stringContaining('another machine')])
  const there = new Outbox(world, 'outbox-there')
  const watch = await there.watch([], machine(world))
  await expectAllSentOnce(world, there, watch)
  expect(await transfersOf(world)).toHaveLength(2)
})

test('without its transfers, a drop folder on another machine names the files that it does not know, and sends new ones', async () => {
  const { world, net } = await world2((one) => FaultyNetwork.open(() => one.portalUrl))
  await using _world = world
  await using _net = net
  const outbox = await halfDone(world, net)
  await moved(world)
  net.rule = () => null
  await world.receiver('bob')
  const watch = await outbox.watch([], machine(world))
  const reasons = await leftAlone(watch, 2)
  expect(reasons[0]).toMatch(/its transfer is not known here.*--with-transfers.*move it into the drop folder/)
  outbox.drop('new.txt', 'new')
  await watch.object((one) => one.type === 'ended' && one.name === 'new.txt')
  await watch.stop()
  // The machine that has the transfers still continues them.
  const again = await outbox.watch()
  await until(() => again.json.filter(({ type }) => type === 'ended').length === 2, 'both have ended')
  expect(receivedBy(world, 'bob')).toEqual({ 'stored.txt': 'stored', 'taken.txt': 'taken', 'new.txt': 'new' })
  expect(await transfersOf(world)).toHaveLength(3)
})
