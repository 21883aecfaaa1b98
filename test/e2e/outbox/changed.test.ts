/** A file of a drop folder is written to, taken away or replaced while it is sent. Nothing of it is lost, and no wrong content counts as delivered. */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, until, World } from '../harness/world.ts'
import { journalOf, Outbox, receivedBy, transfersOf } from './scene.ts'

const PART_BYTES = 65_536

/** A world in which alice reaches the portal by a proxy. */
async function scene() {
  const world = await World.create()
  const network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(['--inline-max', '0'])
  await world.join(['alice', 'bob'], { alice: network })
  return { world, network, outbox: new Outbox(world) }
}

const isPart = ({ method, path }: { method: string; path: string }): boolean =>
  method === 'PUT' && path.includes('/parts/')

/**
 * Renames a file into the drop folder, or the folder that it is in, which the caller keeps open for appending, like a program that still
 * writes to it. However slow the machine is, nothing is taken over before it is open.
 */
function writer(outbox: Outbox, name: string, text: string): { append(text: string): void } & Disposable {
  const [top = ''] = name.split('/')
  const elsewhere = new Outbox(outbox.world, 'elsewhere')
  elsewhere.write(name, text)
  const descriptor = openSync(elsewhere.path(name), 'a')
  renameSync(elsewhere.path(top), outbox.path(top))
  return {
    append: (text) => void writeSync(descriptor, text),
    [Symbol.dispose]: () => closeSync(descriptor),
  }
}

function sendingPath(outbox: Outbox, name: string): string | undefined {
  return Object.keys(outbox.files).find((path) => path.startsWith('.sending/') && path.endsWith(`/${name}`))
}

function ended(watch: Running, name: string) {
  return watch.object((one) => one.type === 'ended' && one.name === name)
}

test('a file that is written to while it is sent is sent when nothing writes any more: only its whole content arrives', async () => {
  const { world, network, outbox } = await scene()
  await using _network = network
  await using _world = world
  await world.receiver('bob')
  const held = Promise.withResolvers<void>()
  const isBegun = Promise.withResolvers<void>()
  network.rule = (seen) => {
    if (!isPart(seen)) return null
    isBegun.resolve()
    return { heldUntil: held.promise }
  }
  const watch = await outbox.watch(['--part-size', '64KiB'])
  const text = randomBytes(PART_BYTES).toString('hex')
  using log = writer(outbox, 'log.txt', text)
  await isBegun.promise
  log.append('more')
  held.resolve()
  await watch.object(({ type }) => type === 'changed')
  network.rule = () => null
  await ended(watch, 'log.txt')
  await outbox.expectFiles({ 'sent/log.txt': `${text}more` })
  expect(receivedBy(world, 'bob')).toEqual({ 'log.txt': `${text}more` })
})

test.each([
  ['moved to sent/', [] as string[]],
  ['deleted', ['--delete']],
])('a file that is written to after it was stored is sent again before it is %s', async (_what, args) => {
  const { world, network, outbox } = await scene()
  await using _network = network
  await using _world = world
  const watch = await outbox.watch(args)
  using log = writer(outbox, 'log.txt', 'first ')
  await watch.notification('stored')
  log.append('second')
  await world.receiver('bob')
  await ended(watch, 'log.txt')
  await watch.object(({ type }) => type === 'changed')
  await until(() => watch.json.filter(({ type }) => type === 'ended').length === 2, 'it was sent twice')
  expect(receivedBy(world, 'bob')).toEqual({ 'log.txt': 'first ', 'log (1).txt': 'first second' })
  await outbox.expectFiles(args.length > 0 ? {} : { 'sent/log.txt': 'first second' })
  expect(await transfersOf(world)).toHaveLength(2)
})

test('a folder in which a file changes after it was stored is sent again as a whole', async () => {
  const { world, network, outbox } = await scene()
  await using _network = network
  await using _world = world
  const watch = await outbox.watch()
  using log = writer(outbox, 'photos/1.txt', 'one')
  await watch.notification('stored')
  log.append(' and more')
  await world.receiver('bob')
  await until(() => watch.json.filter(({ type }) => type === 'ended').length === 2, 'it was sent twice')
  expect(receivedBy(world, 'bob')).toEqual({ 'photos/1.txt': 'one', 'photos (1)/1.txt': 'one and more' })
  await outbox.expectFiles({ 'sent/photos/1.txt': 'one and more' })
})

test('a file that someone takes out of .sending is given up, and its transfer is cancelled', async () => {
  const { world, network, outbox } = await scene()
  await using _network = network
  await using _world = world
  const isBegun = Promise.withResolvers<void>()
  network.rule = (seen) => {
    if (!isPart(seen)) return null
    isBegun.resolve()
    return { refuse: true }
  }
  const watch = await outbox.watch()
  outbox.drop('a.txt', 'a')
  await isBegun.promise
  await watch.stop()
  rmSync(outbox.path(sendingPath(outbox, 'a.txt') ?? ''))
  network.rule = () => null
  const again = await outbox.watch()
  await again.object(({ type }) => type === 'vanished')
  expect(await transfersOf(world)).toEqual([])
  expect(readdirSync(outbox.path('.sending'))).toEqual(['lock'])
  expect(journalOf(world)).toEqual([])
})

test('a name that comes again while its first file is under way is another file', async () => {
  const { world, network, outbox } = await scene()
  await using _network = network
  await using _world = world
  const watch = await outbox.watch()
  outbox.drop('a.txt', 'first')
  await watch.notification('stored')
  outbox.drop('a.txt', 'second')
  await until(() => watch.json.filter((one) => one.notification === 'stored').length === 2, 'both are stored')
  await world.receiver('bob')
  await until(() => watch.json.filter(({ type }) => type === 'ended').length === 2, 'both have arrived')
  expect(Object.values(receivedBy(world, 'bob')).sort()).toEqual(['first', 'second'])
  expect(Object.values(outbox.files).sort()).toEqual(['first', 'second'])
})
