/**
 * A portal that was restored from a backup has lost a file that it had reported as stored. The page shows that, and can
 * send the file again.
 */
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { runDocumented } from '../restore/scene.ts'
import { expectArrived, MIB, type Scene, sceneWith, transfersOf } from './visit.ts'

/** Simulates a backup from before the page had uploaded its keys. */
function forgetKeys(backupFolder: string): void {
  const database = new DatabaseSync(`${backupFolder}/ledger.sqlite`)
  database.exec("update accounts set keys = null where name = 'carol'")
  database.close()
}

/** Sends a file until the page shows it as stored, then restores a portal without it. */
async function storedAndLost(scene: Scene) {
  const { world } = scene
  const env = { DATA: world.dataFolder, BACKUP: world.path('backup') }
  const visitor = await scene.visit('carol')
  await scene.portal.stop()
  await runDocumented('Back up a data folder', env)
  forgetKeys(env.BACKUP)
  const portal = await world.portal()
  const path = await world.file('plan.bin', 3 * MIB)
  await visitor.send([path], ['bob'])
  const card = visitor.card('plan.bin')
  await card.phase('stored')
  const [sent] = await transfersOf(visitor)
  const transferId = sent?.transferId ?? ''
  /** Stops the portal. The returned function starts it again. */
  const lose = async (): Promise<() => Promise<unknown>> => {
    await portal.stop()
    await runDocumented('Restore a data folder', env)
    return () => world.portal()
  }
  return { visitor, card, path, transferId, lose }
}

test('a file that the portal has lost is no longer shown as stored, and is sent again as the same transfer', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const { visitor, card, path, transferId, lose } = await storedAndLost(scene)
  await (await lose())()
  await card.phase('refused')
  await card.says('The portal was restored from a backup. Send it again: no receiver gets a second copy.')
  expect(await card.picture()).toMatch(/^from you to the portal: refused/)
  await world.receiver('bob')
  await card.press('Send again')
  await card.phase('ended')
  await card.says('Delivered to bob: arrived, intact, receipt verified.')
  expect((await transfersOf(visitor)).map((one) => one.transferId)).toEqual([transferId])
  await expectArrived(world, 'bob', 'plan.bin', path)
})

test('a file that the portal lost while the page was closed is shown as unfinished, and the page asks for the file', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const { visitor, card, path, transferId, lose } = await storedAndLost(scene)
  await visitor.page.goto('about:blank')
  await (await lose())()
  await visitor.page.goBack()
  await visitor.isMember()
  await visitor.page.getByRole('heading', { name: 'Unfinished' }).waitFor()
  await world.receiver('bob')
  await visitor.page.locator(`input[data-for="${transferId}"]`).setInputFiles(path)
  await card.phase('ended')
  expect((await transfersOf(visitor)).map((one) => one.transferId)).toEqual([transferId])
  await expectArrived(world, 'bob', 'plan.bin', path)
})
