/** A user without an entry in passwd and without HOME, as in a container with a random uid. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { World } from '../harness/world.ts'

const unset = ['HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME', 'XDG_CACHE_HOME'].flatMap((name) => ['-u', name])
/** The same user under a number without a name; its permissions stay the same. */
const nameless = ['unshare', '--user', '--map-user=54321', '--map-group=54321', 'env']
const homeless = [...nameless, ...unset]

const ADVICE = /no home folder: set XDG_CONFIG_HOME and XDG_STATE_HOME/

/** The environment of a container that provides an account. */
async function accountIn(world: World, name: string): Promise<Record<string, string>> {
  const profile = JSON.parse(await readFile(world.path('config', 'golooader', 'profiles', `${name}.json`), 'utf8'))
  await mkdir(world.path('tmp'), { recursive: true })
  return {
    GOLOOADER_PORTAL: profile.portalUrl,
    GOLOOADER_TOKEN: profile.token,
    GOLOOADER_KEYS: profile.keys,
    TMPDIR: world.path('tmp'),
  }
}

test('without a home and without the folders that replace it, a command says what to set', async () => {
  await using world = await World.create()
  const path = await world.file('a.bin', 10)
  const link = `http://127.0.0.1:9/join#gli_${'a'.repeat(43)}`
  const before = await readdir(world.folder)
  const wrappers = [
    homeless,
    // An empty home and relative folders do not count: keys must not be written to the folder in which a command runs.
    [...nameless, 'HOME=', 'XDG_CONFIG_HOME=config-here', 'XDG_STATE_HOME=./state-here', 'XDG_CACHE_HOME='],
  ]
  for (const wrapper of wrappers) {
    for (const args of [['status'], ['join', link], ['receive', '--into', 'in'], ['send', path, '--to', 'bob']]) {
      const { code, stderr } = await world.start(args, { wrapper }).ended
      expect(stderr, args.join(' ')).toMatch(ADVICE)
      expect(stderr, args.join(' ')).not.toMatch(/this is a bug|\n\s+at /)
      expect(code, args.join(' ')).toBe(2)
    }
  }
  expect(await readdir(world.folder)).toEqual(before)
})

test('with portal, token and keys in the environment, a file is sent and received without any home', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const bob = world.start(['receive', '--into', 'in', '--create', '--once'], {
    wrapper: homeless,
    env: await accountIn(world, 'bob'),
  })
  await bob.line((line) => line.startsWith('connected'))
  const path = await world.file('a.bin', 3_000_000)
  const alice = { wrapper: homeless, env: await accountIn(world, 'alice') }
  const sent = await world.start(['send', path, '--to', 'bob'], alice).ended
  expect(sent, sent.stderr).toMatchObject({ code: 0 })
  expect(sent.stdout).toContain('delivered to bob: arrived, intact, receipt verified')
  // The command reports what it cannot do without a home.
  expect(sent.stderr).toMatch(/warning: this user has no home folder that it may write to[\s\S]*XDG_STATE_HOME/)
  expect(await bob.ended).toMatchObject({ code: 0 })
  expect(await readdir(world.path('in'))).toContain('a.bin')
  // Docker sets the home of such a user to /, where the user may not write. In this test the user may not write there
  // either.
  await mkdir(world.path('locked'), { mode: 0o500 })
  const other = { ...alice, wrapper: [...homeless, `HOME=${world.path('locked')}`] }
  expect(await world.start(['send', path, '--to', 'bob', '--no-wait'], other).ended).toMatchObject({ code: 0 })
  for (const args of [['status'], ['whoami'], ['contacts']]) {
    expect(await world.start(args, alice).ended, args.join(' ')).toMatchObject({ code: 0, stderr: '' })
  }
  expect(await readdir(world.path('tmp')), 'nothing is left behind').toEqual([])
})

test('with the folders set, or with a home, everything is kept; a relative folder does not count', async () => {
  await using world = await World.create()
  await world.portal()
  const cases = [
    ['dave', [`XDG_CONFIG_HOME=${world.path('c')}`, `XDG_STATE_HOME=${world.path('s')}`], world.path('c', 'golooader')],
    ['erin', [`HOME=${world.path('h')}`, 'XDG_CONFIG_HOME=rel'], world.path('h', '.config', 'golooader')],
  ] as const
  for (const [name, variables, folder] of cases) {
    const link = (await world.run('invite', name, '--data', world.dataFolder)).stdout.trim()
    const wrapper = [...homeless, ...variables]
    const joined = await world.start(['join', link], { wrapper }).ended
    expect(joined, joined.stderr).toMatchObject({ code: 0 })
    expect(existsSync(`${folder}/profiles/${name}.json`), name).toBe(true)
    expect(await world.start(['status'], { wrapper }).ended).toMatchObject({ code: 0 })
  }
  expect(existsSync(world.path('rel'))).toBe(false)
})

test('a portal with its parts in S3 needs no home', async () => {
  await using world = await World.create()
  const portal = world.start(
    ['portal', '--listen', '127.0.0.1:0', '--data', 'd', '--store', 's3://parts?endpoint=http://127.0.0.1:9&region=x'],
    { wrapper: homeless, env: { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' } },
  )
  const { code, stderr } = await portal.ended
  // There is no store, and the message says so: the portal got as far as the store.
  expect(stderr).toContain('ECONNREFUSED')
  expect(stderr).not.toContain('homedir')
  expect(code).toBe(2)
})
