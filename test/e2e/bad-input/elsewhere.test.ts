/** A ledger or a store that the portal cannot use stops the start, with a message that says what to change. */
import { expect, test } from 'vitest'
import { ownPostgres, psql, type TestDatabase, testDatabase } from '../../servers/postgres.ts'
import { testBucket } from '../../servers/radosgw.ts'
import { freePort } from '../../servers/server-process.ts'
import { allowedMs } from '../../suites/bounds.ts'
import { until, World } from '../harness/world.ts'

const NO_STACK = /this is a bug|\n\s+at |"stack"/

/** From now on the server requires a password from every user except the superuser. */
async function wantPasswords({ url }: TestDatabase): Promise<void> {
  const path = await psql(url, 'show hba_file')
  const rules = ['host all postgres 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256']
  await psql(url, `copy (values ${rules.map((rule) => `('${rule}')`).join(', ')}) to '${path}'`)
  await psql(url, 'select pg_reload_conf()')
}

test('a database that cannot be used is reported at once, with what to change', async () => {
  await using world = await World.create()
  await using server = await ownPostgres()
  const { url } = await server.database()
  await psql(url, "create role stranger login password 'right'")
  await wantPasswords(server)
  const [nowhere, foreign] = [new URL(url), new URL(url)]
  nowhere.pathname = '/nowhere'
  foreign.username = 'stranger'
  const cases: readonly (readonly [database: string, password: string, message: RegExp])[] = [
    [nowhere.href, '', /"nowhere" does not exist\. Create it/],
    [foreign.href, '', /wants a password: set PGPASSWORD/],
    [foreign.href, 'top-secret', /password authentication failed[^\n]*\. Correct/],
    [foreign.href, 'right', /permission denied for schema public\. The database has to belong to the user/],
    [`${url}?sslmode=verify-full`, '', /does not support SSL connections\. Switch TLS on/],
    [`${url}?password=top-secret`, '', /password on a command line: give it as PGPASSWORD/],
    [url.replace('://postgres@', '://postgres:top-secret@'), '', /password on a command line: give it as PGPASSWORD/],
  ]
  for (const [database, password, message] of cases) {
    for (const command of [
      ['portal', '--listen', '127.0.0.1:0'],
      ['invite', 'alice'],
    ]) {
      // No portal has run there. `invite` says so first.
      if (command[0] === 'invite' && password === 'right') continue
      const begunAtMs = performance.now()
      const { code, stderr } = await world.start([...command, '--database', database], {
        env: { PGPASSWORD: password },
      }).ended
      // A portal waits half a minute for a database.
      expect(performance.now() - begunAtMs, database).toBeLessThan(allowedMs(25_000))
      expect(stderr, database).toMatch(message)
      expect(stderr, database).not.toMatch(NO_STACK)
      expect(stderr, database).not.toMatch(/top-secret|waiting/)
      expect(code, database).toBe(2)
    }
  }
})

test('a portal that waits for its database says so in one line, and stops at once when it is told to', async () => {
  await using world = await World.create()
  const database = `postgres://gl@127.0.0.1:${await freePort()}/gl`
  const portal = world.start(['portal', '--listen', '127.0.0.1:0', '--database', database])
  await until(() => portal.stderr.includes('waiting for the database'), 'it waits')
  const stoppedAtMs = performance.now()
  expect(await portal.stop('SIGTERM')).toMatchObject({ code: 0 })
  expect(performance.now() - stoppedAtMs).toBeLessThan(allowedMs(5_000))
  expect(portal.stderr).toMatch(/"reason":"[^"]*ECONNREFUSED/)
  expect(portal.stderr.trim().split('\n')).toHaveLength(1)
  expect(portal.stderr).not.toMatch(NO_STACK)
})

test('a portal prints where it keeps its ledger and its parts', async () => {
  await using world = await World.create()
  const [alone, shared] = [await testDatabase(), await testDatabase()]
  const { bucket, endpoint, env } = await testBucket()
  const store = (prefix: string): string => `s3://${bucket}/${prefix}?endpoint=${endpoint}`
  const secret = { GOLOOADER_DATABASE: shared.url.replace('://postgres@', '://postgres:top-secret@') }
  // Each run has a folder of its own, because a ledger and a store that were used together stay bound to each other.
  const data = (name: string): string => world.path(name)
  const cases: readonly (readonly [name: string, args: string[], env: Record<string, string>, said: string])[] = [
    ['one', [], {}, `data in ${data('one')}`],
    ['two', ['--database', alone.url], {}, `ledger in ${alone.url}, parts in ${data('two')}`],
    ['three', ['--store', store('a')], {}, `ledger in ${data('three')}, parts in ${store('a')}`],
    ['four', ['--store', store('b')], secret, `ledger in ${shared.url}, parts in ${store('b')}`],
  ]
  for (const [name, args, variables, said] of cases) {
    const command = ['portal', '--listen', '127.0.0.1:0', '--data', data(name), ...args]
    const portal = world.start(command, { env: { ...env, ...variables } })
    const line = await portal.line((one) => one.startsWith('portal listening on '))
    const { stdout, stderr } = await portal.stop()
    expect(line.replace(/^.*?, /, '')).toBe(said)
    expect(`${stdout}${stderr}`).not.toContain('top-secret')
  }
})
