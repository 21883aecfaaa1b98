/** Signals within a process, by every driver; between processes, and when the database fails, by PostgreSQL. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import pino from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { localSignals } from '../../src/portal/signals/index.ts'
import { postgresSignals } from '../../src/portal/signals/postgres.ts'
import { until } from '../e2e/harness/world.ts'
import { Gate } from '../servers/gate.ts'
import { ownPostgres, psql, testDatabase } from '../servers/postgres.ts'
import { allowedMs } from '../suites/bounds.ts'
import { testSignals } from '../suites/signals.ts'
import type { NodeCommand, NodeReport } from './signals-node.ts'

const program = join(import.meta.dirname, 'signals-node.ts')
/** Ends the connections for signals in the current database. */
const TERMINATE = `select count(pg_terminate_backend(pid)) from pg_stat_activity
  where datname = current_database() and application_name = 'golooader signals'`

testSignals('local', async () => localSignals())
testSignals('postgres', () => openHere())
testSignals('postgres without a database', () => openHere('postgres://127.0.0.1:1/none'))

async function openHere(url?: string) {
  const signals = await postgresSignals({ url: url ?? (await testDatabase()).url, log: pino({ level: 'silent' }) })
  onTestFinished(() => signals[Symbol.asyncDispose]())
  return signals
}

/** A node as a process of its own. */
class SignalsNode {
  readonly reports: NodeReport[] = []
  stderr = ''
  readonly #child

  private constructor(args: readonly string[]) {
    this.#child = fork(program, args, { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    this.#child.on('message', (report: NodeReport) => this.reports.push(report))
    this.#child.stderr?.on('data', (data) => {
      this.stderr += data
    })
    onTestFinished(async () => {
      const ended = new Promise((resolve) => this.#child.once('exit', resolve))
      this.#child.kill('SIGCONT')
      if (this.#child.connected) this.#child.disconnect()
      await ended
    })
  }

  /** Starts a node that listens to topics. Resolves when it receives signals of others. */
  static async start(url: string, ...listenedTo: string[]): Promise<SignalsNode> {
    return SignalsNode.#begun(new SignalsNode([url]), listenedTo)
  }

  /** Starts a node that the database disconnects when it does not read for this time. */
  static async startHurried(url: string, unreadMsMax: number): Promise<SignalsNode> {
    return SignalsNode.#begun(new SignalsNode([url, String(unreadMsMax)]), [])
  }

  static async #begun(node: SignalsNode, listenedTo: readonly string[]): Promise<SignalsNode> {
    for (const topic of [...listenedTo, 'begun']) node.#tell({ subscribe: topic })
    await until(() => node.gaps('begun') > 0, 'the node is connected')
    return node
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  publish(...signals: [topic: string, payload: string][]): void {
    this.#tell({ publish: signals })
  }

  /** Publishes many signals. @returns how many bytes the process has grown */
  async flood(count: number): Promise<number> {
    this.#tell({ flood: count })
    await until(() => this.#flooded() !== undefined, 'everything is published')
    return this.#flooded()?.grownBytes ?? 0
  }

  heard(topic: string): string[] {
    return this.reports.flatMap((one) => ('topic' in one && one.topic === topic ? [one.payload] : []))
  }

  /** The number of gaps that were reported for a topic. */
  gaps(topic: string): number {
    return this.reports.filter((one) => 'gap' in one && one.gap === topic).length
  }

  #flooded() {
    return this.reports.find((one) => 'published' in one && one.grownBytes !== 0) as { grownBytes: number } | undefined
  }

  #tell(command: NodeCommand): void {
    this.#child.send(command)
  }
}

test('other nodes receive a signal once, and the node itself once', async () => {
  const { url } = await testDatabase()
  const [one, other] = await Promise.all([SignalsNode.start(url, 'a', 'last'), SignalsNode.start(url, 'a', 'last')])
  one.publish(['a', '1'], ['b', 'nobody listens'], ['a', ''], ['a', 'größer "als" \\ \n'])
  one.publish(['last', ''])
  await until(() => other.heard('last').length > 0 && one.heard('last').length > 0, 'the last one is heard')
  const all = ['1', '', 'größer "als" \\ \n']
  expect([one.heard('a'), other.heard('a')]).toEqual([all, all])
})

test('thousands of signals at once are all received, in order, and repeated ones are merged', async () => {
  const { url } = await testDatabase()
  const [one, other] = await Promise.all([SignalsNode.start(url), SignalsNode.start(url, 'a', 'last')])
  const payloads = Array.from({ length: 5_000 }, (_, at) => `${at} ${'ü'.repeat(at % 300)}`)
  one.publish(...payloads.map((payload): [string, string] => ['a', payload]), ['last', ''], ['last', ''])
  await until(() => other.heard('last').length > 0, 'the last one is heard')
  expect(other.heard('a')).toEqual(payloads)
  // A further signal: a repetition would have come before it.
  one.publish(['a', 'after'])
  await until(() => other.heard('a').at(-1) === 'after', 'one more is heard')
  expect(other.heard('last')).toEqual([''])
})

