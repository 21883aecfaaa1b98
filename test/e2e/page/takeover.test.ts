/** The real page in several tabs. Exactly one tab is active. */
import { expect, onTestFinished, test } from 'vitest'
import { builtPage } from '../../page/built.ts'
import { browserPage } from '../../page/harness/browser.ts'
import { World } from '../harness/world.ts'

test('one tab takes over from another and back; two clicks on the button work once', async () => {
  await builtPage()
  const world = await World.create()
  await world.portal()
  const invited = await world.run('invite', 'zoe', '--data', world.dataFolder)
  const invite = /gli_[A-Za-z0-9_-]{43}/.exec(invited.stdout)?.[0]
  const browser = await browserPage({ portalUrl: world.portalUrl })
  onTestFinished(() => browser.close())
  const { page, origin } = browser
  await page.goto(`${origin.url}/join#${invite}`)
  expect(page.url()).toBe(`${origin.url}/`)
  await page.getByRole('button', { name: 'Join' }).click()
  const works = (tab: typeof page) => tab.getByRole('link', { name: 'Receive' }).waitFor()
  await works(page)

  const other = await browser.context.newPage()
  onTestFinished(() => other.close())
  await other.goto(`${origin.url}/`)
  for (const [tab, old] of [
    [other, page],
    [page, other],
  ] as const) {
    await tab.getByRole('button', { name: 'Use this tab' }).click()
    await works(tab)
    await old.getByRole('button', { name: 'Use this tab' }).waitFor()
  }

  await page.goto('about:blank')
  // The count starts here, because the previous page may have opened its stream a moment ago.
  const streams: string[] = []
  page.on('request', (request) => {
    if (request.url().includes('/v1/inbox?')) streams.push(request.url())
  })
  await page.goto(`${origin.url}/join#gli_${'x'.repeat(43)}`)
  const stay = page.getByRole('button', { name: 'Stay zoe' })
  await stay.waitFor()
  await stay.dblclick()
  await works(page)
  await expect.poll(() => streams.length, { timeout: 90_000 }).toBeGreaterThan(0)
  // A second stream would have started by now: a later click has already requested the history.
  await page.getByRole('link', { name: 'History' }).click()
  await page.getByRole('heading', { name: 'History' }).first().waitFor()
  expect(streams).toHaveLength(1)
  // The portal rejects the made-up invite, and the browser logs the 404.
  expect(browser.complaints.filter((text) => !/\b404\b/.test(text))).toEqual([])
})
