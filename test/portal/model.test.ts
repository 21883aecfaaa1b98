/**
 * The promises about states and notifications hold under any order of events. The test draws announcements, parts, damage,
 * repetitions, answers, cancellations, timeouts and restarts at random, and compares the portal with a model of the state tables. A
 * failure prints the seed and the shortest sequence that leads to it.
 */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'vitest'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { fsStore } from '../../src/portal/store/fs.ts'
import { testFolder } from '../suites/folder.ts'
import { memoryStore } from '../suites/memory-store.ts'
import '../suites/random.ts'
import { Checks } from './model/checks.ts'
import { commands, expectAllEnded, type Real } from './model/commands.ts'
import { Model } from './model/model.ts'
import { type Backing, System } from './model/system.ts'

/** `MODEL_RUNS_FACTOR=20 npx vitest run test/portal/model.test.ts` searches for longer. */
const FACTOR = Number(process.env.MODEL_RUNS_FACTOR ?? 1)

async function expectModelled(
  open: () => Promise<Backing>,
  { runs, commandsMax }: { runs: number; commandsMax: number },
) {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: commandsMax, size: 'max' }), async (drawn) => {
      const system = await System.create(await open())
      try {
        const model = new Model(system.clock.nowMs)
        const real: Real = { system, checks: new Checks() }
        await fc.asyncModelRun(() => ({ model, real }), drawn)
        await expectAllEnded(model, real)
      } finally {
        await system.close()
      }
    }),
    { numRuns: runs * FACTOR },
  )
}

test('in memory, the promises hold for events in any order', async () => {
  const open = async (): Promise<Backing> => ({
    isVolatile: true,
    open: async ({ now }) => ({ ledger: await sqliteLedger({ path: ':memory:', now }), store: memoryStore() }),
  })
  await expectModelled(open, { runs: 80, commandsMax: 60 })
})

test('with files that are reopened at each restart, the promises hold', async () => {
  const parent = await testFolder({ inMemory: true })
  const open = async (): Promise<Backing> => {
    const folder = await mkdtemp(join(parent, 'run-'))
    return {
      isVolatile: false,
      open: async ({ now }) => ({
        ledger: await sqliteLedger({ path: join(folder, 'ledger.sqlite'), now }),
        store: await fsStore(join(folder, 'store')),
      }),
    }
  }
  await expectModelled(open, { runs: 15, commandsMax: 60 })
})

test('with several portals that share ledger and store, the promises hold', async () => {
  const open = async (): Promise<Backing> => ({
    isVolatile: true,
    portalCount: 3,
    open: async ({ now }) => ({
      ledger: await sqliteLedger({ path: ':memory:', now }),
      store: { ...memoryStore(), traits: { isShared: true } },
    }),
  })
  await expectModelled(open, { runs: 80, commandsMax: 60 })
})
