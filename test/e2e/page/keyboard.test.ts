/** Every function works by keyboard, and the focus is always visible. */
import type { FileChooser, Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { inChromiumOnly } from '../../page/harness/engine.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { expectArrived, sceneWith } from './visit.ts'

/** More than the number of focusable elements on the page. */
const TABS_MAX = 60

/** Presses Tab until the expected element has the focus. The focus is visible at every step. */
async function tabTo(visitor: Visitor, wanted: RegExp): Promise<void> {
  const passed: string[] = []
  for (let times = 0; times < TABS_MAX; times++) {
    await visitor.page.keyboard.press('Tab')
    const { text, isSeen } = await visitor.inside<{ text: string; isSeen: boolean }>('focused')
    // After the last element the browser itself gets the focus.
    if (text === '') continue
    expect(isSeen, `the focus on "${text}"`).toBe(true)
    if (wanted.test(text)) return
    passed.push(text)
  }
  throw new Error(`no way by Tab to ${wanted}, but to ${passed.join(', ')}`)
}

async function press(page: Page, ...keys: readonly string[]): Promise<void> {
  for (const key of keys) await page.keyboard.press(key)
}

/**
 * Opens the dialogue for files. It is awaited before the keys are pressed: Playwright begins to intercept dialogues then, without waiting
 * until the browser does.
 */
async function chooserByKeys(visitor: Visitor): Promise<FileChooser> {
  const opening = visitor.page.waitForEvent('filechooser')
  await tabTo(visitor, /^Choose files/)
  await press(visitor.page, 'Enter')
  return opening
}

test('joining, sending and receiving work by keyboard alone', async (context) => {
  inChromiumOnly(context, 'by WebDriver BiDi the focus does not come back from the window of Firefox to its page')
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  await world.receiver('bob')
  const visitor = await openVisit()
  const { page } = visitor
  await visitor.open(await scene.link('carol'))
  await page.getByRole('button', { name: 'Join', exact: true }).waitFor()
  await tabTo(visitor, /^Join$/)
  await press(page, 'Enter')
  await visitor.isMember()

  const path = await world.file('plan.bin', 300_000)
  const chooser = await chooserByKeys(visitor)
  await chooser.setFiles(path)
  await page.getByLabel('To', { exact: true }).waitFor()
  await tabTo(visitor, /^to$/)
  await page.keyboard.type('bob')
  await press(page, 'Enter')
  await page.getByRole('button', { name: 'Send it to bob' }).waitFor()
  await tabTo(visitor, /^Send it to bob/)
  await press(page, 'Enter')
  await visitor.card('plan.bin').phase('ended')
  await expectArrived(world, 'bob', 'plan.bin', path)

  const sendings = []
  for (const name of ['one.bin', 'two.bin']) sendings.push(world.send(await world.file(name, 10), 'carol'))
  await page.getByRole('link', { name: 'Receive 2 waiting for you' }).waitFor()
  await tabTo(visitor, /^Receive/)
  await press(page, 'Enter')
  await visitor.card('one.bin').phase('asking')
  await visitor.card('two.bin').phase('asking')
  await tabTo(visitor, /^Decline….*one\.bin/s)
  await press(page, 'Enter')
  await tabTo(visitor, /^why-/)
  await page.keyboard.type('No, thank you.')
  await press(page, 'Enter')
  await visitor.card('one.bin').phase('declined')
  await tabTo(visitor, /^Accept.*two\.bin/s)
  await press(page, 'Enter')
  await visitor.card('two.bin').phase('received')
  expect(await Promise.all(sendings.map(async ({ ended }) => (await ended).code))).toEqual([3, 0])

  // The back button works, and a link skips the tabs.
  await page.goBack()
  await page.getByRole('heading', { name: 'Send' }).waitFor({ state: 'attached' })
  await page.reload()
  await visitor.isMember()
  await tabTo(visitor, /^Skip to the content/)
  await press(page, 'Enter')
  await tabTo(visitor, /./)
  expect((await visitor.inside<{ text: string }>('focused')).text).toMatch(/^Choose files/)
})
