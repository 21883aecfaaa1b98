/** `golooader profile`: profiles on several machines, which are folders here, and a portal that gets another address. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { randomInt } from '../../suites/random.ts'
import { countingSteps } from '../harness/kill-at-step.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Ended, type Running, sha256Of, until, World } from '../harness/world.ts'
import { EvilPortal } from '../trust/evil-portal.ts'

const MIB = 1024 * 1024
const PASSPHRASE = 'correct horse battery'
/** With 1, a command is killed before each of its steps. */
const STRIDE = Number(process.env.TEST_STRIDE ?? 3)
/** Neither command has fewer steps. */
const STEPS_MIN = 8

/** The environment of another machine with the same files. */
function machine(world: World, name: string): { readonly env: Record<string, string> } {
  const [config, state] = [world.path(name, 'config'), world.path(name, 'state')]
  return { env: { XDG_CONFIG_HOME: config, XDG_STATE_HOME: state } }
}

function on(world: World, name: string, ...args: string[]): Running {
  const { env } = machine(world, name)
  return world.start(args, { env: args[0] === 'profile' ? { ...env, GOLOOADER_PASSPHRASE: PASSPHRASE } : env })
}

async function done(running: Running): Promise<Ended> {
  const ended = await running.ended
  expect(ended.code, ended.stderr).toBe(0)
  return ended
}

async function exported(world: World, ...flags: string[]): Promise<string> {
  const file = world.path('alice.glp')
  const args = ['profile', 'export', 'alice', '--out', file, ...flags]
  await done(world.start(args, { env: { GOLOOADER_PASSPHRASE: PASSPHRASE } }))
  return file
}

/** The half-sent transfer of a file of twelve parts, whose sender waits for answers from part 5 on. */
async function halfSent(world: World, network: FaultyNetwork): Promise<{ path: string; sending: Running }> {
  const path = await world.file('half.bin', 12 * MIB)
  network.rule = ({ method, path: at }) =>
    method === 'PUT' && /\/parts\/(?:[5-9]|\d\d)$/.test(at) ? { hang: true } : null
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '2')
  await until(() => network.count('PUT', /\/parts\/5$/) > 0, 'the fifth part is on its way')
  return { path, sending }
}

const filesOf = async (folder: string) =>
  (await readdir(folder).catch(() => [])).filter((name) => !name.endsWith('.lock'))

test('a profile moves to another machine with contacts, receipts, links and requests, and a half-sent transfer continues there', async () => {
  await using world = await World.create()
  await world.portal(['--guests'])
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: network })
  let bob = await world.receiver('bob')
  const delivered = await done(world.send(await world.file('a.bin', 3000), 'bob'))
  const id = String(/"transferId":"([0-9a-f-]{36})"/.exec(delivered.stdout)?.[1])
  await bob.stop()
  const request = await world.run('request', '--from-anybody', '--label', 'papers', '--profile', 'alice')
  const linked = await world.run('send', world.path('files', 'a.bin'), '--link', '--no-wait', '--profile', 'alice')
  const link = /http\S+\/g#\S+/.exec(linked.stdout)?.[0]
  const { path, sending } = await halfSent(world, network)
  await sending.stop('SIGKILL')

  const file = await exported(world, '--with-transfers')
  expect((await readFile(file)).includes('alice')).toBe(false)
  expect(
    (await filesOf(world.path('state', 'golooader', 'journal'))).filter((name) => !name.includes('.lock')),
  ).toEqual([])
  const { stdout } = await done(on(world, 'new', 'profile', 'import', file))
  expect(stdout).toMatch(
    /^profile alice: alice at .*, 1 receipt\nto continue here by the same sends: 1 unfinished transfer\n$/,
  )

  network.rule = () => null
  const before = network.count('PUT', /\/parts\/\d+$/)
  bob = await world.receiver('bob')
  const again = on(world, 'new', 'send', path, '--to', 'bob', '--json', '--part-size', '1MiB')
  expect(await again.object((line) => line.phase === 'started')).toMatchObject({ isResumed: true })
  await done(again)
  expect(network.count('PUT', /\/parts\/\d+$/) - before).toBeLessThanOrEqual(9)
  expect(await sha256Of(`${world.inbox('bob')}/half.bin`)).toBe(await sha256Of(path))
  expect(await world.received('bob')).toEqual(['a.bin', 'half.bin'])

  const contacts = await done(on(world, 'new', 'contacts', '--json'))
  expect(JSON.parse(contacts.stdout)).toMatchObject({ account: 'bob', portalUrl: network.url })
  await done(on(world, 'new', 'receipt', id, '--out', world.path('a.receipt')))
  await done(on(world, 'new', 'verify', world.path('files', 'a.bin'), '--receipt', world.path('a.receipt')))
  const requests = await done(on(world, 'new', 'request', '--json'))
  expect(JSON.parse(requests.stdout)).toMatchObject({ link: request.stdout.trim(), label: 'papers' })
  const shown = await done(on(world, 'new', 'status', '--json'))
  const linkId = shown.stdout
    .split('\n')
    .flatMap((line) => (line.includes('guest-') ? [JSON.parse(line).transferId] : []))[0]
  expect((await done(on(world, 'new', 'status', String(linkId)))).stdout).toContain(link)
})

