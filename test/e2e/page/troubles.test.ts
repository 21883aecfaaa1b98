/** The page shows each problem with its cause and with advice. The user can cancel a transfer. */
import { mkdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Running, until, type World } from '../harness/world.ts'
import {
  expectArrived,
  holdPartsAfter,
  MIB,
  PART_BYTES,
  sceneWith,
  sentPart,
  statusOf,
  timesSent,
  transfersOf,
} from './visit.ts'

/** A receiver whose folder is a small disk, mounted in the namespace of its process. It needs no unmounting. */
async function receiverOnSmallDisk(world: World, name: string, sizeMib: number): Promise<Running> {
  await mkdir(world.inbox(name), { recursive: true })
  const mount = `mount -t tmpfs -o size=${sizeMib}m,mode=700 tmpfs "$0" && exec "$@"`
  return world.receiver(name, [], { wrapper: ['unshare', '-r', '-m', 'sh', '-c', mount, world.inbox(name)] })
}

test('each receiver fails or succeeds separately, with its own problem and advice', async () => {
  await using scene = await sceneWith(['bob', 'dave', 'erin'])
  const { world } = scene
  await Promise.all([
    world.receiver('bob'),
    receiverOnSmallDisk(world, 'dave', 2),
    world.receiver('erin', ['--from', 'bob']),
  ])
  const visitor = await scene.visit('carol')
  const path = await world.file('plan.bin', 3 * MIB)
  await visitor.send([path], ['bob', 'dave', 'erin'])
  const card = visitor.card('plan.bin')
  await card.phase('ended')
  await card.says('Delivered to bob: arrived, intact, receipt verified.')
  const text = await card.text()
  expect(text).toMatch(/dave: .*it needs 3\.0 MiB, free are .*Ask dave to make room, then send it again\..*disk-full/s)
  expect(text).toMatch(/erin: .*erin accepts files from chosen senders only\. Ask to be added\..*sender-not-accepted/s)
  const picture = await card.picture()
  expect(picture).toMatch(/^from you to the portal: stored /)
  expect(picture).toMatch(/from the portal to bob: delivered /)
  for (const name of ['dave', 'erin']) expect(picture).toMatch(new RegExp(`from the portal to ${name}: failed `))
  await expectArrived(world, 'bob', 'plan.bin', path)

  // The timeline shows the same with times, and the history lists it as failed.
  await card.locator.getByRole('link', { name: /^Timeline/ }).click()
  await visitor.page.getByText('Not delivered to dave').waitFor()
  await visitor.page.getByText('Ask dave to make room, then send it again.').waitFor()
  await visitor.goTo('History')
  await visitor.page.getByRole('button', { name: 'Failed' }).click()
  await visitor.page.getByRole('link', { name: /plan\.bin.*2 of 3 failed/ }).waitFor()
})

test('a portal without free space refuses before anything is sent, with advice', async () => {
  await using scene = await sceneWith(['bob'], ['--max-transfer', '1MiB'])
  const visitor = await scene.visit('carol')
  await visitor.send([await scene.world.file('large.bin', 2 * MIB)], ['bob'])
  const card = visitor.card('large.bin')
  await card.phase('refused')
  await card.says('Ask the operator of the portal for a larger limit, or send it in several files.')
  expect(await card.picture()).toMatch(/^from you to the portal: refused/)
  expect(scene.network.seen.filter((seen) => sentPart(seen) !== null)).toEqual([])
})

test('a paused upload stays at the portal, and continues from there', async () => {
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  await world.receiver('bob')
  const release = holdPartsAfter(network, 2)
  const visitor = await scene.visit('carol')
  const path = await world.file('large.bin', 3 * PART_BYTES)
  await visitor.send([path], ['bob'])
  const card = visitor.card('large.bin')
  await card.says(/The portal has 16\.0 MiB of 24\.0 MiB/)
  await card.press('Pause')
  await card.phase('paused')
  await card.says('Paused. The portal has 16.0 MiB of 24.0 MiB.')
  const [transfer] = await transfersOf(visitor)
  if (transfer === undefined) throw new Error('there is no transfer')
  const { parts } = await statusOf(visitor, transfer.transferId)
  expect(parts.map(({ partNumber }) => partNumber)).toEqual([1, 2])
  // The network releases the parts that were held. The paused page sends no more.
  release()
  const asked = network.seen.length
  // The test waits this long on purpose: the page must send nothing in this time.
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(network.seen.slice(asked).filter((seen) => sentPart(seen) !== null)).toEqual([])
  await card.press('Resume')
  await card.phase('ended')
  await card.says('receipt verified')
  expect([timesSent(network, 1), timesSent(network, 2)]).toEqual([1, 1])
  await expectArrived(world, 'bob', 'large.bin', path)
  expect(await world.received('bob')).toEqual(['large.bin'])
})

test('a cancelled upload is deleted everywhere; a cancelled stored file fails for the receivers who do not have it yet', async () => {
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  const release = holdPartsAfter(network, 1)
  const visitor = await scene.visit('carol')
  await visitor.send([await world.file('early.bin', 2 * PART_BYTES)], ['bob'])
  const early = visitor.card('early.bin')
  await early.says(/The portal has 8\.0 MiB of 16\.0 MiB/)
  await early.press('Cancel')
  await early.locator.waitFor({ state: 'detached' })
  await until(async () => (await transfersOf(visitor))[0]?.state === 'cancelled', 'it is cancelled at the portal')
  await until(async () => (await world.stored()).length === 0, 'the parts have left the portal')
  release()

  await visitor.send([await world.file('late.bin', 300_000)], ['bob'])
  const late = visitor.card('late.bin')
  await late.phase('stored')
  await late.press('Cancel')
  await late.phase('ended')
  expect(await late.picture()).toMatch(/^from you to the portal: stored .*; from the portal to bob: failed/)
  await until(async () => (await world.stored()).length === 0, 'the parts have left the portal')

  // The portal offers it to no receiver, and the page does not request it after a reload.
  await visitor.page.reload()
  await visitor.isMember()
  await visitor.send([await world.file('last.bin', 10)], ['bob'])
  await world.receiver('bob')
  await visitor.card('last.bin').phase('ended')
  expect(await world.received('bob')).toEqual(['last.bin'])
  expect(await visitor.page.getByText('Unfinished').count()).toBe(0)
})
