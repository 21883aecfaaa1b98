/** A portal lies to people with a link, and to those who made it. Nothing is sent or received then. */
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { AccountKeys } from '../../../src/trust/index.ts'
import { World } from '../harness/world.ts'
import { EvilPortal, type Json } from '../trust/evil-portal.ts'
import { linkIn } from './scene.ts'

interface Scene {
  readonly world: World
  readonly evil: EvilPortal
  /** Keys of the portal's own. */
  readonly keys: Json
}

async function sceneOf(): Promise<Scene> {
  const world = await World.create()
  const evil = await EvilPortal.open(() => world.portalUrl)
  await world.portal(['--guests'])
  await world.join(['alice'], { alice: evil })
  await writeFile(world.path('a.txt'), 'a')
  return { world, evil, keys: { ...(await AccountKeys.generate()).publicKeys } }
}

/** `send --link` in a scene. */
const sendLink = ({ world }: Scene) => world.start(['send', 'a.txt', '--link', '--profile', 'alice', '--json'])

test('a portal that names other keys for the maker of a link is refused by its receiver', async () => {
  const scene = await sceneOf()
  await using evil = scene.evil
  const sending = sendLink(scene)
  const { link } = await linkIn(sending)
  evil.lies = {
    says: (said) =>
      'guest' in said
        ? { ...said, guest: { ...(said.guest as Json), owner: { account: 'alice', keys: scene.keys } } }
        : said,
  }
  const { code, stderr } = await scene.world.run('receive', link, '--into', scene.world.inbox('guest'))
  expect(stderr).toMatch(/keys-changed\)\n.*may be cheating\. Nothing was sent or received/)
  expect(code).toBe(4)
  expect(await scene.world.received('guest')).toEqual([])
})

test('a portal that names other keys for a guest is refused by the sender, before the file is announced', async () => {
  const scene = await sceneOf()
  await using evil = scene.evil
  evil.lies = {
    says: (said, { path }) => (path.startsWith('/v1/accounts/guest-') ? { ...said, keys: scene.keys } : said),
  }
  const { code, stderr } = await sendLink(scene).ended
  expect(stderr).toMatch(/keys-changed/)
  expect(code).toBe(4)
  expect(evil.announcements).toEqual([])
})

test('a portal that names other keys for the maker of a request is refused by the visitor, before anything is sent', async () => {
  const scene = await sceneOf()
  await using evil = scene.evil
  const made = await scene.world.run('request', '--from-anybody', '--profile', 'alice')
  evil.lies = {
    says: (said) => ('owner' in said ? { ...said, owner: { account: 'alice', keys: scene.keys } } : said),
  }
  const { code, stderr } = await scene.world.run('send', 'a.txt', '--to', made.stdout.trim())
  expect(stderr).toMatch(/keys-changed\)\n.*may be cheating/)
  expect(code).toBe(4)
  expect(evil.announcements).toEqual([])
  expect(evil.requests.some(({ path }) => path === '/v1/requests/join')).toBe(false)
})

test('the portal learns neither the secret of a link nor the label of a request', async () => {
  const scene = await sceneOf()
  await using evil = scene.evil
  const { link } = await linkIn(sendLink(scene))
  await scene.world.run('receive', link, '--into', scene.world.inbox('guest'))
  const made = await scene.world.run('request', '--from-anybody', '--label', 'tax papers', '--profile', 'alice')
  await scene.world.run('send', 'a.txt', '--to', made.stdout.trim(), '--no-wait')
  const heard = evil.requests.map(({ head, body }) => `${head}\n${body}`).join('\n')
  for (const one of [link, made.stdout.trim()]) {
    const [, secret = ''] = /_([\w-]{43})\./.exec(one) ?? []
    expect(secret).toHaveLength(43)
    expect(heard).not.toContain(secret)
  }
  expect(heard).not.toContain('tax papers')
  expect(heard).not.toContain('a.txt')
})

test('a portal of a version without links says that', async () => {
  const scene = await sceneOf()
  await using evil = scene.evil
  evil.lies = {
    says: (said, { path }) => {
      const { guests: _, ...old } = said
      return path === '/v1/limits' ? old : said
    },
  }
  const { code, stderr } = await sendLink(scene).ended
  expect(stderr).toMatch(/it is of a version without them \(guests-off\)/)
  expect(code).toBe(4)
  expect(evil.requests.some(({ path }) => path === '/v1/guests')).toBe(false)
})
