/**
 * The page offers an incoming file, the user accepts or declines it, and the page confirms the delivery only once the
 * file is stored.
 */
import { expect, test } from 'vitest'
import { inChromiumOnly } from '../../page/harness/engine.ts'
import { chromiumTest } from '../../page/harness/once.ts'
import type { Visitor } from '../../page/harness/visitor.ts'
import { type Running, sha256Of } from '../harness/world.ts'
import { eventually, MIB, type Scene, sceneWith } from './visit.ts'

/** The sender's own process reports that every file was delivered, with a verified receipt. */
async function expectDelivered(sending: Running): Promise<void> {
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  const notification = await sending.notification('delivered')
  expect(notification).toHaveProperty('receipt')
}

/** The files that the page stores in the browser, as digests. */
async function digestsIn(visitor: { inside<Result>(name: string): Promise<Result> }): Promise<string[]> {
  return Object.values(await visitor.inside<Record<string, string>>('ownFiles'))
}

async function sendTo({ world }: Scene, name: string, sizeBytes: number, to = 'carol') {
  const path = await world.file(name, sizeBytes)
  return { path, digest: await sha256Of(path), sending: world.send(path, to) }
}

/** Presses a button of the notice about files that are still in the browser. */
async function kept({ page }: Visitor, action: string): Promise<void> {
  await page.getByRole('region', { name: 'Kept in this browser' }).getByRole('button', { name: action }).click()
}

