/** The last section of PROTOCOL.md: its scripts run unchanged, by the system's `sh`, against real peers. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Running, World } from './harness/world.ts'

interface Blocks {
  readonly common: string
  readonly sender: string
  readonly receiver: string
}

async function blocks(): Promise<Blocks> {
  const page = await readFile(new URL('../../PROTOCOL.md', import.meta.url), 'utf8')
  const [, section = ''] = page.split('## A complete example with curl')
  const [common, sender, receiver, ...more] = [...section.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text)
  if (common === undefined || sender === undefined || receiver === undefined || more.length > 0) {
    throw new Error('PROTOCOL.md shows other blocks than those that are run here')
  }
  return { common, sender, receiver }
}

/** An invite, as the operator creates it. */
async function inviteOf(world: World, name: string): Promise<string> {
  const { stdout } = await world.run('invite', name, '--data', world.dataFolder)
  return /gli_[\w-]+/.exec(stdout)?.[0] ?? ''
}

/** Runs a script in a folder of its own. */
async function shell(world: World, folder: string, script: string, env: Record<string, string>): Promise<Running> {
  await mkdir(world.path(folder))
  const wrapper = ['sh', '-euc', `cd "${world.path(folder)}"\n${script}`, 'sh']
  return world.start([], { wrapper, env: { P: world.portalUrl, ...env } })
}

test('the sender by hand reaches a real receiver, and is notified that it was delivered', async () => {
  const world = await World.create()
  await world.portal()
  await world.join(['bob'])
  const { common, sender } = await blocks()
  await world.receiver('bob')
  const hand = await shell(world, 'alice', common + sender, { I: await inviteOf(world, 'alice') })
  const { code, stdout, stderr } = await hand.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('"notification":"stored"')
  expect(stdout).toContain('"notification":"delivered"')
  expect(await readFile(join(world.inbox('bob'), 'hello'), 'utf8')).toBe('hello')
})

test('the receiver by hand gets the file of a real sender, and the sender is notified', async () => {
  const world = await World.create()
  await world.portal(['--digests', 'sha-256'])
  await world.join(['alice'])
  const { common, receiver } = await blocks()
  const hand = await shell(world, 'bob', common + receiver, { J: await inviteOf(world, 'bob') })
  await hand.line((line) => line.includes('"account":"bob"'))
  const sent = world.send(await world.file('plan.pdf', 70_000), 'bob', '--plain')
  expect((await sent.ended).code).toBe(0)
  const { code, stdout, stderr } = await hand.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('{"state":"delivered"}')
  expect(await readFile(world.path('bob', 'received'))).toEqual(await readFile(world.path('files', 'plan.pdf')))
})

test('a receiver that does not know the digest algorithm says so, and the sender is told which one it knows', async () => {
  const world = await World.create()
  await world.portal(['--digests', 'blake3'])
  await world.join(['alice'])
  const { common, receiver } = await blocks()
  const hand = await shell(world, 'bob', common + receiver, { J: await inviteOf(world, 'bob') })
  await hand.line((line) => line.includes('"account":"bob"'))
  const sent = world.send(await world.file('plan.pdf', 70_000), 'bob', '--plain')
  const { problem } = await sent.notification('failed')
  expect(problem).toMatchObject({ code: 'digest-unsupported-algorithm', wanted: ['sha-256'] })
  expect((await hand.ended).stdout).toContain('{"state":"failed"}')
})

test('both by hand: the file arrives', async () => {
  const world = await World.create()
  await world.portal()
  const { common, sender, receiver } = await blocks()
  const bob = await shell(world, 'bob', common + receiver, { J: await inviteOf(world, 'bob') })
  await bob.line((line) => line.includes('"account":"bob"'))
  const alice = await shell(world, 'alice', common + sender, { I: await inviteOf(world, 'alice') })
  expect(await alice.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await bob.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await readFile(world.path('bob', 'received'), 'utf8')).toBe('hello')
})
