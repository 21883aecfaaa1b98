/** Many files form one readable list, and the keyboard focus stays in place. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { eventually, MIB, PART_BYTES, type Scene, sceneWith, sentPart } from './visit.ts'

const FILES_COUNT = 200
/** The number of lines in a folded list. */
const HEIGHT_PX_MAX = 3_000
/** The time limit for all files on a busy machine. */
const MANY_MS_MAX = 300_000

async function manyFiles({ world }: Scene, count: number): Promise<string[]> {
  await mkdir(world.path('files'), { recursive: true })
  const paths = Array.from({ length: count }, (_, index) => world.path('files', `photo ${index + 1}.jpg`))
  for (const path of paths) await writeFile(path, `content of ${path}`)
  return paths
}

const heightPx = ({ page }: Visitor) => page.evaluate('document.documentElement.scrollHeight') as Promise<number>
/** The elements that are wider than the window, by their text. */
const wide = ({ page }: Visitor) =>
  page.evaluate(
    `[...document.body.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
      .map((one) => one.tagName + '.' + one.className).join(', ')`,
  )
const focusedText = async (visitor: Visitor) => (await visitor.inside<{ text: string }>('focused')).text

chromiumTest('200 files are one list: a total, failed files in view, finished files folded', async () => {
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  await world.receiver('bob')
  const visitor = await scene.visit('carol')
  const { page } = visitor
  const paths = await manyFiles(scene, FILES_COUNT)
  const large = await world.file('large.bin', PART_BYTES)
  network.rule = (seen) => (sentPart(seen) === null ? null : { heldUntil: new Promise(() => {}) })
  await visitor.send([large, ...paths], ['bob'])
  const total = page.locator('[data-total]')
  await expect
    .poll(() => total.innerText(), { timeout: MANY_MS_MAX })
    .toMatch(/^201 files, 8\.0 MiB: 1 uploading, 200 delivered or cancelled$/)
  // Active files are cards, finished ones are folded.
  await visitor.card('large.bin').phase('sending')
  expect(await page.getByRole('article').count()).toBe(1)
  expect(await heightPx(visitor)).toBeLessThan(HEIGHT_PX_MAX)
  await page.getByText('200 delivered or cancelled', { exact: true }).click()
  await page.getByRole('link', { name: 'photo 200.jpg' }).waitFor()
  expect((await world.received('bob')).length).toBe(FILES_COUNT)
})

chromiumTest(
  'among many files the failed ones are in view with their reason, and can be sent again together',
  async () => {
    await using scene = await sceneWith(['bob'])
    const { world } = scene
    const bob = await world.receiver('bob', ['--from', 'dave'])
    const visitor = await scene.visit('carol')
    await visitor.send(await manyFiles(scene, 12), ['bob'])
    const total = visitor.page.locator('[data-total]')
    await eventually(() => total.innerText()).toMatch(/: 12 failed$/)
    expect(await visitor.page.getByRole('article').count()).toBe(10)
    await visitor.card('photo 12.jpg').says('bob accepts files from chosen senders only. Ask to be added.')
    bob.child.kill('SIGTERM')
    await bob.ended
    await world.receiver('bob')
    await visitor.page.getByRole('button', { name: 'Send 12 failed files again' }).click()
    await eventually(() => total.innerText()).toMatch(/: 12 delivered or cancelled$/)
    expect((await world.received('bob')).length).toBe(12)
  },
)

