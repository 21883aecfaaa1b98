/** A person without an account receives a file by a link, in a browser. */
import { expect, test } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { sha256Of } from '../harness/world.ts'
import { memberOf, sendLink, titled, WITH_GUESTS } from './links.ts'
import { eventually, PART_BYTES, type Scene, sceneWith } from './visit.ts'

const PHONE = { viewport: { width: 375, height: 720 } }

/** What the portal knows of the newest transfer of alice. */
async function newestOf({ world }: Scene) {
  const { client } = await memberOf(world, 'alice')
  const [newest] = (await client.transfers({ limit: 1 })).transfers
  if (newest === undefined) throw new Error('alice has sent nothing')
  return newest
}

/** What a visit has left in the browser: databases, files and folders. */
function traces(visitor: Visitor): Promise<string[]> {
  return visitor.inside<string[]>('traces')
}

function press({ page }: Visitor, name: string): Promise<void> {
  return page.getByRole('button', { name, exact: true }).click()
}

/** How often a part was fetched. */
function timesFetched({ network }: Scene, partNumber: number): number {
  return network.count('GET', new RegExp(`/v1/inbox/[^/]+/parts/${partNumber}(?:\\?|$)`))
}

test('a person on a phone receives a file by its link, and the sender has the receipt; nothing stays in the browser', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { link, send } = await sendLink(scene)
  const path = await scene.world.file('report.pdf', 9_000_000)
  const sending = send(path)
  await sending.notification('stored')
  const visitor = await openVisit(PHONE)
  const { page } = visitor
  await visitor.open(link)
  await titled(visitor, 'alice sends you report.pdf')
  await page.getByText('8.6 MiB · sealed: only people with this link can read it').waitFor()
  await page.getByRole('button', { name: 'Receive', exact: true }).waitFor()
  // Opening a link changes nothing, here and there.
  const [delivery] = (await newestOf(scene)).deliveries
  expect([delivery?.state, delivery?.offers]).toEqual(['waiting', 0])
  expect(await traces(visitor)).toEqual([])
  const { shown, room } = await visitor.inside<{ shown: number; room: number }>('widths')
  expect([room, shown <= room]).toEqual([PHONE.viewport.width, true])

  const download = await visitor.download(() => press(visitor, 'Receive'))
  expect(download.name).toBe('report.pdf')
  expect(await sha256Of(download.path)).toBe(await sha256Of(path))
  await titled(visitor, 'Received from alice')
  const card = visitor.card('report.pdf')
  await card.says('Arrived, intact; alice has your receipt.')
  expect(await card.picture()).toMatch(/^from alice to the portal: stored.*; from the portal to you: delivered/)
  await page.getByText("alice's receipt says that a person with this link has it.").waitFor()
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  expect(await sending.notification('delivered')).toHaveProperty('receipt')

  await press(visitor, 'I have it, remove it here')
  await titled(visitor, 'Done')
  expect(await traces(visitor)).toEqual([])
  expect(new URL(page.url()).hash).toBe('')

  const later = await openVisit(PHONE)
  await later.open(link)
  await titled(later, 'This file has been received already')
  await later.page.getByText('If that was not you, ask alice for another link.').waitFor()
  expect(await traces(later)).toEqual([])
})

test('a reloaded page continues with what has arrived, without another question', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { network, world } = scene
  const { link, send } = await sendLink(scene)
  const path = await world.file('large.bin', 3 * PART_BYTES)
  const sending = send(path)
  await sending.notification('stored')
  const gate = Promise.withResolvers<void>()
  network.rule = ({ method, path: asked }) =>
    method === 'GET' && /\/v1\/inbox\/[^/]+\/parts\/3(?:\?|$)/.test(asked) ? { heldUntil: gate.promise } : null
  const visitor = await openVisit(PHONE)
  await visitor.open(link)
  await press(visitor, 'Receive')
  await visitor.card('large.bin').says(/16\.0 MiB of 24\.0 MiB here, verified/)
  await visitor.page.reload()
  await visitor.card('large.bin').says('Checking the offer…')
  network.rule = () => null
  const download = await visitor.download(async () => gate.resolve())
  expect(await sha256Of(download.path)).toBe(await sha256Of(path))
  expect([timesFetched(scene, 1), timesFetched(scene, 2)]).toEqual([1, 1])
  expect((await sending.ended).code).toBe(0)

  // A file that is kept is still there after another reload.
  await visitor.page.reload()
  await titled(visitor, 'Received from alice')
  const again = await visitor.download(() => press(visitor, 'Save again'))
  expect(await sha256Of(again.path)).toBe(await sha256Of(path))
  await press(visitor, 'I have it, remove it here')
  await titled(visitor, 'Done')
  expect(await traces(visitor)).toEqual([])
})

