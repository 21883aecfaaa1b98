/** A member makes links in the page: to send a file to anybody, and to ask anybody for files. */
import { expect, test } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { sha256Of } from '../harness/world.ts'
import { titled, WITH_GUESTS } from './links.ts'
import { sceneWith } from './visit.ts'

/** The link that the page shows under that label. */
function linkIn({ page }: Visitor, label: string): Promise<string> {
  return page.getByLabel(label, { exact: true }).inputValue()
}

test('a member makes a link for a file, sees it delivered, and the link is still there after a reload', async () => {
  await using scene = await sceneWith([], WITH_GUESTS)
  const { world } = scene
  const carol = await scene.visit('carol')
  const { page } = carol
  const path = await world.file('plan.pdf', 300_000)
  await carol.choose([path])
  await page.getByRole('button', { name: 'Make a link…' }).click()
  await page.getByText('One person can receive it with the link').waitFor()
  await page.getByRole('button', { name: 'Make the link', exact: true }).click()
  const card = carol.card('plan.pdf')
  await card.phase('stored')
  await card.says('Waiting for a guest.')
  const link = await linkIn(carol, 'The link of plan.pdf')
  expect(link).toMatch(/\/g#glg_[\w-]{43}\.[a-z2-7]{24}$/)
  await card.locator.getByRole('button', { name: 'Copy' }).click()
  await card.says('Copied')

  await page.reload()
  await carol.isMember()
  await carol.card('plan.pdf').phase('stored')
  expect(await linkIn(carol, 'The link of plan.pdf')).toBe(link)

  const guest = await openVisit()
  await guest.open(link)
  await titled(guest, 'carol sends you plan.pdf')
  const download = await guest.download(() => guest.page.getByRole('button', { name: 'Receive', exact: true }).click())
  expect(await sha256Of(download.path)).toBe(await sha256Of(path))
  await carol.card('plan.pdf').phase('ended')
  await carol.card('plan.pdf').says('Delivered to a guest: arrived, intact, receipt verified.')
  await carol
    .card('plan.pdf')
    .locator.getByRole('link', { name: /^Timeline and receipt/ })
    .click()
  await page.getByText('Delivered to a guest').waitFor()
  const press = () => page.getByRole('button', { name: /^Download the receipt/ }).click()
  const receipt = await carol.download(press)
  const verified = await world.run('verify', path, '--receipt', receipt.path)
  expect(verified.code, verified.stdout + verified.stderr).toBe(0)
})

chromiumTest('a link for several people, with a passphrase, that works for an hour', async () => {
  await using scene = await sceneWith([], WITH_GUESTS)
  const { world } = scene
  const carol = await scene.visit('carol')
  const { page } = carol
  await carol.choose([await world.file('plan.pdf', 1000)])
  await page.getByRole('button', { name: 'Make a link…' }).click()
  await page.getByText('More', { exact: true }).click()
  await page.getByLabel('For how many people').fill('2')
  await page.getByLabel('The link works for').selectOption({ label: '1.0 h' })
  await page.getByLabel(/^A passphrase/).fill('blue')
  await page.getByText('2 people, each once, can receive it').waitFor()
  await page.getByRole('button', { name: 'Make the link', exact: true }).click()
  const card = carol.card('plan.pdf')
  await card.phase('stored')
  await card.says('Waiting for 2 guests.')
  await card.says('It works for 2 people, each once, until')
  await card.says('Tell the passphrase by another way than the link.')
  expect(await linkIn(carol, 'The link of plan.pdf')).toContain('/g#glgp_')
})

test('a member asks for files by a link, and closes the request', async () => {
  await using scene = await sceneWith([], WITH_GUESTS)
  const { world } = scene
  const carol = await scene.visit('carol')
  const { page } = carol
  await carol.goTo('Receive')
  await page.getByLabel(/^People without an account can send you files/).fill('tax papers')
  await page.getByRole('button', { name: 'Make the link' }).click()
  const request = carol.card('tax papers')
  await request.says('Nothing has come yet')
  const link = await linkIn(carol, 'The link of tax papers')
  expect(link).toMatch(/\/r#glr_[\w-]{43}\.[a-z2-7]{24}$/)

  const guest = await openVisit()
  await guest.open(link)
  await titled(guest, 'carol asks you for “tax papers”')
  const path = await world.file('income.pdf', 1000)
  await guest.choose([path])
  await guest.page.getByRole('button', { name: 'Send it to carol' }).click()
  const offer = carol.card('income.pdf')
  await offer.phase('asking')
  await offer.says('A guest offers you this file.')
  await offer.says('for “tax papers”')
  const download = await carol.download(() => offer.press('Accept'))
  expect(await sha256Of(download.path)).toBe(await sha256Of(path))
  await guest.card('income.pdf').says('Delivered to carol: arrived, intact, receipt verified.')
  await request.says('1 file so far')
  await offer.locator.getByRole('link', { name: 'Timeline and receipt' }).click()
  await page.getByText('a guest for “tax papers”').waitFor()
  await carol.goTo('History')
  await page.getByLabel(/^Search by name/).fill('tax papers')
  await page.getByText('from a guest for “tax papers”').waitFor()
  await carol.goTo('Receive')
  await request.press('Close')
  await request.locator.waitFor({ state: 'detached' })
  await guest.page.reload()
  await guest.page.getByText('The request has been closed or has expired, so it takes no more files.').waitFor()
})

chromiumTest('a portal without guests shows nothing of links', async () => {
  await using scene = await sceneWith([])
  const carol = await scene.visit('carol')
  await carol.choose([await scene.world.file('plan.pdf', 10)])
  await carol.page.getByRole('button', { name: 'Add', exact: true }).waitFor()
  expect(await carol.page.getByRole('button', { name: 'Make a link…' }).count()).toBe(0)
  await carol.goTo('Receive')
  await carol.page.getByRole('heading', { name: 'Inbox' }).waitFor()
  expect(await carol.page.getByRole('heading', { name: 'Ask for files' }).count()).toBe(0)
})