chromiumTest('many incoming files are one list, and one notice counts those that are kept here', async () => {
  await using scene = await sceneWith(['alice'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const { page } = visitor
  await visitor.goTo('Receive')
  const paths = await manyFiles(scene, 12)
  const sending = world.run('send', ...paths, '--to', 'carol', '--profile', 'alice')
  await page.getByRole('button', { name: /^Accept all 12 / }).click()
  const { code, stderr } = await sending
  expect(code, stderr).toBe(0)
  await eventually(() => page.locator('[data-total]').innerText()).toMatch(/: 12 received or declined$/)
  const bar = page.getByRole('region', { name: 'Kept in this browser' })
  await bar.getByText('12 files', { exact: true }).waitFor()
  expect(await heightPx(visitor)).toBeLessThan(HEIGHT_PX_MAX)
  await bar.getByRole('button', { name: 'I have all 12, remove them here' }).click()
  await bar.waitFor({ state: 'detached' })
})

test('after joining, sending and clearing, the focus stays near the last action', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  await world.receiver('bob')
  const visitor = await openVisit()
  const { page } = visitor
  await visitor.open(await scene.link('carol'))
  await page.getByRole('button', { name: 'Join', exact: true }).press('Enter')
  await visitor.isMember()
  await eventually(() => focusedText(visitor)).toMatch(/Choose files…/)
  expect(await page.evaluate('document.activeElement.id')).toBe('main')

  await visitor.choose([await world.file('one.bin', 10), await world.file('two.bin', 10)])
  await visitor.addReceiver('bob')
  await page.getByRole('button', { name: 'Send 2 files to bob' }).press('Enter')
  await eventually(() => focusedText(visitor)).toMatch(/^(In progress|Sent)$/)
  for (const name of ['one.bin', 'two.bin']) await visitor.card(name).phase('ended')
  await visitor
    .card('two.bin')
    .locator.getByRole('button', { name: /^Clear/ })
    .press('Enter')
  await visitor.card('two.bin').locator.waitFor({ state: 'detached' })
  await eventually(() => focusedText(visitor)).toMatch(/^one\.bin/)
  await visitor
    .card('one.bin')
    .locator.getByRole('button', { name: /^Clear/ })
    .press('Enter')
  await eventually(() => page.evaluate('document.activeElement.id')).toBe('main')
})

test('on a phone nothing says "drop", and at 200 % the page fits with a name of 56 letters', async () => {
  const name = 'long'.repeat(14)
  await using scene = await sceneWith([name])
  const { world } = scene
  const phone = await scene.visit('carol', { viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true })
  expect(await phone.page.locator('body').innerText()).not.toMatch(/drop/i)
  await phone.page.getByText('Choose what to send').waitFor()
  // At 200 % zoom a window of 1280 pixels shows 640 CSS pixels, and a phone about 190.
  const visitor = await scene.visit('d'.repeat(56), { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 })
  expect(await visitor.page.locator('body').innerText()).toMatch(/Drop files/)
  await visitor.choose([await world.file(`${'n'.repeat(56)}.bin`, MIB)])
  await visitor.addReceiver(name)
  for (const width of [640, 320, 190]) {
    await visitor.page.setViewportSize({ width, height: 400 })
    const { shown, room } = await visitor.inside<{ shown: number; room: number }>('widths')
    expect(room).toBe(width)
    expect(shown, `${width} pixels: ${await wide(visitor)}`).toBeLessThanOrEqual(room)
  }
  await visitor.page.setViewportSize({ width: 320, height: 400 })
  await visitor.pressSend()
  await visitor.card(`${'n'.repeat(56)}.bin`).phase('stored')
  const { shown } = await visitor.inside<{ shown: number }>('widths')
  expect(shown).toBeLessThanOrEqual(320)
})

chromiumTest('a failure of this browser is not attributed to the portal', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const path = join(world.path('files'), 'changing.bin')
  await mkdir(world.path('files'), { recursive: true })
  await writeFile(path, 'before')
  await visitor.choose([path])
  await visitor.addReceiver('bob')
  await writeFile(path, 'after that it is another one')
  await visitor.pressSend()
  const card = visitor.card('changing.bin')
  await card.phase('refused')
  await card.says(/^This browser: /)
  expect(await card.text()).not.toContain('Portal:')
})

chromiumTest('a browser whose account was revoked says so, and does not claim to retry', async () => {
  await using scene = await sceneWith([])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const revoked = await world.run('accounts', 'revoke', 'carol', '--data', world.dataFolder)
  expect(revoked.code, revoked.stderr).toBe(0)
  const head = visitor.page.getByRole('banner')
  await head.getByText('the portal no longer accepts this browser').waitFor()
  expect(await head.innerText()).not.toContain('trying again')
})

test('a device that is offline says so once, for all waiting files', async () => {
  await using scene = await sceneWith(['bob'])
  const visitor = await scene.visit('carol')
  await visitor.context.setOffline(true)
  await visitor.page.getByText('this device is offline').waitFor()
  await visitor.choose([await scene.world.file('a.bin', 10), await scene.world.file('b.bin', 10)])
  await visitor.page.getByLabel('To', { exact: true }).waitFor()
  await visitor.context.setOffline(false)
  await visitor.addReceiver('bob')
  await visitor.context.setOffline(true)
  await visitor.pressSend()
  for (const name of ['a.bin', 'b.bin']) await visitor.card(name).says('Waiting until this device is online again.')
  expect((await visitor.page.locator('body').innerText()).match(/offline/g)).toHaveLength(1)
  expect(await visitor.page.locator('body').innerText()).not.toContain('The portal does not answer')
  await visitor.context.setOffline(false)
  for (const name of ['a.bin', 'b.bin']) await visitor.card(name).phase('stored')
})
