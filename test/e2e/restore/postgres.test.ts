/** A portal whose ledger is a PostgreSQL database goes back to a dump of it. */
import { execFile } from 'node:child_process'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { programPath } from '../../servers/install.ts'
import { psql, testDatabase } from '../../servers/postgres.ts'
import { until, World } from '../harness/world.ts'
import { startSending } from '../second-hop/scene.ts'
import { expectNothingUntold, outcomeOf, runDocumented } from './scene.ts'

/** A world over a database of its own, and what the commands of the page need. */
async function overDatabase() {
  const world = await World.create()
  const { url } = await testDatabase()
  const { pathname } = new URL(url)
  world.databaseUrl = url
  const env = {
    DATABASE_URL: url,
    DATABASE: pathname.slice(1),
    ADMIN_URL: url.replace(pathname, '/postgres'),
    BACKUP: world.path('backup'),
    PATH: dirname(programPath('psql')),
  }
  const start = (flags: readonly string[] = []) => world.portal(['--database', url, ...flags])
  const backUp = () => runDocumented('Back up a database', env)
  const restore = () => runDocumented('Restore a database', env)
  /** Puts the dump in place of what is there, under portals that run. */
  const restoreUnderneath = () =>
    promisify(execFile)(
      `${env.PATH}/pg_restore`,
      ['--clean', '--if-exists', '--single-transaction', `--dbname=${url}`, `${env.BACKUP}/ledger.dump`],
      { env: {} },
    )
  return {
    world,
    url,
    start,
    backUp,
    restore,
    restoreUnderneath,
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
}

test('a database that is restored: senders, receivers and clients by hand are told what is lost, and nothing twice', async () => {
  await using ground = await overDatabase()
  await expectNothingUntold(ground)
})

test('a database that is restored under a running portal: who waits for what is lost is told, and lost accounts are cut', async () => {
  await using ground = await overDatabase()
  const { world, url, start, backUp, restoreUnderneath } = ground
  const portal = await start()
  await world.join(['alice', 'carol'])
  await backUp()
  await world.join(['bob'])
  const bob = await world.receiver('bob')
  const { sending, transferId } = await startSending(world, 'report.bin', 3, 'carol')
  await sending.notification('stored')
  // What the portal has told the ledger itself since the backup is what it misses afterwards.
  const told = (): Promise<string> => psql(url, 'select receivers from portals')
  await until(async () => (await told()).includes('bob'), 'the portal has told the ledger of bob')
  await restoreUnderneath()

  expect(await outcomeOf(sending)).toMatchObject({
    code: 5,
    last: { transfers: [{ transferId, outcome: 'no-answer', problem: { code: 'transfer-lost' } }] },
  })
  // The portal let bob in by an account that does not exist any more.
  const { code, stderr } = await bob.ended
  expect(code).toBe(4)
  expect(stderr).toContain('credentials-invalid')
  expect(portal.stderr + portal.lines.join('\n')).toContain('the ledger was restored from a backup')
})
