/** A test with a portal and two accounts of its own. Usage: node --test portal-in-a-test.ts */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import test from 'node:test'
import { join, openProfile, startPortal } from 'golooader'

test('bob gets what alice sends', async () => {
  const folder = await mkdtemp(path(tmpdir(), 'portal-'))
  process.env.XDG_CONFIG_HOME = path(folder, 'config')
  process.env.XDG_STATE_HOME = path(folder, 'state')
  await using portal = await startPortal({ dataFolder: path(folder, 'data'), listenPort: 0 })
  for (const name of ['alice', 'bob']) await join(await portal.invite(name))
  await using alice = await openProfile('alice')
  await using bob = await openProfile('bob')

  await writeFile(path(folder, 'hello.txt'), 'hello')
  const sending = alice.send(path(folder, 'hello.txt'), { to: 'bob' })
  for await (const file of bob.receive(path(folder, 'inbox'), { create: true })) {
    assert.equal(await readFile(file.path, 'utf8'), 'hello')
    break
  }
  assert.equal((await sending)[0]?.outcome, 'delivered')
})