test('a send that runs while its transfer is taken to another machine seals nothing more, and cancels nothing', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: network })
  const { path, sending } = await halfSent(world, network)
  const file = await exported(world, '--with-transfers')
  network.rule = () => null
  network.cutHanging()
  const { code, stdout } = await sending.ended
  expect(code).toBe(5)
  expect(stdout).toContain('continues where that is imported')
  await done(on(world, 'new', 'profile', 'import', file))
  await world.receiver('bob')
  const again = on(world, 'new', 'send', path, '--to', 'bob', '--json')
  expect(await again.object((line) => line.phase === 'started')).toMatchObject({ isResumed: true })
  await done(again)
  expect(await world.received('bob')).toEqual(['half.bin'])
})

test('an export is refused with a wrong passphrase, when it is damaged, and where the account or the name is there', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const file = await exported(world)
  const importing = (env: Record<string, string>, ...args: string[]) =>
    world.start(['profile', 'import', ...args], {
      env: { ...machine(world, 'new').env, GOLOOADER_PASSPHRASE: PASSPHRASE, ...env },
    }).ended
  const wrong = await importing({ GOLOOADER_PASSPHRASE: 'another one' }, file)
  expect(wrong).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('the passphrase is not the right one, or the file is damaged'),
  })
  const bytes = await readFile(file)
  for (const [at, said] of [
    [0, 'the file is no exported profile'],
    [30, 'or the file is damaged'],
    [bytes.length - 1, 'or the file is damaged'],
  ] as const) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] ?? 0) ^ 1
    await writeFile(world.path('damaged.glp'), damaged)
    expect(await importing({}, world.path('damaged.glp'))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(said),
    })
  }
  await writeFile(world.path('cut.glp'), bytes.subarray(0, 40))
  expect((await importing({}, world.path('cut.glp'))).stderr).toContain('is cut off')
  expect(await filesOf(world.path('new', 'config', 'golooader', 'profiles'))).toEqual([])

  // Here the account is there already. On a machine where only its name is taken, another name helps.
  const here = await world.start(['profile', 'import', file], { env: { GOLOOADER_PASSPHRASE: PASSPHRASE } }).ended
  expect(here).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("already: profile 'alice'. Nothing was imported"),
  })
  const bob = world.path('bob.glp')
  await done(world.start(['profile', 'export', 'bob', '--out', bob], { env: { GOLOOADER_PASSPHRASE: PASSPHRASE } }))
  await done(on(world, 'new', 'profile', 'import', bob, '--as', 'alice'))
  expect((await importing({}, file)).stderr).toMatch(/there is a profile 'alice' already, for bob at .*--as NAME/)
  await done(on(world, 'new', 'profile', 'import', file, '--as', 'work'))
  expect((await done(on(world, 'new', 'profile'))).stdout).toMatch(/^alice {2}bob at .*\nwork {3}alice at /)
  expect(
    (
      await world.start(['profile', 'export', 'alice', '--out', file], { env: { GOLOOADER_PASSPHRASE: PASSPHRASE } })
        .ended
    ).stderr,
  ).toContain('exists already')
  expect(
    (await world.start(['profile', 'export', 'alice', '--out', 'x'], { env: { GOLOOADER_PASSPHRASE: 'short' } }).ended)
      .stderr,
  ).toContain('8 characters at least')
})

/**
 * Runs a command again and again, killed before one of its steps that change the file system, until it ends by itself. Then the command has
 * no further step.
 *
 * @param ended what to do after each run, whose exit code is 137 if it was killed
 */
async function killedAtSteps(
  start: (env: Record<string, string>, step: number) => Running,
  world: World,
  ended: (result: Ended, step: number) => Promise<void>,
): Promise<void> {
  for (let step = 1 + randomInt(STRIDE); ; step += STRIDE) {
    const result = await start(countingSteps(world, { killAt: step }), step).ended
    await ended(result, step)
    if (result.code === 137) continue
    expect(step).toBeGreaterThan(STEPS_MIN)
    return
  }
}

