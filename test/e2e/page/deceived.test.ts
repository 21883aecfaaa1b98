/** The portal lies to the page. The page shows a delivery only with the receiver's signature. */
import { expect, test } from 'vitest'
import { AccountKeys } from '../../../src/trust/index.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { EvilPortal, type Json } from '../trust/evil-portal.ts'
import { type Scene, sceneWith } from './visit.ts'

/** A visitor whose page and responses all come from the lying portal. */
async function visitThrough(evil: EvilPortal, scene: Scene, name: string): Promise<Visitor> {
  const visitor = await openVisit()
  await visitor.join((await scene.link(name)).replace(scene.network.url, evil.url))
  return visitor
}

/** Removes the receipt from delivery notifications, on every path to the sender. */
function withoutReceipt(said: Json): Json {
  const { receipt: _, ...rest } = said
  if (said.notification === 'delivered') return rest
  if (!Array.isArray(said.notifications)) return said
  return { ...said, notifications: said.notifications.map(withoutReceipt) }
}

test('a delivery without the receiver’s signature is shown as failed, with advice', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  await using evil = await EvilPortal.open(() => world.portalUrl)
  const visitor = await visitThrough(evil, scene, 'carol')
  await world.receiver('bob')
  evil.lies = { says: withoutReceipt }
  await visitor.send([await world.file('plan.bin', 300_000)], ['bob'])
  const card = visitor.card('plan.bin')
  await card.phase('ended')
  await card.says('Do not rely on it. Ask bob whether the file is there, and compare fingerprints.')
  expect(await card.text()).not.toContain('Delivered')
  expect(await card.picture()).toMatch(/from the portal to bob: failed/)
  await card.locator.getByRole('link', { name: /^Timeline/ }).click()
  await visitor.page.getByText('The portal says that it was delivered to bob, but the receipt proves nothing').waitFor()
  const picture = await visitor.page.getByRole('img').getAttribute('aria-label')
  expect(picture).toMatch(/from the portal to bob: failed/)
  expect(await visitor.page.getByRole('button', { name: /^Download the receipt/ }).count()).toBe(0)

  // The portal claims that the receiver has never signed. The page does not believe it.
  evil.lies = { says: (said) => withoutReceipt('manifest' in said ? { ...said, manifest: null } : said) }
  await visitor.page.reload()
  await visitor.page.getByText('The portal says that it was delivered to bob, but the receipt proves nothing').waitFor()
})

test('the page refuses other keys for a known contact, and seals nothing for them', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  await using evil = await EvilPortal.open(() => world.portalUrl)
  const visitor = await visitThrough(evil, scene, 'carol')
  await visitor.choose([await world.file('plan.bin', 1000)])
  await visitor.addReceiver('bob')
  await visitor.page.getByRole('button', { name: 'Remove bob' }).click()
  const { publicKeys } = await AccountKeys.generate()
  evil.lies = { says: (said, { path }) => (path === '/v1/accounts/bob' ? { ...said, keys: publicKeys } : said) }
  await visitor.page.getByRole('button', { name: '+ bob' }).click()
  await visitor.page
    .getByRole('alert')
    .getByText('The keys of bob are not those that this browser knows. Compare fingerprints first, under You.')
    .waitFor()
  expect(evil.uploads).toEqual([])
})
