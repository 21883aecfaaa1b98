/** A portal with its ledger in PostgreSQL is restored from a dump. */
import { execFile } from 'node:child_process'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { programPath } from '../../servers/install.ts'
import { psql, testDatabase } from '../../servers/postgres.ts'
import { until, World } from '../harness/world.ts'
import { startSending } from '../second-hop/scene.ts'
import { expectNothingUntold, outcomeOf, runDocumented } from './scene.ts'

/** A world with its own database, and the environment for the commands of docs/backup.md. */
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
  /** Replaces the database by the dump while portals run. */
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

test('after a database is restored, senders, receivers and other clients learn what is lost, and no file arrives twice', async () => {
  await using ground = await overDatabase()
  await expectNothingUntold(ground)
})

test('a database that is restored under a running portal: clients that wait learn what is lost, and lost accounts are cut off', async () => {
  await using ground = await overDatabase()
  const { world, url, start, backUp, restoreUnderneath } = ground
  const portal = await start()
  await world.join(['alice', 'carol'])
  await backUp()
  await world.join(['bob'])
  const bob = await world.receiver('bob')
  const { sending, transferId } = await startSending(world, 'report.bin', 3, 'carol')
  await sending.notification('stored')
  // The portal has told the ledger these things since the backup. They are missing afterwards.
  const told = (): Promise<string> => psql(url, 'select receivers from portals')
  await until(async () => (await told()).includes('bob'), 'the portal has told the ledger of bob')
  await restoreUnderneath()

  expect(await outcomeOf(sending)).toMatchObject({
    code: 5,
    last: { transfers: [{ transferId, outcome: 'no-answer', problem: { code: 'transfer-lost' } }] },
  })
  // The portal had admitted bob by an account that no longer exists.
  const { code, stderr } = await bob.ended
  expect(code).toBe(4)
  expect(stderr).toContain('credentials-invalid')
  expect(portal.stderr + portal.lines.join('\n')).toContain('the ledger was restored from a backup')
})
