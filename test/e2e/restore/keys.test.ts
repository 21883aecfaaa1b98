/**
 * A portal that lacks the public keys of an account gets them from the account's own programs, and keeps those that it
 * has.
 */
import { expect, test } from 'vitest'
import { AccountKeys } from '../../../src/trust/index.ts'
import { until } from '../harness/world.ts'
import { dataFolder } from './scene.ts'

test('a restored portal that lacks the keys of a receiver and of a sender gets them again, and delivers sealed files', async () => {
  await using ground = await dataFolder()
  const { world } = ground
  let portal = await ground.start()
  await world.join(['carol'])
  await world.join(['alice', 'bob'], {}, { hasKeys: false })
  await portal.stop()
  await ground.backUp()

  portal = await ground.start()
  // Both create their keys with their first command. Bob knows nothing of alice yet.
  await world.receiver('bob')
  const path = await world.file('report.bin', 1000)
  expect((await world.send(path, 'carol', '--no-wait').ended).code).toBe(0)
  await portal.stop()
  await ground.restore()
  await ground.start()

  // The receiver has run all the time.
  const carol = await world.client('carol')
  await until(async () => (await carol.accountOf('bob')).keys !== null, 'the receiver publishes its keys')
  expect((await carol.accountOf('alice')).keys).toBeNull()
  // Bob refuses files that are sealed by an account without keys.
  expect((await world.send(path, 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['report.bin'])
})

test('keys that the portal has are never replaced by other keys of a profile', async () => {
  await using ground = await dataFolder()
  const { world } = ground
  await ground.start()
  await world.join(['alice', 'bob'])
  const others: string[] = []
  for (const name of ['alice', 'bob']) {
    const { publicKeys } = await AccountKeys.generate()
    await (await world.client(name)).setKeys(publicKeys)
    others.push(publicKeys.signing)
  }
  const bob = await world.receiver('bob')
  await world.send(await world.file('report.bin', 1000), 'bob', '--plain').ended
  await bob.stop()
  const told = await Promise.all(['alice', 'bob'].map(async (name) => (await world.client(name)).account()))
  expect(told.map(({ keys }) => keys?.signing)).toEqual(others)
})
