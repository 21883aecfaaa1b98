/** The page as it is served, in more tabs than one: one of them works, and only once. */
import { expect, onTestFinished, test } from 'vitest'
import { builtPage } from '../../page/built.ts'
import { browserPage } from '../../page/harness/browser.ts'
import { World } from '../harness/world.ts'

const TEST_MS = 120_000

test('one tab takes over from another and back; who stays by two clicks works once', { timeout: TEST_MS }, async () => {
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
  // From here on: the page before may have opened its own only a moment ago.
  const streams: string[] = []
  page.on('request', (request) => {
    if (request.url().includes('/v1/inbox?')) streams.push(request.url())
  })
  await page.goto(`${origin.url}/join#gli_${'x'.repeat(43)}`)
  const stay = page.getByRole('button', { name: 'Stay zoe' })
  await stay.waitFor()
  await stay.dblclick()
  await works(page)
  await expect.poll(() => streams.length, { timeout: 20_000 }).toBeGreaterThan(0)
  // By then a second one would have begun as well: the history is asked for by a later click.
  await page.getByRole('link', { name: 'History' }).click()
  await page.getByRole('heading', { name: 'History' }).first().waitFor()
  expect(streams).toHaveLength(1)
  expect(browser.complaints).toEqual([])
})
