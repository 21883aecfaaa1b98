// @tier stress
/**
 * The operator's commands act on a running portal: a revoked account is cut off within a second and can be restored.
 */
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { allowedMs } from '../../suites/bounds.ts'
import { gate, partOf, partsSent } from '../first-hop/requests.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Ended, type Running, sha256Of, until, World } from '../harness/world.ts'
import { fetches, holdBackAfter, holds, notifiedOf, recordOf, startSending, unfinished } from '../second-hop/scene.ts'

const MIB = 1024 * 1024
/** The promised limit, from the end of the command to the end of the connections. */
const CUT_MS_MAX = 1_000

function accounts(world: World, ...args: string[]): Promise<Ended> {
  return world.run('accounts', ...args, '--data', world.dataFolder)
}

/** Revokes an account, and measures how long after that something else happens. */
async function revokedUntil(world: World, name: string, happens: Promise<unknown>): Promise<number> {
  let happenedAtMs = Number.POSITIVE_INFINITY
  const happened = happens.then(() => {
    happenedAtMs = performance.now()
  })
  const { code, stdout, stderr } = await accounts(world, 'revoke', name)
  const revokedAtMs = performance.now()
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain(`${name} is revoked`)
  await happened
  return happenedAtMs - revokedAtMs
}

/** Makes a new link for an account and joins with it, as its owner does. */
async function joinAgain(world: World, name: string, network: FaultyNetwork): Promise<void> {
  const rotated = await accounts(world, 'rotate', name, '--public-url', network.url)
  expect(rotated, rotated.stderr).toMatchObject({ code: 0 })
  expect(rotated.stderr).toMatch(/works once, for 24 hours[\s\S]*continues to work/)
  const joined = await world.run('join', rotated.stdout.trim())
  expect(joined, joined.stderr).toMatchObject({ code: 0 })
  expect(joined.stdout).toContain(`as ${name} `)
}

/** The last event of a command whose account was revoked. */
async function expectRefused(running: Running): Promise<void> {
  const { code, stderr } = await running.ended
  expect(stderr).toMatch(/credentials-invalid[\s\S]*golooader join LINK/)
  expect(code).toBe(4)
}

test('a receiver that is revoked during a file is cut off and its sender is notified; after it is restored it receives', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 2)
  const bob = await world.receiver('bob')
  const { sending } = await startSending(world, 'plan.bin', 4)
  await sending.notification('stored')
  await holds(bob, 2)

  const cut = bob.object((line) => line.type === 'disconnected')
  expect(await revokedUntil(world, 'bob', cut)).toBeLessThan(allowedMs(CUT_MS_MAX))
  await expectRefused(bob)
  expect(await sending.notification('failed')).toMatchObject({
    receiver: 'bob',
    problem: { code: 'account-revoked', account: 'bob' },
  })
  expect((await sending.ended).code).toBe(3)
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
  release()
  const toNobody = world.send(await world.file('other.bin', MIB), 'bob')
  expect(await toNobody.ended).toMatchObject({ code: 4 })
  expect(await toNobody.notification('refused')).toMatchObject({ problem: { code: 'receiver-unknown' } })

  await joinAgain(world, 'bob', network)
  await world.receiver('bob')
  await until(async () => (await unfinished(world, 'bob')).length === 0, 'what was there of the first one is deleted')
  const again = await startSending(world, 'again.bin', 2)
  expect((await again.sending.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['again.bin'])
})

test('a sender that is revoked during an upload is cut off; after it is restored the same command delivers', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob', 'carol'], { alice: network })
  const bob = await world.receiver('bob')
  const carol = await world.receiver('carol')
  network.rule = (seen) => (partOf(seen) === null ? null : { bytesPerSecond: MIB / 4 })
  const { path, transferId, sending } = await startSending(world, 'slow.bin', 8)
  await sending.object((line) => Number(line.sentBytes) > 0)

  const cut = sending.object((line) => line.phase === 'silence' || line.type === 'silence')
  const ended = sending.ended
  expect(await revokedUntil(world, 'alice', Promise.race([cut.catch(() => {}), ended]))).toBeLessThan(
    allowedMs(CUT_MS_MAX),
  )
  await expectRefused(sending)
  await until(async () => (await world.stored()).length === 0, 'nothing of it is kept')
  expect(await bob.object((line) => line.type === 'withdrawn')).toMatchObject({
    transferId,
    problem: { code: 'account-revoked' },
  })
  await expectRefused(world.send(path, 'bob'))
  expect(
    carol.json.map(({ type }) => type),
    'nobody else notices',
  ).toEqual(['connected'])

  network.rule = () => null
  await joinAgain(world, 'alice', network)
  const again = await startSending(world, 'slow.bin', 8)
  expect(again.transferId).not.toBe(transferId)
  expect((await again.sending.ended).code).toBe(0)
  expect(await sha256Of(`${world.inbox('bob')}/slow.bin`)).toBe(await sha256Of(again.path))
  expect(await recordOf(world, transferId)).toMatchObject({ state: 'refused' })
})

test('with a new token a delivery continues where it was cut off', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 3)
  const bob = await world.receiver('bob')
  const { path, sending } = await startSending(world, 'plan.bin', 6)
  await holds(bob, 3)

  await joinAgain(world, 'bob', network)
  await expectRefused(bob)
  expect(notifiedOf(sending), 'its sender need not know').toEqual(['stored'])
  release()
  const restarted = await world.receiver('bob')
  expect(await restarted.object((line) => line.type === 'offered')).toMatchObject({ isResumed: true })
  expect((await sending.ended).code).toBe(0)
  expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
  expect(await sha256Of(`${world.inbox('bob')}/plan.bin`)).toBe(await sha256Of(path))
  expect(fetches(network).slice(0, 3), 'what it had was not fetched again').toEqual([
    [1, 1],
    [2, 1],
    [3, 1],
  ])
})

