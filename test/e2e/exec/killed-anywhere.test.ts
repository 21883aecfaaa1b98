/**
 * A receiver with a command is killed at random moments, again and again. At the end each file is where its sender was told, and each command
 * has run for it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sha256Of, until, World } from '../harness/world.ts'
import '../../suites/random.ts'

const KILLS = 6
/** Some small enough to come with their offers, some of several parts. */
const SIZES = [0, 10, 20_000, 300_000, 2_500_000]
const MOMENT_MS_MAX = 1_200

test.each([
  ['after its publication', []],
  ['before its answer', ['--exec-before-answer']],
])(
  'however often a receiver is killed, the command of each file runs, %s, and no file is lost or doubled',
  async (_when, args) => {
    const [moments = []] = fc.sample(
      fc.array(fc.integer({ min: 0, max: MOMENT_MS_MAX }), { minLength: KILLS, maxLength: KILLS }),
      1,
    )
    console.log(`killed after ${moments.join(', ')} ms`)
    await using world = await World.create()
    await world.portal(['--lease', '2s'])
    await world.join(['alice', 'bob'])
    const log = world.path('log')
    const command = `sleep 0.1; echo "$GOLOOADER_EXEC_TRANSFER_ID" >> '${log}'; case "$GOLOOADER_EXEC_NAME" in bad*) exit 1;; esac`
    const paths: string[] = []
    for (const [index, size] of SIZES.entries()) {
      for (const kind of ['good', 'bad']) paths.push(await world.file(`${kind}-${index}.bin`, size))
    }
    const sending = world.send(paths, 'bob', '--part-size', '1MiB')
    const receive = [
      'receive',
      '--into',
      world.inbox('bob'),
      '--create',
      '--profile',
      'bob',
      '--json',
      '--exec',
      command,
      ...args,
    ]
    for (const momentMs of moments) {
      const bob = world.start(receive)
      await pause(momentMs)
      await bob.stop('SIGKILL')
    }
    const bob = world.start(receive)
    await sending.ended
    const summary = sending.json.find(({ type }) => type === 'summary') as unknown as {
      transfers: { path: string; transferId: string; outcome: string }[]
    }
    const records = join(world.inbox('bob'), '.golooader', 'handling')
    const open = async (): Promise<string[]> => (await readdir(records)).filter((name) => name !== 'running')
    await until(async () => (await open()).length === 0, 'all is done')
    await bob.stop()

    const ran = new Set(existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [])
    const delivered = summary.transfers.filter(({ outcome }) => outcome === 'delivered')
    const isDecided = args.length > 0
    for (const { path, transferId, outcome } of summary.transfers) {
      const isBad = path.includes('bad-')
      expect([path, outcome]).toEqual([path, isDecided && isBad ? 'failed' : 'delivered'])
      expect([path, ran.has(transferId)]).toEqual([path, true])
    }
    const names = delivered.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)).sort()
    expect(await world.received('bob')).toEqual(names)
    for (const { path } of delivered) {
      expect(await sha256Of(join(world.inbox('bob'), path.slice(path.lastIndexOf('/') + 1)))).toBe(await sha256Of(path))
    }
  },
)
