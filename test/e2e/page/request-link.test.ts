/** A person without an account sends files by the link of a request, in a browser. */
import { expect, test } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import { openVisit } from '../../page/harness/visitor.ts'
import { memberOf, requestLink, titled, WITH_GUESTS } from './links.ts'
import { eventually, expectArrived, holdPartsAfter, PART_BYTES, sceneWith, timesSent } from './visit.ts'

const PHONE = { viewport: { width: 375, height: 720 } }

test('a person on a phone sends files by a request link, sees both notifications, and keeps the receipt', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { world, network } = scene
  await world.receiver('alice')
  const { link, client, requestId } = await requestLink(scene, { label: 'tax papers' })
  const visitor = await openVisit(PHONE)
  const { page } = visitor
  await visitor.open(link)
  await titled(visitor, 'alice asks you for “tax papers”')
  // Opening a link changes nothing, here and there.
  expect(await visitor.inside('traces')).toEqual([])
  expect(network.count('POST', /\/v1\/requests\/join$/)).toBe(0)
  const { shown, room } = await visitor.inside<{ shown: number; room: number }>('widths')
  expect([room, shown <= room]).toEqual([PHONE.viewport.width, true])

  const paths = await Promise.all([world.file('income.pdf', 9_000_000), world.file('rent.pdf', 1000)])
  await visitor.choose(paths)
  await page.getByRole('button', { name: 'Send 2 files to alice' }).click()
  for (const name of ['income.pdf', 'rent.pdf']) {
    const card = visitor.card(name)
    await card.phase('ended')
    await card.says('Delivered to alice: arrived, intact, receipt verified.')
    expect(await card.picture()).toMatch(/^from you to the portal: stored .*; from the portal to alice: delivered /)
    await expectArrived(world, 'alice', name, world.path('files', name))
  }
  const { requests } = await client.guests.requests()
  expect(requests.map(({ requestId: id, files, guests }) => [id, files, guests])).toEqual([[requestId, 2, 1]])

  const [path = ''] = paths
  const receipt = await visitor.download(() => visitor.card('income.pdf').press('Save the receipt'))
  const verified = await world.run('verify', path, '--receipt', receipt.path)
  expect(verified.code, verified.stdout + verified.stderr).toBe(0)
  expect(verified.stdout).toContain('proven: alice received exactly this file')

  // After a reload it is still there, with its receipt.
  await page.reload()
  await visitor.card('rent.pdf').says(/delivered/)
  const again = await visitor.download(() => visitor.card('income.pdf').press('Save the receipt'))
  expect((await world.run('verify', path, '--receipt', again.path)).code).toBe(0)
  await page.getByRole('button', { name: 'I am done, remove everything here' }).click()
  await titled(visitor, 'Done')
  expect(await visitor.inside('traces')).toEqual([])
  expect(new URL(page.url()).hash).toBe('')
})

test('an upload by a request link continues after a reload, with the same file', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { world, network } = scene
  await world.receiver('alice')
  const { link } = await requestLink(scene)
  const release = holdPartsAfter(network, 2)
  const visitor = await openVisit(PHONE)
  const { page } = visitor
  await visitor.open(link)
  await titled(visitor, 'alice asks you for files')
  const path = await world.file('large.bin', 3 * PART_BYTES)
  await visitor.choose([path])
  await page.getByRole('button', { name: 'Send it to alice' }).click()
  await visitor.card('large.bin').says(/The portal has 16\.0 MiB of 24\.0 MiB/)
  await page.reload()
  await page.getByText('Choose the same file again to resume.').waitFor()
  release()
  await page.locator('input[data-for]:not([data-for="files"]):not([data-for="folder"])').setInputFiles(path)
  const card = visitor.card('large.bin')
  await card.phase('ended')
  await card.says('Delivered to alice: arrived, intact, receipt verified.')
  expect([timesSent(network, 1), timesSent(network, 2)]).toEqual([1, 1])
  await expectArrived(world, 'alice', 'large.bin', path)
})

chromiumTest('the limits of a request and its end are said before and after sending', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { world } = scene
  const { link, client, requestId } = await requestLink(scene, { filesMax: 2, bytesMax: 10_000 })
  const visitor = await openVisit()
  const { page } = visitor
  await visitor.open(link)
  await visitor.choose([await world.file('large.bin', 20_000)])
  await page.getByText('alice takes 2 more files and 9.8 KiB.').waitFor()
  expect(await page.getByRole('button', { name: 'Send it to alice' }).isDisabled()).toBe(true)
  await page.getByRole('button', { name: 'Do not send large.bin' }).click()
  await visitor.choose([await world.file('small.bin', 1000)])
  await page.getByRole('button', { name: 'Send it to alice' }).click()
  await visitor.card('small.bin').phase('stored')

  // The owner closes the request. What is stored still arrives, and the page says so.
  await client.guests.closeRequest(requestId)
  await page.reload()
  await page.getByText('The request has been closed or has expired, so it takes no more files.').waitFor()
  await world.receiver('alice')
  await visitor.card('small.bin').says(/Delivered to alice/)
  const stranger = await openVisit()
  await stranger.open(link)
  await titled(stranger, 'This link does not work')
  await stranger.page.getByRole('alert').getByText('Ask the person who gave you the link for a new one.').waitFor()
  await eventually(() => stranger.inside('traces')).toEqual([])
})

chromiumTest('a portal that names other keys for the owner of a request gets nothing', async () => {
  await using scene = await sceneWith(['alice', 'mallory'], WITH_GUESTS)
  const { fingerprint } = await memberOf(scene.world, 'mallory')
  const { link } = await requestLink(scene, { fingerprint })
  const visitor = await openVisit()
  await visitor.open(link)
  await titled(visitor, 'This link does not work')
  const alert = visitor.page.getByRole('alert')
  await alert.getByText(/^Do not use this link\. The portal names other keys than the link does/).waitFor()
  expect(await visitor.page.locator('input[data-for="files"]').count()).toBe(0)
  expect(scene.network.count('POST', /\/v1\/requests\/join$/)).toBe(0)
})
