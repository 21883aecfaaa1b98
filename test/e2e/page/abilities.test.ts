/**
 * A browser with a missing ability reports it before the page uses the invite, or the page works without that ability.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { engine } from '../../page/harness/engine.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { sha256Of } from '../harness/world.ts'
import { requestLink, sendLink, titled, WITH_GUESTS } from './links.ts'
import { expectArrived, MIB, type Scene, sceneWith } from './visit.ts'

const JOIN = { name: 'Join', exact: true } as const
const KEEPS_NO_KEY = 'This browser stores the key that opens sealed files encrypted, and this page can read it.'
const KEEPS_NO_LARGE_FILES = 'files larger than 256 MiB cannot be received here'

/** The page says that it cannot work. Another person then joins by the same link. */
async function expectInviteKept(scene: Scene, link: string, visitor: Visitor, says: RegExp): Promise<void> {
  const { page } = visitor
  await visitor.open(link)
  await page.getByRole('heading', { name: 'This page does not work here' }).waitFor()
  await page.getByText(says).waitFor()
  await page.getByText('Your invite has not been used: open its link again where you want to use it.').waitFor()
  expect(await page.getByRole('button', JOIN).count()).toBe(0)
  expect(scene.network.count('POST', /\/v1\/join$/)).toBe(0)
  const other = await openVisit()
  await other.join(link)
}

test('a private window says what it lacks, and its invite stays valid', async () => {
  await using scene = await sceneWith([])
  const link = await scene.link('carol')
  // Private windows of other browsers keep files until they are closed.
  const visitor = await openVisit({ isPrivate: true })
  if (engine !== 'firefox') await visitor.insideFirst('refuseFiles')
  const says =
    /^This browser does not let the page store files \(SecurityError\)\. Private windows, for example, forbid it\.$/
  await expectInviteKept(scene, link, visitor, says)
})

test('a private window says what it lacks before it uses a link, to receive or to send', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { link, send } = await sendLink(scene)
  await send(await scene.world.file('report.pdf', 1000), '--no-wait').ended
  const visitor = await openVisit({ isPrivate: true })
  if (engine !== 'firefox') await visitor.insideFirst('refuseFiles')
  for (const one of [link, (await requestLink(scene)).link]) {
    await visitor.open(one)
    await titled(visitor, 'This page does not work here')
    await visitor.page.getByText(/^This browser does not let the page store files \(SecurityError\)\./).waitFor()
    await visitor.page.getByText('The link has not been used: open it again in another browser.').waitFor()
  }
  expect(scene.network.count('GET', /\/v1\//) + scene.network.count('POST', /\/v1\//)).toBe(0)
  const other = await openVisit()
  await other.open(link)
  await titled(other, 'alice sends you report.pdf')
})

test('a browser that is too old says so, and its invite stays valid', async () => {
  await using scene = await sceneWith([])
  const link = await scene.link('carol')
  const visitor = await openVisit()
  await visitor.insideFirst('lackFunctions', ['AbortSignal.any'])
  await expectInviteKept(scene, link, visitor, /^This browser is too old for this page: it has no AbortSignal\.any\.$/)
})

test('a browser that cannot run the page at all shows a text that says what it needs', async () => {
  await using scene = await sceneWith([])
  const link = await scene.link('carol')
  const visitor = await openVisit()
  // The page calls it while its modules load.
  await visitor.insideFirst('lackFunctions', ['Object.hasOwn'])
  await visitor.open(link)
  await visitor.page.getByText('If this text stays, one of them is missing.').waitFor()
  expect(visitor.complaints.splice(0)).toEqual([expect.stringContaining('hasOwn')])
  await (await openVisit()).join(link)
})

test('a browser that cannot create keys says so, and its invite stays valid', async () => {
  await using scene = await sceneWith([])
  const link = await scene.link('carol')
  const visitor = await openVisit()
  await visitor.insideFirst('failToMakeKeys', 1_000_000)
  await expectInviteKept(scene, link, visitor, /^This browser cannot create the keys that sign and seal files\./)
})

test('a browser that sometimes fails to create a key succeeds after a few tries, and sends', async () => {
  await using scene = await sceneWith(['bob'])
  const visitor = await openVisit()
  await visitor.insideFirst('failToMakeKeys', 4)
  await visitor.join(await scene.link('carol'))
  const path = await scene.world.file('a.txt', 10_000)
  await visitor.send([path], ['bob'])
  await scene.world.receiver('bob')
  await visitor.card('a.txt').phase('ended')
  await expectArrived(scene.world, 'bob', 'a.txt', path)
})

test('a browser without files and without storable keys sends and receives, and says what its limits are', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  const profileFolder = await mkdtemp(join(tmpdir(), 'golooader-visit-'))
  onTestFinished(() => rm(profileFolder, { recursive: true, force: true, maxRetries: 10 }))
  const visitor = await openVisit({ profileFolder })
  const { page } = visitor
  await visitor.insideFirst('beLikeWebKitGtk')
  await visitor.open(await scene.link('carol'))
  await page.getByText(KEEPS_NO_KEY).waitFor()
  await page.getByText(KEEPS_NO_LARGE_FILES).waitFor()
  await page.getByRole('button', JOIN).click()
  await visitor.isMember()
  expect(await visitor.inside('keptDecryptionKey')).toBe('wrapped by AES-GCM, false')

  await page.reload()
  await visitor.isMember()
  await visitor.goTo('You')
  await page.getByText(KEEPS_NO_KEY).waitFor()
  await visitor.goTo('Receive')
  const incoming = await world.file('in.bin', 9 * MIB)
  const sending = world.send(incoming, 'carol')
  const card = visitor.card('in.bin')
  await card.phase('asking')
  const downloaded = await visitor.download(() => card.press('Accept'))
  expect(downloaded.name).toBe('in.bin')
  expect(await sha256Of(downloaded.path)).toBe(await sha256Of(incoming))
  expect((await sending.ended).code).toBe(0)

  // The received file stays for a second download, until its owner removes it.
  await page.reload()
  await visitor.isMember()
  await visitor.goTo('Receive')
  const again = await visitor.download(() => page.getByRole('button', { name: 'Save again' }).click())
  expect(await sha256Of(again.path)).toBe(await sha256Of(incoming))

  const large = await world.file('large.bin', 257 * MIB)
  const refused = world.send(large, 'carol')
  await visitor.card('large.bin').phase('asking')
  await visitor.card('large.bin').press('Accept')
  const { code, stdout } = await refused.ended
  expect(code).not.toBe(0)
  expect(stdout).toContain('"disk-full"')

  const path = await world.file('out.bin', 9 * MIB)
  await visitor.send([path], ['bob'])
  await world.receiver('bob')
  await visitor.card('out.bin').phase('ended')
  await expectArrived(world, 'bob', 'out.bin', path)

  // A browser update adds the missing ability. The page still finds its data.
  await visitor.close()
  const later = await openVisit({ profileFolder })
  await later.open(scene.network.url)
  await later.isMember()
  await later.goTo('Receive')
  const after = await later.download(() => later.page.getByRole('button', { name: 'Save again' }).click())
  expect(await sha256Of(after.path)).toBe(await sha256Of(incoming))
})
