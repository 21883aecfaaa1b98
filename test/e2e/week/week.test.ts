/**
 * Two companies exchange files for a week, by drop folders and services, and nobody looks after them but for a person who puts back
 * what has failed. Each night has its trouble: kills, outages of the portal and of its database, a full disk, an import that fails,
 * a receiver of webhooks that is away, machines that lose their power. At the end every file is in exactly one place with its receipt,
 * every command ran, every event was told, and nothing is lost or doubled.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { verifyReceipt } from '../../../src/index.ts'
import { HookReceiver } from '../../servers/hook-receiver.ts'
import { Machine } from '../../servers/machine.ts'
import { type OwnPostgres, ownPostgres } from '../../servers/postgres.ts'
import { freePort } from '../../servers/server-process.ts'
import { randomInt } from '../../suites/random.ts'
import { filesIn, until, World } from '../harness/world.ts'
import { Company } from './company.ts'

/** South's inbox is a disk of its own, which can be filled. */
const DISK_MIB = 192
const OUTAGE_MS = 4_000
const KILLS = 25
/** In a usual night. */
const KILL_EVERY_MS = 3_000
const QUIET_WITHIN_MS = 120_000
/** A receiver of webhooks that was away is tried again after a growing pause. */
const TOLD_WITHIN_MS = 120_000

class Week {
  readonly north: Company
  readonly south: Company
  readonly portal: Machine
  readonly database: OwnPostgres
  readonly hooks: HookReceiver
  #nights = 0

  constructor(parts: Pick<Week, 'north' | 'south' | 'portal' | 'database' | 'hooks'>) {
    this.north = parts.north
    this.south = parts.south
    this.portal = parts.portal
    this.database = parts.database
    this.hooks = parts.hooks
  }

  static async begin(): Promise<Week> {
    const world = await World.create()
    const database = await ownPostgres()
    onTestFinished(() => database[Symbol.asyncDispose]())
    mountDisk(world.path('south', 'in'))
    const portal = await Machine.start(world, world.path('portal'))
    const listen = `127.0.0.1:${await freePort()}`
    const settings = ['--listen', listen, '--database', database.url, '--webhook-networks', '127.0.0.0/8']
    await portal.run(0, 'service', 'install', 'portal', ...settings)
    await portal.adjust('portal', 'RestartSec=100ms')
    await portal.run(0, 'service', 'restart', 'portal')
    const invite = async (name: string): Promise<string> =>
      (await portal.run(0, 'invite', name, '--database', database.url)).stdout.trim()
    const [north, south] = [await Company.found(world, 'north'), await Company.found(world, 'south')]
    for (const { name, machine } of [north, south]) await machine.run(0, 'join', await invite(name))
    await north.open('south', [])
    await south.open('north', ['--exec-before-answer'])
    const hooks = await HookReceiver.start()
    onTestFinished(() => hooks.goAway())
    const added = await north.machine.run(0, 'webhook', 'add', hooks.url, '--on', 'stored,delivered,failed', '--json')
    hooks.secret = String(JSON.parse(added.stdout).secret)
    return new Week({ north, south, portal, database, hooks })
  }

  get companies(): readonly Company[] {
    return [this.north, this.south]
  }

  /** Both companies drop their files during the trouble of a night. In the morning a person puts back what has failed. */
  async night(trouble: () => Promise<void>): Promise<string[]> {
    const dropped = Promise.all([this.north.dropNight(), this.south.dropNight(), trouble()])
    if (this.#nights++ > 0) await this.#killUntil(dropped)
    await dropped
    const problems: string[] = []
    while (true) {
      await this.untilQuiet(this.companies)
      const returned = await Promise.all(this.companies.map((one) => one.returnFailed()))
      problems.push(...returned.flat())
      if (returned.flat().length === 0) return problems
    }
  }

  /** Waits until nothing is on its way. */
  async untilQuiet(companies: readonly Company[]): Promise<void> {
    try {
      await until(() => companies.every((one) => one.isQuiet()), 'nothing is on its way', QUIET_WITHIN_MS)
    } catch (error) {
      const open = this.companies.map((one) => `${one.name}: ${one.openPaths().join(' ')}`)
      const logs = await Promise.all([
        this.portal.log('portal'),
        ...this.companies.flatMap(({ machine }) => [machine.log('watch'), machine.log('receive')]),
      ])
      throw new Error([...open, ...logs].join('\n'), { cause: error })
    }
  }

  async killOften(): Promise<void> {
    for (let kill = 0; kill < KILLS; kill++) {
      await this.#killOne()
      await sleep(100 + randomInt(400))
    }
  }

  /** Kills a process now and then, as long as something else lasts. */
  async #killUntil(ended: Promise<unknown>): Promise<void> {
    let hasEnded = false
    ended.then(
      () => (hasEnded = true),
      () => (hasEnded = true),
    )
    while (!hasEnded) {
      await sleep(randomInt(KILL_EVERY_MS))
      await this.#killOne()
    }
  }