test('a signal that is too long for a notification is left out, and others are not', async () => {
  const { url } = await testDatabase()
  const [one, other] = await Promise.all([SignalsNode.start(url), SignalsNode.start(url, 'a')])
  one.publish(['a', '1'], ['a', 'x'.repeat(8_000)], ['a', 'x'.repeat(7_900)], ['a', '2'])
  await until(() => other.heard('a').at(-1) === '2', 'the last one is heard')
  expect(other.heard('a').map((payload) => payload.length)).toEqual([1, 7_900, 1])
  await until(() => one.stderr.includes('too long'), 'the first one says so')
})

test('a node that was cut off during a signal checks everything when it is back', async () => {
  const { url } = await testDatabase()
  await using gate = await Gate.open(Number(new URL(url).port))
  const [one, other] = await Promise.all([SignalsNode.start(url), SignalsNode.start(gate.through(url), 'a')])
  const before = other.gaps('a')
  gate.close()
  await until(() => other.stderr.includes('signals do not reach other nodes'), 'it is cut off')
  one.publish(['a', 'meanwhile'])
  expect(other.gaps('a')).toBe(before)
  gate.reopen()
  await until(() => other.gaps('a') > before, 'it is told of the gap')
  expect(other.heard('a')).toEqual([])
  one.publish(['a', 'afterwards'])
  await until(() => other.heard('a').length > 0, 'it hears again')
})

test('signals that a node publishes while it is cut off make the others check when it is back', async () => {
  const { url } = await testDatabase()
  await using gate = await Gate.open(Number(new URL(url).port))
  const [one, other] = await Promise.all([SignalsNode.start(gate.through(url)), SignalsNode.start(url, 'a')])
  const before = other.gaps('a')
  gate.close()
  await until(() => one.stderr.includes('signals do not reach other nodes'), 'it is cut off')
  one.publish(['a', 'unheard'])
  gate.reopen()
  await until(() => other.gaps('a') > before, 'the other one is told of the gap')
})

test('a connection that the database ends is opened again', async () => {
  const { url } = await testDatabase()
  const [one, other] = await Promise.all([SignalsNode.start(url), SignalsNode.start(url, 'a')])
  const before = other.gaps('a')
  expect(await psql(url, TERMINATE)).toBe('2')
  await until(() => other.gaps('a') > before && one.gaps('begun') > 1, 'both are back')
  one.publish(['a', '1'])
  await until(() => other.heard('a').length > 0, 'signals are heard again')
})

test('a dead connection is noticed within ten seconds', async () => {
  const { url } = await testDatabase()
  await using gate = await Gate.open(Number(new URL(url).port))
  const node = await SignalsNode.start(gate.through(url), 'a')
  const before = node.gaps('a')
  gate.forget()
  const deadAtMs = performance.now()
  await until(() => node.gaps('a') > before, 'it is back')
  expect(performance.now() - deadAtMs).toBeLessThan(allowedMs(11_000))
})

test('a node whose database is stopped or hangs keeps no unsent signals', async () => {
  await using server = await ownPostgres()
  await using gate = await Gate.open(server.port)
  const [held, cut] = await Promise.all([SignalsNode.start(gate.through(server.url)), SignalsNode.start(server.url)])
  gate.forget()
  const count = 200_000
  // The signals would take more than 40 MB if they were kept.
  expect(await held.flood(count)).toBeLessThan(10_000_000)
  await server.stop()
  await until(() => cut.stderr.includes('signals do not reach other nodes'), 'it is cut off')
  expect(await cut.flood(count)).toBeLessThan(10_000_000)
  await server.start()
  await until(() => cut.gaps('begun') > 1, 'it is back')
})

test('a node that stands still does not make the database keep the signals of all others', async () => {
  await using server = await ownPostgres()
  const node = await SignalsNode.startHurried(server.url, 1_000)
  const connections = "select count(*) from pg_stat_activity where application_name = 'golooader signals'"
  const queueIsEmpty = 'select pg_notification_queue_usage() = 0'
  expect(await psql(server.url, connections)).toBe('1')
  node.signal('SIGSTOP')
  // Far more than the buffers in between can hold.
  for (let count = 0; count < 4; count++) {
    await psql(
      server.url,
      "select pg_notify('golooader_signals', n || repeat('x', 7000)) from generate_series(1, 2000) as n",
    )
  }
  await until(async () => (await psql(server.url, connections)) === '0', 'it is cut off')
  // The next session that listens lets the server drop the notifications that no session needs any more.
  await psql(server.url, 'listen golooader_signals; unlisten golooader_signals')
  expect(await psql(server.url, queueIsEmpty)).toBe('t')
  node.signal('SIGCONT')
  await until(() => node.gaps('begun') > 1, 'it is back')
})