test('with a new token an upload continues where it was cut off', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: network })
  const held = gate(network, (seen) => (partOf(seen) ?? 0) > 3)
  const { path, transferId, sending } = await startSending(world, 'plan.bin', 6)
  await until(async () => (await world.stored()).length === 3, 'three parts are held')
  await joinAgain(world, 'alice', network)
  held.open()
  await expectRefused(sending)

  const from = network.seen.length
  await world.receiver('bob')
  const again = world.send(path, 'bob', '--part-size', '1MiB')
  expect(await again.object((line) => line.phase === 'started')).toMatchObject({ transferId, isResumed: true })
  expect((await again.ended).code).toBe(0)
  expect(partsSent(network, from)).toEqual({ 4: 1, 5: 1, 6: 1 })
})

test('the list shows active, revoked and invited accounts', async () => {
  await using world = await World.create()
  await world.portal()
  expect((await accounts(world)).stdout).toMatch(/no account has joined yet: golooader invite NAME/)
  await world.join(['alice', 'bob'])
  await world.send(await world.file('a.bin', MIB), 'bob', '--no-wait').ended
  await accounts(world, 'revoke', 'bob')
  await accounts(world, 'rotate', 'bob')
  await world.run('invite', 'dora', '--data', world.dataFolder)
  expect((await accounts(world, 'operator', 'alice')).stdout).toContain('alice is an operator')

  const table = (await accounts(world)).stdout.trimEnd().split('\n')
  const time = '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d'
  for (const [at, row] of [
    'NAME +STATE +SINCE +SENDING +LINK',
    `alice +operator +${time} +(-|1 \\(1\\.0 MiB\\)) +-`,
    `bob +revoked +${time} +- +until ${time}`,
    `dora +invited +- +- +until ${time}`,
  ].entries()) {
    expect(table[at]).toMatch(new RegExp(`^${row}$`))
  }
  expect(table).toHaveLength(4)
  const lines = (await accounts(world, 'list', '--json')).stdout.trimEnd().split('\n')
  const timestamp = expect.stringMatching(/Z$/)
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { account: 'alice', state: 'active', isOperator: true, since: timestamp, revokedAt: null, linkUntil: null },
    {
      account: 'bob',
      state: 'revoked',
      isOperator: false,
      since: timestamp,
      revokedAt: timestamp,
      linkUntil: timestamp,
    },
    { account: 'dora', state: 'invited', since: null, openTransfers: 0, openBytes: 0, linkUntil: timestamp },
  ])
})

test('an account becomes an operator by its invite or by a command, until a command revokes it', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const invited = await world.run('invite', 'dora', '--operator', '--data', world.dataFolder)
  expect((await world.run('join', invited.stdout.trim())).code).toBe(0)
  const operators = async (): Promise<string[]> => {
    const lines = (await accounts(world, 'list', '--json')).stdout.trimEnd().split('\n')
    return lines.map((line) => JSON.parse(line)).flatMap(({ account, isOperator }) => (isOperator ? [account] : []))
  }
  expect(await operators()).toEqual(['dora'])
  await accounts(world, 'operator', 'alice')
  expect(await operators()).toEqual(['alice', 'dora'])
  expect((await (await world.client('alice')).operations()).accounts).toBe(2)
  expect((await accounts(world, 'operator', 'alice', '--revoke')).stdout).toContain('alice is no operator')
  expect(await operators()).toEqual(['dora'])
  await expect((await world.client('alice')).operations()).rejects.toMatchObject({ code: 'not-found' })
})

test('invalid commands are refused with advice, and create no portal where none existed', async () => {
  await using world = await World.create()
  const elsewhere = world.path('typo')
  for (const args of [
    ['invite', 'alice'],
    ['accounts'],
    ['accounts', 'revoke', 'alice'],
    ['accounts', 'rotate', 'alice'],
    ['accounts', 'operator', 'alice'],
  ]) {
    const { code, stdout, stderr } = await world.run(...args, '--data', elsewhere)
    expect({ code, stdout: stdout.trim() }, args.join(' ')).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/no portal has run in \S+typo yet[\s\S]*golooader portal --data \S+typo[\s\S]*--data DIR/)
  }
  expect(existsSync(elsewhere)).toBe(false)

  await world.portal()
  await world.join(['alice'])
  await accounts(world, 'revoke', 'alice')
  expect(await accounts(world, 'revoke', 'alice'), 'again').toMatchObject({ code: 0 })
  const cases: readonly (readonly [args: string[], message: RegExp])[] = [
    [['accounts', 'revoke', 'nobody'], /no account 'nobody'[\s\S]*golooader accounts list/],
    [['accounts', 'rotate', 'nobody'], /no account 'nobody'/],
    [['accounts', 'operator', 'nobody'], /no account 'nobody'/],
    [['accounts', 'operator', 'alice'], /'alice' was revoked/],
    [['accounts', 'revoke', 'Alice!'], /cannot be the name of an account/],
    [['invite', 'alice'], /'alice' was revoked[\s\S]*golooader accounts rotate alice --data/],
    [['accounts', 'list', 'bob'], /too many arguments/],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = await world.run(...args, '--data', world.dataFolder)
    expect(stderr, args.join(' ')).toMatch(message)
    expect(stderr).not.toMatch(/this is a bug|\n\s+at /)
    expect(code).toBe(2)
  }
})