  async #killOne(): Promise<void> {
    const services: readonly (readonly [Machine, string])[] = [
      [this.portal, 'portal'],
      ...this.companies.flatMap(({ machine }) => [[machine, 'watch'] as const, [machine, 'receive'] as const]),
    ]
    const [machine, service] = services[randomInt(services.length)] ?? [this.portal, 'portal']
    await machine.kill(service)
  }

  async outages(): Promise<void> {
    await sleep(randomInt(1_000))
    await this.portal.run(0, 'service', 'stop', 'portal')
    await sleep(OUTAGE_MS)
    await this.portal.run(0, 'service', 'start', 'portal')
    await sleep(randomInt(1_000))
    await this.database.kill()
    await sleep(OUTAGE_MS)
    await this.database.start()
  }

  /** South's disk is full, until something has failed for it. */
  async fullDisk(): Promise<void> {
    const ballast = this.south.machine.path('in', '.ballast')
    execFileSync('sh', ['-c', 'cat /dev/zero >"$0" 2>/dev/null || true', ballast])
    await sleep(OUTAGE_MS)
    rmSync(ballast)
  }

  /** South cannot import a file of north's. */
  async failingImport(): Promise<void> {
    await this.north.dropFile('invoice.csv', 3_000, 'BROKEN')
    await this.untilQuiet([this.north])
    writeFileSync(this.south.machine.path('import-is-repaired'), '')
  }

  /** Another process may not send from a drop folder that is watched. */
  async refusesSecondWatch({ machine }: Company): Promise<void> {
    await until(async () => (await machine.status('watch')).state === 'running', 'it is watched')
    const second = await machine.run(4, 'watch', 'out', '--to', 'south')
    expect(second.stderr).toContain('outbox-busy')
  }

  async powerCuts(): Promise<void> {
    for (const machine of [this.south.machine, this.north.machine, this.portal]) {
      await sleep(500 + randomInt(1_500))
      await machine.reboot()
    }
  }
}

/** A disk in memory, before a machine is started that sees it. */
function mountDisk(folder: string): void {
  mkdirSync(folder, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=700`, 'none', folder])
  onTestFinished(() => {
    execFileSync('umount', [folder])
  })
}

test('for a week, everything that is dropped arrives once, with its receipt, and all is told', async () => {
  const week = await Week.begin()
  const { north, south, hooks } = week
  expect(await week.night(async () => {})).toEqual([])
  await week.night(() => week.killOften())
  await week.night(() => week.outages())
  await week.night(() => week.fullDisk())
  await hooks.goAway()
  const problems = await week.night(() => week.failingImport())
  await hooks.comeBack()
  expect(problems.join()).toContain('The import failed: line 7 has no date')
  await week.night(() => week.powerCuts())
  await week.night(async () => {})
  await week.refusesSecondWatch(north)

  const delivered = await expectAllDelivered(north, south)
  await expectAllDelivered(south, north)
  await expectAllTold(north, delivered, hooks)
  // The portal has nothing left.
  const accounts = await week.portal.run(0, 'accounts', 'list', '--json', '--database', week.database.url)
  for (const line of accounts.stdout.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ openTransfers: 0 })
  await until(async () => (await partsOf(week.portal)).length === 0, 'the portal stores nothing')
})

async function partsOf(portal: Machine): Promise<string[]> {
  return (await filesIn(portal.path('golooader-data', 'store'))).filter((name) => name !== 'owner')
}

/** @returns the transfers that receipts prove */
async function expectAllDelivered(from: Company, to: Company): Promise<Set<string>> {
  const dropped = from.dropped.map(({ digest }) => digest).sort()
  const sent = from.contentOf('out', 'sent')
  expect([...sent.keys()].sort()).toEqual(dropped)
  expect([...sent.values()].filter((paths) => paths.length !== 1)).toEqual([])
  const received = to.contentOf('in')
  expect([...received.keys()].sort()).toEqual(dropped)
  expect([...received.values()].filter((paths) => paths.length !== 1)).toEqual([])
  const proven = new Set<string>()
  for (const [path = ''] of sent.values()) {
    if (!existsSync(`${path}.receipt.json`)) throw new Error(`${path} has no receipt\n${await from.watchLog()}`)
    const proof = await verifyReceipt(path, readFileSync(`${path}.receipt.json`, 'utf8'))
    expect(proof).toMatchObject({ isProven: true, claims: { receiver: to.name } })
    proven.add(proof.claims?.transferId ?? '')
  }
  expect(proven.size).toBe(dropped.length)
  expect(new Set(to.imported())).toEqual(proven)
  const outcomes = from.outcomes()
  for (const transferId of proven) expect(outcomes.get(transferId)).toEqual(new Set(['stored', 'delivered']))
  const failed = [...outcomes].filter(([transferId]) => !proven.has(transferId))
  // Each of them was put back by a person, and sent again.
  expect(failed.length).toBe(from.returnedCount)
  for (const [, events] of failed) expect(events).toEqual(new Set(['stored', 'failed']))
  return proven
}

/** Each event was told, in the order of its transfer. A repeated message has the same id. */
async function expectAllTold(from: Company, delivered: Set<string>, hooks: HookReceiver): Promise<void> {
  const wanted = [...from.outcomes()].map(([transferId, events]) => `${transferId}: ${[...events].join(' ')}`).sort()
  const told = (): string[] => {
    const byTransfer = Map.groupBy(hooks.messages, ({ transferId }) => transferId)
    return [...byTransfer]
      .map(([transferId, all]) => `${transferId}: ${[...new Set(all.map(({ type }) => type))].join(' ')}`)
      .map((line) => line.replaceAll('transfer.', ''))
      .sort()
  }
  expect(wanted.filter((line) => line.endsWith(': stored delivered')).length).toBe(delivered.size)
  await expect.poll(told, { timeout: TOLD_WITHIN_MS, interval: 1_000 }).toEqual(wanted)
  expect(hooks.wrongSignatures).toBe(0)
  const ids = Map.groupBy(hooks.messages, ({ type, transferId }) => `${type} ${transferId}`)
  for (const [event, all] of ids) expect(new Set(all.map(({ id }) => id)).size, event).toBe(1)
}