async function halfSentAndReceipts(world: World, network: FaultyNetwork): Promise<string> {
  const bob = await world.receiver('bob')
  const many = await Promise.all(Array.from({ length: 30 }, (_, at) => world.file(`${at}.bin`, 100)))
  await done(world.send(many, 'bob'))
  await bob.stop()
  const { path, sending } = await halfSent(world, network)
  await sending.stop('SIGKILL')
  network.rule = () => null
  return path
}

test('an export that is killed before any of its steps has the transfer in its file, or has left it here', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: network })
  await halfSentAndReceipts(world, network)
  const journal = world.path('state', 'golooader', 'journal')
  const fileOf = (step: number): string => world.path(`${step}.glp`)
  const passphrase = { GOLOOADER_PASSPHRASE: PASSPHRASE }
  await killedAtSteps(
    (env, step) => {
      const args = ['profile', 'export', 'alice', '--out', fileOf(step), '--with-transfers']
      return world.start(args, { env: { ...env, ...passphrase } })
    },
    world,
    async ({ code }, step) => {
      const isHere = (await filesOf(journal)).some((name) => name.endsWith('.json'))
      expect([step, isHere && code === 0]).toEqual([step, false])
      if (isHere) return
      const back = await done(on(world, `back-${step}`, 'profile', 'import', fileOf(step), '--json'))
      expect([step, JSON.parse(back.stdout)]).toMatchObject([step, { transfers: 1 }])
      await rm(world.path('config', 'golooader', 'profiles', 'alice.json'))
      await done(world.start(['profile', 'import', fileOf(step)], { env: passphrase }))
    },
  )
})

test('an import that is killed before any of its steps is completed by the same command, and not repeated after that', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: network })
  const path = await halfSentAndReceipts(world, network)
  const file = await exported(world, '--with-transfers')
  let last = ''
  await killedAtSteps(
    (env, step) => {
      last = `new-${step}`
      return world.start(['profile', 'import', file], {
        env: { ...machine(world, last).env, ...env, GOLOOADER_PASSPHRASE: PASSPHRASE },
      })
    },
    world,
    async (killed, step) => {
      const again = await on(world, last, 'profile', 'import', file).ended
      // The profile is written last, so a run that has got to that is complete.
      const isComplete = again.code === 2 && again.stderr.includes("already: profile 'alice'")
      expect([step, again.code === 0 || isComplete, again.stderr]).toMatchObject([step, true, expect.anything()])
      if (killed.code !== 137) expect(isComplete).toBe(true)
      const shown = JSON.parse((await done(on(world, last, 'profile', 'show', 'alice', '--json'))).stdout)
      expect([step, shown]).toMatchObject([step, { account: 'alice', contacts: 1, unfinishedTransfers: 1 }])
      const receipts = await filesOf(world.path(last, 'state', 'golooader', 'receipts'))
      expect(receipts.filter((name) => !name.endsWith('.partial'))).toHaveLength(1)
    },
  )
  await world.receiver('bob')
  await done(on(world, last, 'send', path, '--to', 'bob', '--json'))
  // The transfer has ended here. The same file again must not bring it back.
  await done(on(world, last, 'profile', 'remove', 'alice', '--yes'))
  const repeated = await done(on(world, last, 'profile', 'import', file, '--json'))
  expect(JSON.parse(repeated.stdout)).toMatchObject({ transfers: 0, receipts: 0 })
})

test('profiles are listed, renamed and removed, and what is not there is named', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  expect((await world.run('profile', 'list')).stdout).toBe(
    `alice  alice at ${world.portalUrl}\nbob    bob at ${world.portalUrl}\n`,
  )
  expect((await world.run('profile', 'rename', 'alice', 'bob')).stderr).toContain(
    "there is a profile 'bob' already, for bob at",
  )
  await world.run('profile', 'rename', 'alice', 'work')
  expect((await world.run('whoami', '--profile', 'work')).stdout).toMatch(/^alice at /)
  expect((await world.run('profile', 'show', 'alice')).stderr).toContain(
    "there is no profile 'alice'. There is bob, work",
  )
  expect((await world.run('profile', 'rename', 'work', '../x')).stderr).toContain("'../x' is not the name of a profile")
  // No passphrase is asked for: without a terminal that would be the error.
  const missing = await world.run('profile', 'import', 'away.glp')
  expect(missing.code).toBe(2)
  expect(missing.stderr).toMatch(/^golooader: the exported profile cannot be read: .*away\.glp.*\n$/)
  const asked = await world.run('profile', 'remove', 'work')
  expect(asked).toMatchObject({ code: 2, stderr: expect.stringContaining('golooader profile remove work --yes') })
  expect((await world.run('profile', 'remove', 'work', '--yes')).code).toBe(0)
  expect((await world.run('profile', 'list')).stdout).toBe(`bob  bob at ${world.portalUrl}\n`)
})