chromiumTest('a link that does not work says why, and what to do', async () => {
  await using scene = await sceneWith(['alice', 'bob'], WITH_GUESTS)
  const { world, network } = scene
  const visitor = await openVisit(PHONE)
  const { page } = visitor
  const { link, send } = await sendLink(scene)
  await visitor.open(link.slice(0, -1))
  await titled(visitor, 'This link is not complete')

  await visitor.open(link.replace(/glg_./, link.includes('glg_A') ? 'glg_B' : 'glg_A'))
  await titled(visitor, 'This link does not work')
  const alert = page.getByRole('alert')
  await alert.getByText('The link is unknown, closed or expired').waitFor()
  await alert.getByText('Ask the person who gave you the link for a new one.').waitFor()

  // The sender is still sending, and then cancels.
  const sending = send(await world.file('secret.pdf', 1000))
  await sending.notification('stored')
  await visitor.open(link)
  await titled(visitor, 'alice sends you secret.pdf')
  await world.run('cancel', (await newestOf(scene)).transferId, '--profile', 'alice')
  await page.reload()
  await titled(visitor, 'alice has no file for you by this link yet')
  await page.getByText('alice has cancelled it.').waitFor()

  // The link says other keys than the portal does.
  const { fingerprint } = await memberOf(world, 'bob')
  const swapped = await sendLink(scene, { fingerprint })
  await swapped.send(await world.file('swapped.pdf', 1000), '--no-wait').ended
  await visitor.open(swapped.link)
  await titled(visitor, 'This link does not work')
  await alert.getByText(/^Do not use this link\. The portal names other keys than the link does/).waitFor()
  expect(network.count('GET', /\/v1\/inbox/)).toBe(0)
  expect(await traces(visitor)).toEqual([])
})

chromiumTest('a file whose sender cancels while it comes is not kept', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { world, network } = scene
  const { link, send } = await sendLink(scene)
  await send(await world.file('large.bin', 2 * PART_BYTES), '--no-wait').ended
  const gate = Promise.withResolvers<void>()
  network.rule = ({ path }) => (/\/v1\/inbox\/[^/]+\/parts\/2(?:\?|$)/.test(path) ? { heldUntil: gate.promise } : null)
  const visitor = await openVisit()
  await visitor.open(link)
  await press(visitor, 'Receive')
  await visitor.card('large.bin').says(/8\.0 MiB of 16\.0 MiB here, verified/)
  await world.run('cancel', (await newestOf(scene)).transferId, '--profile', 'alice')
  await titled(visitor, 'Not received from alice')
  await visitor.card('large.bin').says('The sender cancelled it.')
  gate.resolve()
  await eventually(() => traces(visitor)).toEqual([])
})

test('a link with a passphrase opens with it alone, and the portal does not learn it', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { link, send } = await sendLink(scene, { passphrase: 'Grüße 2026' })
  const path = await scene.world.file('report.pdf', 1000)
  await send(path, '--no-wait').ended
  const visitor = await openVisit(PHONE)
  const { page } = visitor
  await visitor.open(link)
  await titled(visitor, 'A file for you, with a passphrase')
  const field = page.getByLabel('The passphrase that the sender told you')
  await field.fill('grüße 2026')
  await press(visitor, 'Open')
  await page.getByRole('alert').getByText('The passphrase is wrong, or the link has expired.').waitFor()
  // The same letters, as another keyboard writes them.
  await field.fill('Gru\u0308ße 2026')
  await press(visitor, 'Open')
  await titled(visitor, 'alice sends you report.pdf')
  const download = await visitor.download(() => press(visitor, 'Receive'))
  expect(await sha256Of(download.path)).toBe(await sha256Of(path))
})

chromiumTest('a link for two is taken by two at once, each with a receipt, and a third is told', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { link, send } = await sendLink(scene, { takes: 2 })
  const path = await scene.world.file('report.pdf', 100_000)
  const sending = send(path)
  await sending.notification('stored')
  const people = await Promise.all([openVisit(), openVisit()])
  await Promise.all(people.map((one) => one.open(link)))
  const downloads = await Promise.all(people.map((one) => one.download(() => press(one, 'Receive'))))
  for (const download of downloads) expect(await sha256Of(download.path)).toBe(await sha256Of(path))
  expect((await sending.ended).code).toBe(0)
  const { deliveries } = await newestOf(scene)
  expect(deliveries.map(({ state }) => state)).toEqual(['delivered', 'delivered'])
  const third = await openVisit()
  await third.open(link)
  await titled(third, 'This file has been received already')
})

chromiumTest('two tabs with the same link receive it once', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { link, send } = await sendLink(scene)
  await send(await scene.world.file('report.pdf', 1000), '--no-wait').ended
  const visitor = await openVisit()
  await visitor.open(link)
  await titled(visitor, 'alice sends you report.pdf')
  const tab = await visitor.tab()
  await tab.goto(link)
  await tab.getByRole('heading', { name: 'GoLooader is open in another tab' }).waitFor()
  await tab.getByRole('button', { name: 'Use this tab instead' }).click()
  await tab.getByRole('heading', { name: 'alice sends you report.pdf' }).waitFor()
  await titled(visitor, 'GoLooader is open in another tab')
})

chromiumTest('what an expired link has left is removed at the next visit of any page', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { link, send } = await sendLink(scene)
  await send(await scene.world.file('report.pdf', 1000), '--no-wait').ended
  const visitor = await openVisit()
  await visitor.open(link)
  await visitor.download(() => press(visitor, 'Receive'))
  await titled(visitor, 'Received from alice')
  expect(await traces(visitor)).not.toEqual([])
  // The tab is closed, and two days later its user comes back.
  await visitor.open(scene.network.url)
  await visitor.page.getByLabel('Your invite').waitFor()
  expect((await traces(visitor)).some((name) => name.includes('/g/'))).toBe(true)
  await visitor.page.clock.install({ time: Date.now() + 2 * 86_400_000 })
  await visitor.page.reload()
  await eventually(async () => (await traces(visitor)).filter((name) => name.includes('/g/'))).toEqual([])
})
