/** An account that joins again has new keys. Sender and receiver do not accept them without confirmation. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { AccountKeys } from '../../../src/trust/index.ts'
import { World } from '../harness/world.ts'

const SIZE_BYTES = 100_000

/** Gives an account new keys, like joining again on another machine. @returns their fingerprint */
async function renewKeys(world: World, name: string): Promise<string> {
  const keys = await AccountKeys.generate()
  const profile = world.path('config', 'golooader', 'profiles', `${name}.json`)
  await writeFile(profile, JSON.stringify({ ...JSON.parse(await readFile(profile, 'utf8')), keys: keys.secret }))
  await (await world.client(name)).setKeys(keys.publicKeys)
  return JSON.parse((await world.run('whoami', '--profile', name, '--json')).stdout).fingerprint
}

test('a sender with other keys than the known ones is refused until the receiver confirms them', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const send = async (name: string) => world.send(await world.file(name, SIZE_BYTES), 'bob').ended
  expect((await send('first.bin')).code).toBe(0)

  const fingerprint = await renewKeys(world, 'alice')
  const refused = await send('second.bin')
  expect(refused.code).toBe(3)
  expect(refused.stdout).toContain('"code":"keys-changed"')
  expect(await world.received('bob')).toEqual(['first.bin'])

  expect((await world.run('contacts', 'trust', 'alice', fingerprint, '--profile', 'bob')).code).toBe(0)
  expect((await send('third.bin')).code).toBe(0)
})

test('a receiver with other keys than the known ones is sent nothing until the sender confirms them', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const path = await world.file('a.bin', SIZE_BYTES)
  const send = () => world.run('send', path, '--to', 'bob', '--profile', 'alice', '--no-wait')
  expect((await send()).code).toBe(0)

  const fingerprint = await renewKeys(world, 'bob')
  const stopped = await send()
  expect(stopped.code).toBe(4)
  expect(stopped.stderr).toContain('(keys-changed)')
  expect(stopped.stderr).toContain(`golooader contacts trust bob ${fingerprint}`)
  expect((await world.run('contacts', 'trust', 'bob', fingerprint, '--profile', 'alice')).code).toBe(0)
  expect((await send()).code).toBe(0)
})