test('a file is offered, received once accepted, downloaded, and kept until it is removed', async () => {
  await using scene = await sceneWith(['alice'])
  const visitor = await scene.visit('carol')
  const { page } = visitor
  const { path, digest, sending } = await sendTo(scene, 'report.bin', 9 * MIB)
  const counted = page.getByRole('link', { name: 'Receive 1 waiting for you' })
  await counted.waitFor()
  expect(await page.title()).toMatch(/^\(1\) /)
  await counted.click()
  const card = visitor.card('report.bin')
  await card.phase('asking')
  await card.says('alice offers you this file. Nothing has been received yet.')
  await card.says('9.0 MiB from alice · sealed')
  expect(scene.network.count('GET', /\/v1\/inbox\/[^/]+\/parts\//)).toBe(0)

  const download = await visitor.download(() => card.press('Accept'))
  expect(download.name).toBe('report.bin')
  expect(await sha256Of(download.path)).toBe(digest)
  await card.phase('received')
  await card.says('Arrived, intact; alice has your receipt.')
  await expectDelivered(sending)
  expect(await card.picture()).toMatch(/^from alice to the portal: stored.*; from the portal to you: delivered/)

  // The browser does not report whether the download succeeded, so the page keeps the file until its owner confirms.
  const again = await visitor.download(() => kept(visitor, 'Save again'))
  expect(await sha256Of(again.path)).toBe(digest)
  expect(await digestsIn(visitor)).toContain(digest)
  await kept(visitor, 'I have it, remove it here')
  await eventually(() => digestsIn(visitor)).not.toContain(digest)

  await visitor.goTo('History')
  await page.getByRole('link', { name: /report\.bin.*from alice.*received/ }).click()
  await page.getByText('Delivered: you have it, and signed for it').waitFor()
  // The detail view shows the signer, the own receipt, and the times of both hops.
  const whoami = await scene.world.run('whoami', '--profile', 'alice')
  const [fingerprint = ''] = /[a-z2-7]{4}(-[a-z2-7]{4}){5}/.exec(whoami.stdout) ?? []
  await page.getByText('Signed by alice, verified before the file was saved.').waitFor()
  await page.getByText(fingerprint, { exact: true }).waitFor()
  for (const step of ['Stored: the portal has every byte', 'Offered to you']) await page.getByText(step).waitFor()
  const receipt = await visitor.download(() => page.getByRole('button', { name: /^Download the receipt/ }).click())
  const verified = await scene.world.run('verify', path, '--receipt', receipt.path)
  expect(verified.code, verified.stdout + verified.stderr).toBe(0)
  expect(verified.stdout).toContain('proven: carol received exactly this file')
})

test('files that are kept in the browser are still there after a reload', async () => {
  await using scene = await sceneWith(['alice'])
  const visitor = await scene.visit('carol')
  const { digest, sending } = await sendTo(scene, 'report.bin', 300_000)
  await visitor.goTo('Receive')
  const card = visitor.card('report.bin')
  await visitor.download(() => card.press('Accept'))
  await expectDelivered(sending)
  await visitor.page.reload()
  await visitor.isMember()
  await card.phase('received')
  const again = await visitor.download(() => kept(visitor, 'Save again'))
  expect(await sha256Of(again.path)).toBe(digest)
})

chromiumTest('all offers can be accepted at once, and then all files automatically', async () => {
  await using scene = await sceneWith(['alice'])
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  const sent = await Promise.all(['one.bin', 'two.bin'].map((name) => sendTo(scene, name, 300_000)))
  for (const name of ['one.bin', 'two.bin']) await visitor.card(name).phase('asking')
  await visitor.page.getByRole('button', { name: /^Accept all 2 / }).click()
  for (const { sending } of sent) await expectDelivered(sending)

  await visitor.page.getByRole('checkbox', { name: /^Accept all files automatically/ }).check()
  const third = await sendTo(scene, 'three.bin', 0)
  await expectDelivered(third.sending)
  await visitor.card('three.bin').phase('received')
  // The setting survives a reload.
  await visitor.page.reload()
  await visitor.isMember()
  await expectDelivered((await sendTo(scene, 'four.bin', 9 * MIB)).sending)
})

chromiumTest('the sender learns why the user declined a file, and the page receives none of its content', async () => {
  await using scene = await sceneWith(['alice'])
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  const { sending } = await sendTo(scene, 'draft.bin', 2 * MIB)
  const card = visitor.card('draft.bin')
  await card.phase('asking')
  await card.press('Decline…')
  await card.locator.getByLabel('Why? alice reads what you write.').fill('That is the one of Monday.')
  await card.press('Decline')
  await card.phase('declined')
  const { code } = await sending.ended
  expect(code).toBe(3)
  expect(await sending.notification('failed')).toMatchObject({
    receiver: 'carol',
    problem: { code: 'declined', detail: 'That is the one of Monday.' },
  })
  expect(scene.network.count('GET', /\/v1\/inbox\/[^/]+\/parts\//)).toBe(0)
  expect(await digestsIn(visitor)).toEqual([])
})

chromiumTest('a transfer that its sender cancels is no longer offered', async () => {
  await using scene = await sceneWith(['alice'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  const { sending } = await sendTo(scene, 'wrong.bin', 300_000)
  await visitor.card('wrong.bin').phase('asking')
  const { transferId } = await sending.object((line) => line.phase === 'started')
  const cancelled = await world.run('cancel', String(transferId), '--profile', 'alice')
  expect(cancelled.code, cancelled.stderr).toBe(0)
  await visitor.card('wrong.bin').phase('withdrawn')
  await visitor.card('wrong.bin').says('The sender cancelled it.')
})

test('files are written to a chosen folder, and never over an existing file', async (context) => {
  inChromiumOnly(context, 'Firefox has no dialogue for folders')
  await using scene = await sceneWith(['alice'])
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  await visitor.inside('answerFolderDialogue', 'Incoming')
  await visitor.page.getByRole('button', { name: 'Choose a folder…' }).click()
  await visitor.page.getByText('Files go into the folder Incoming.').waitFor()
  await visitor.page.getByRole('checkbox', { name: /^Accept all files automatically/ }).check()
  const first = await sendTo(scene, 'report.bin', 300_000)
  await expectDelivered(first.sending)
  await visitor.card('report.bin').phase('received')
  await visitor.card('report.bin').says('It is in Incoming, as report.bin.')
  await visitor.card('report.bin').press('Clear')
  const second = await sendTo(scene, 'report.bin', 9 * MIB)
  await expectDelivered(second.sending)
  await visitor.card('report.bin').says('It is in Incoming, as report (1).bin.')
  const files = await visitor.inside<Record<string, string>>('ownFiles')
  expect(files['Incoming/report.bin']).toBe(first.digest)
  expect(files['Incoming/report (1).bin']).toBe(second.digest)
})

chromiumTest('two people use two browsers: one sends, the other accepts one file and declines the other', async () => {
  await using scene = await sceneWith([])
  const { world } = scene
  const [carol, dave] = await Promise.all([scene.visit('carol'), scene.visit('dave')])
  const paths = [await world.file('good.bin', 9 * MIB), await world.file('bad.bin', 1000)]
  await carol.send(paths, ['dave'])
  await dave.goTo('Receive')
  await dave.card('bad.bin').press('Decline…')
  await dave.card('bad.bin').locator.getByRole('textbox').fill('Not for me.')
  await dave.card('bad.bin').press('Decline')
  const download = await dave.download(() => dave.card('good.bin').press('Accept'))
  expect(await sha256Of(download.path)).toBe(await sha256Of(paths[0] ?? ''))
  await carol.card('good.bin').phase('ended')
  await carol.card('good.bin').says('Delivered to dave: arrived, intact, receipt verified.')
  await carol.card('bad.bin').phase('ended')
  await carol.card('bad.bin').says(/dave:.*Not for me\./)
  await carol.card('bad.bin').says('Ask dave what is wrong with it before you send it again.')
})
