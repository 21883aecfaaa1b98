/**
 * Hostile names, reasons and foreign web pages. None of them runs a script in the page, sends data away, or reads any.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import { expect, onTestFinished, test } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import { insideFunction, type Visitor } from '../../page/harness/visitor.ts'
import type { World } from '../harness/world.ts'
import { eventually, sceneWith, transfersOf } from './visit.ts'

const MARKUP = '<img src=x onerror="ran=1">'
/** A browser shows it as `annexe.txt`, because the third character reverses the direction. */
const TURNED = 'ann\u202etxt.exe'

/** No text has become markup, and no script ran. */
async function expectInert(visitor: Visitor): Promise<void> {
  const made = visitor.page.locator('main img[src], main script, main iframe, main [onerror], a[href^="javascript:"]')
  expect(await made.count()).toBe(0)
  expect(await visitor.inside('ranMarkup')).toBe(false)
}

/** A page of another origin, in the browser of a member. */
async function otherPage({ context }: Visitor, html: string, host = '127.0.0.1'): Promise<Page> {
  const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end(html))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const page = await context.newPage()
  await page.goto(`http://${host}:${(server.address() as AddressInfo).port}/`)
  return page
}

test('markup and direction characters in a file name are shown as text, and a download has a harmless name', async () => {
  await using scene = await sceneWith(['alice'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  const sent = [MARKUP, TURNED].map(async (name) => world.send(await world.file(name, 10), 'carol'))
  const sendings = await Promise.all(sent)
  const cards = visitor.page.getByRole('article')
  await eventually(() => cards.count()).toBe(2)
  await expectInert(visitor)
  const texts = (await cards.allInnerTexts()).join('\n')
  expect(texts).toContain('<img src=x onerror="ran=1">')
  // Characters that change the text direction are removed or made visible.
  expect(texts).not.toContain('\u202e')

  for (const part of ['img src', 'ann']) {
    const accept = cards.filter({ hasText: part }).getByRole('button', { name: 'Accept' })
    const { name } = await visitor.download(() => accept.click())
    expect(name).not.toMatch(/[<>:"|?*\u202e/\\]/)
  }
  for (const sending of sendings) expect((await sending.ended).code).toBe(0)
  await visitor.goTo('History')
  await visitor.page.getByRole('link', { name: /img src/ }).click()
  await visitor.page.getByRole('heading', { name: /img src/ }).waitFor()
  await expectInert(visitor)
})

/** Declines everything that is offered to an account, with a problem of its own making. */
async function refuseWith(world: World, name: string, problem: object): Promise<void> {
  const client = await world.client(name)
  for await (const event of client.watchInbox({ instanceId: 'hostile-instance', window: 1 })) {
    if (event.type !== 'offer') continue
    const { transferId, leaseId } = event.offer
    await client.disposition(transferId, { leaseId, disposition: 'refused', problem: problem as never })
    return
  }
}

test('markup in the reason of a receiver is shown as text, whichever program sent it', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const [carol, dave] = await Promise.all([scene.visit('carol'), scene.visit('dave')])
  const refusing = refuseWith(world, 'bob', {
    type: 'about:blank',
    title: MARKUP,
    status: 403,
    code: 'a-code-of-its-own',
    detail: `</p>${MARKUP}\u202e`,
    receivers: [MARKUP, 'javascript:ran=1'],
  })
  await carol.send([await world.file('a.txt', 10)], ['bob', 'dave'])
  await refusing
  await dave.goTo('Receive')
  await dave.card('a.txt').press('Decline…')
  await dave.card('a.txt').locator.getByRole('textbox').fill(MARKUP)
  await dave.card('a.txt').press('Decline')
  const card = carol.card('a.txt')
  await card.phase('ended')
  const text = await card.text()
  expect(text).toMatch(/bob: <img src=x onerror="ran=1">/)
  expect(text).toMatch(/dave: .*<img src=x onerror="ran=1">/)
  expect(text).not.toContain('\u202e')
  await expectInert(carol)
  await card.locator.getByRole('link', { name: /^Timeline/ }).click()
  await carol.page.getByText('Not delivered to bob').waitFor()
  await expectInert(carol)
})

chromiumTest('the transfers of another account are invisible, even to a client that knows their ids', async () => {
  await using scene = await sceneWith(['bob'])
  const [carol, dave] = await Promise.all([scene.visit('carol'), scene.visit('dave')])
  await carol.send([await scene.world.file('secret plan.txt', 10)], ['bob'])
  await carol.card('secret plan.txt').phase('stored')
  const [transfer] = await transfersOf(carol)
  const { page } = dave
  for (const way of ['sent', 'received']) {
    await page.goto(`${scene.network.url}/#history/${way}/${transfer?.transferId}`)
    await page
      .getByRole('status')
      .getByText(/^The portal does not remember it/)
      .waitFor()
    expect(await page.locator('main').innerText()).not.toContain('plan')
  }
  await dave.goTo('History')
  await page.getByText('Nothing sent or received yet.').waitFor()
})

test('the security policy allows only resources of the portal', async () => {
  await using scene = await sceneWith([])
  const answer = await fetch(`${scene.network.url}/`)
  const policy = answer.headers.get('content-security-policy') ?? ''
  expect(policy).not.toContain('unsafe')
  expect(policy).not.toMatch(/\*|https?:|data:|blob:/)
  for (const directive of ["default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"]) {
    expect(policy.split('; ')).toContain(directive)
  }
  expect(await answer.text()).not.toMatch(/<script(?![^>]* src=)|<style|style=| on\w+=/)
})

test('the page cannot be framed', async () => {
  await using scene = await sceneWith([])
  const visitor = await scene.visit('carol')
  const page = await otherPage(visitor, `<iframe src="${scene.network.url}/"></iframe>`)
  const frame = page.frames().find((one) => one !== page.mainFrame())
  await eventually(() => frame?.url()).toMatch(/^chrome-error:|^about:neterror\?e=cspBlocked&/)
})

test.each(['127.0.0.1', 'localhost'])(
  'a page of another origin at %s gets nothing out of the portal, and does nothing there',
  async (host) => {
    await using scene = await sceneWith(['bob'])
    const { world, network } = scene
    const token = await world.token('bob')
    const visitor = await scene.visit('carol')
    await visitor.page.close()
    const form = `<form action="${network.url}/v1/join" method="post" enctype="text/plain"><input name="{" value="}"></form>`
    const page = await otherPage(visitor, form, host)
    const inside = async (name: string, arg: unknown) => page.evaluate(await insideFunction(name), arg)
    const answers: string[] = []
    page.on('response', (answer) => {
      if (answer.url().startsWith(network.url)) answers.push(`${answer.request().method()} ${answer.status()}`)
    })
    const url = `${network.url}/v1/transfers`
    const ask = (init: object) => inside('ask', { url, init })
    const asked = network.seen.length
    expect(await ask({})).toBe('TypeError')
    expect(await ask({ credentials: 'include' })).toBe('TypeError')
    // The foreign page cannot know the token. Even with it, the browser's preflight request fails.
    expect(await ask({ headers: { authorization: `Bearer ${token}` } })).toBe('TypeError')
    expect(await ask({ method: 'DELETE' })).toBe('TypeError')
    expect(await ask({ mode: 'no-cors' })).toMatch(/^opaque 0 $|^TypeError$/)
    expect(await inside('isImage', `${network.url}/v1/limits`)).toBe(false)
    const posted = page.waitForEvent('response', (answer) => answer.request().method() === 'POST')
    await inside('submitForm', null)
    expect((await posted).status()).toBe(403)
    // Every request reached the portal, which refused it.
    expect(new Set(network.seen.slice(asked).map(({ method }) => method))).toEqual(new Set(['GET', 'OPTIONS', 'POST']))
    expect(answers.filter((one) => !/ 40[0-9]$/.test(one))).toEqual([])
  },
)
