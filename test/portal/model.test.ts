/**
 * The promises about states and notifications, under any order of events: what is announced, sent, corrupted,
 * repeated, answered, cancelled, what runs out and what is restarted in between is drawn at random and compared with
 * a model of the state tables. A failure prints the seed and the shortest way to it.
 */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'vitest'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { fsStore } from '../../src/portal/store/fs.ts'
import { memoryStore } from '../../src/portal/store/memory.ts'
import { testFolder } from '../suites/folder.ts'
import '../suites/random.ts'
import { Checks } from './model/checks.ts'
import { commands, expectAllEnded, type Real } from './model/commands.ts'
import { Model } from './model/model.ts'
import { type Backing, System } from './model/system.ts'

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
    { numRuns: runs },
  )
}

test('in memory, whatever happens in whatever order, the promises hold', { timeout: 60_000 }, async () => {
  const open = async (): Promise<Backing> => ({
    isVolatile: true,
    open: async ({ now }) => ({ ledger: await sqliteLedger({ path: ':memory:', now }), store: memoryStore() }),
  })
  await expectModelled(open, { runs: 250, commandsMax: 60 })
})

test('in files that are opened anew at each restart, the promises hold as well', { timeout: 60_000 }, async () => {
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
  await expectModelled(open, { runs: 40, commandsMax: 60 })
})

test('of several portals that share ledger and store, the promises hold as well', { timeout: 120_000 }, async () => {
  const open = async (): Promise<Backing> => ({
    isVolatile: true,
    portalCount: 3,
    open: async ({ now }) => ({
      ledger: await sqliteLedger({ path: ':memory:', now }),
      store: { ...memoryStore(), traits: { isShared: true } },
    }),
  })
  await expectModelled(open, { runs: 250, commandsMax: 60 })
})