test('a portal with a new address is followed: an unfinished transfer, contacts, links and labels stay', async () => {
  await using world = await World.create()
  let portal = await world.portal(['--guests'])
  const listening = world.portalUrl
  await using old = await FaultyNetwork.open(() => listening)
  await using name = await FaultyNetwork.open(() => listening)
  await world.join(['alice', 'bob'], { alice: old })
  const request = (
    await world.run('request', '--from-anybody', '--label', 'papers', '--profile', 'alice')
  ).stdout.trim()
  const { path, sending } = await halfSent(world, old)
  await sending.stop('SIGKILL')
  await portal.stop()
  portal = await world.portal(['--guests', '--public-url', name.url])
  world.portalUrl = listening
  // The old name does not work any more.
  old.rule = () => ({ refuse: true })

  const moved = await world.run('profile', 'address', 'alice', `${name.url}/`)
  expect(moved).toMatchObject({ code: 0, stdout: `alice: alice at ${name.url}\n` })
  expect(await world.run('profile', 'address', 'alice', name.url)).toMatchObject({ code: 0 })
  const bob = await world.receiver('bob')
  const again = world.send(path, 'bob', '--part-size', '1MiB')
  expect(await again.object((line) => line.phase === 'started')).toMatchObject({ isResumed: true })
  await done(again)
  await bob.stop()
  expect(await world.received('bob')).toEqual(['half.bin'])
  const contacts = JSON.parse((await world.run('contacts', '--json', '--profile', 'alice')).stdout)
  expect(contacts).toMatchObject({ account: 'bob', portalUrl: name.url })
  // Links name the new address, with the same secrets.
  const requests = JSON.parse((await world.run('request', '--json', '--profile', 'alice')).stdout)
  expect(requests).toMatchObject({ label: 'papers', link: request.replace(old.url, name.url) })

  // A profile that joins at the new address shares the contacts; another portal at the old address does not.
  const invited = await world.run('invite', 'carol', '--data', world.dataFolder)
  await world.run('join', invited.stdout.trim())
  const carol = JSON.parse(await readFile(world.path('config', 'golooader', 'profiles', 'carol.json'), 'utf8'))
  expect(carol).toMatchObject({ portalUrl: name.url, stateUrl: old.url })
  await portal.stop()
})

test('another portal, and a third party that passes requests on, get no token', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  await using other = await World.create()
  await other.portal()
  await using theirs = await EvilPortal.open(() => other.portalUrl)
  await using relay = await EvilPortal.open(() => world.portalUrl)
  await using forger = await EvilPortal.open(() => world.portalUrl)
  forger.lies = { says: (said) => ('proof' in said ? { ...said, portalUrl: forger.url } : said) }
  const before = await readFile(world.path('config', 'golooader', 'profiles', 'alice.json'), 'utf8')
  const token = JSON.parse(before).token
  for (const [portal, said] of [
    [theirs, 'it does not know the account'],
    [relay, `the portal says that its address is ${world.portalUrl}: a third party may pass requests on to it`],
    [forger, 'it does not know the account'],
  ] as const) {
    const refused = await world.run('profile', 'address', 'alice', portal.url)
    expect(refused.stderr).toContain(said)
    expect(refused.stderr).toMatch(/The token was not sent.*\(portal-different\)/s)
    expect(refused.code).toBe(4)
    const heard = portal.requests.map(({ head, body }) => `${head}\n${body}`).join('\n')
    expect(portal.requests.length).toBeGreaterThan(0)
    expect(heard).not.toContain(token)
    expect(heard).not.toMatch(/bearer/i)
  }
  expect(await readFile(world.path('config', 'golooader', 'profiles', 'alice.json'), 'utf8')).toBe(before)
  // A person who knows that the portal has two names says so.
  expect((await world.run('profile', 'address', 'alice', relay.url, '--other-name')).code).toBe(0)
  // The portal that has proven itself gets the token, and may still know the account by another name.
  const path = world.path('config', 'golooader', 'profiles', 'alice.json')
  const renamed = (await readFile(path, 'utf8')).replace('"alice"', '"alicia"')
  await writeFile(path, renamed)
  const otherwise = await world.run('profile', 'address', 'alice', world.portalUrl)
  expect(otherwise).toMatchObject({ code: 4, stderr: expect.stringContaining('the account is called alice there.') })
  expect(otherwise.stderr).not.toContain('not sent')
  expect(await readFile(path, 'utf8')).toBe(renamed)
  const plain = await world.run('profile', 'address', 'alice', 'http://192.0.2.1')
  expect(plain).toMatchObject({ code: 2, stderr: expect.stringContaining('insecure-transport') })
})
