/**
 * The watcher is killed right before each of its steps that change the file system, one after the other. The next run continues: each file is in
 * exactly one place, has arrived exactly once, by exactly one transfer, and its receipt lies beside it.
 *
 * A killed process leaves what it wrote. What a loss of power leaves is tested in durable.test.ts.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { countingSteps } from '../harness/kill-at-step.ts'
import { World } from '../harness/world.ts'
import { journalOf, Outbox, receivedBy, transfersOf } from './scene.ts'

const WAYS: readonly { readonly what: string; readonly args: readonly string[] }[] = [
  { what: 'files and a folder', args: [] },
  { what: 'files and a folder that are deleted afterwards', args: ['--delete'] },
  { what: 'files for a receiver that refuses them', args: ['--to', 'carol'] },
]
/** 1 takes ten minutes. With 3, each way begins at another step, and the steps of the sender are the same in all ways. */
const STRIDE = Number(process.env.TEST_STRIDE ?? 3)

let world: World
beforeAll(async () => {
  world = await World.create({ isShared: true })
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  await world.receiver('bob')
  await world.receiver('carol', ['--from', 'bob'])
})
afterAll(() => world[Symbol.asyncDispose]())

let outboxes = 0

function filled(): { outbox: Outbox; texts: readonly [string, string, string] } {
  const number = ++outboxes
  const outbox = new Outbox(world, `outbox-${number}`)
  const texts = [`a ${number}`, `b ${number}`, `c ${number}`] as const
  outbox.drop(`a-${number}.txt`, texts[0])
  outbox.drop(`b-${number}.txt`, texts[1])
  outbox.write(`tree-${number}/deep/c.txt`, texts[2])
  return { outbox, texts }
}

/** A later start removes what tries the folder. */
function left(outbox: Outbox): string[] {
  return readdirSync(outbox.path('.sending')).filter((name) => !/^\.probe-|\.partial$/.test(name))
}

/** Before that the folder is tried and locked. */
const after = '/sent'

async function stepsOf(args: readonly string[]): Promise<number> {
  const { outbox } = filled()
  const path = world.path(`steps-${outboxes}`)
  await outbox.start(['--once', ...args], countingSteps(world, { after, countIn: path })).ended
  return Number(readFileSync(path, 'utf8'))
}

test.each(WAYS)('$what', async ({ what, args }) => {
  const steps = await stepsOf(args)
  expect(steps).toBeGreaterThan(20)
  let runs = 0
  for (let step = 1 + (WAYS.findIndex((way) => way.what === what) % STRIDE); step <= steps; step += STRIDE) {
    const before = new Set(await transfersOf(world))
    const { outbox, texts } = filled()
    const number = outboxes
    const killed = await outbox.start(['--once', ...args], countingSteps(world, { after, killAt: step })).ended
    runs += killed.code === 137 ? 1 : 0
    const shown = `${what}, killed before step ${step} of ${steps}`
    const again = await outbox.once(...args)
    // The killed run may have done everything but the last steps, which have no outcome.
    expect(args.includes('carol') ? [0, 3] : [0], `${shown}: ${again.stderr}`).toContain(again.code)

    const names = [`a-${number}.txt`, `b-${number}.txt`, `tree-${number}/deep/c.txt`]
    const expected = Object.fromEntries(names.map((name, index) => [name, texts[index]]))
    const place = args.includes('carol') ? 'failed' : 'sent'
    const placed = Object.fromEntries(Object.entries(expected).map(([name, text]) => [`${place}/${name}`, text]))
    expect(outbox.files, shown).toEqual(args.includes('--delete') ? {} : placed)
    if (!args.includes('carol')) {
      const received = Object.entries(receivedBy(world, 'bob')).filter(([name]) =>
        new RegExp(`-${number}[./ ]`).test(name),
      )
      expect(Object.fromEntries(received), shown).toEqual(expected)
    }
    const notes = args.includes('--delete') ? 0 : args.includes('carol') ? 6 : 3
    expect(outbox.notes, shown).toHaveLength(notes)
    expect(left(outbox), shown).toEqual(['lock'])
    expect(
      (await transfersOf(world)).filter((id) => !before.has(id)),
      shown,
    ).toHaveLength(3)
    expect(journalOf(world), shown).toEqual([])
  }
  expect(runs).toBeGreaterThan(steps / 2 / STRIDE)
})

test('a seal record that a killed run has not got to record a transfer for is removed by a run an hour later', async () => {
  const { outbox } = filled()
  const journal = world.path('state', 'golooader', 'journal')
  mkdirSync(journal, { recursive: true })
  const [, young] = [1, 0].map((hours) => {
    const path = join(journal, `${newTransferId()}.sealed`)
    writeFileSync(path, '')
    utimesSync(path, Date.now() / 1000, Date.now() / 1000 - hours * 3_600)
    return path
  })
  expect(await outbox.once()).toMatchObject({ code: 0 })
  expect(journalOf(world)).toEqual([young])
  rmSync(String(young))
})
