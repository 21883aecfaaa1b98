/** An invite link creates an account. The browser makes its keys, and they never leave it. */
import { expect, test } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import type { World } from '../harness/world.ts'
import { eventually, sceneWith } from './visit.ts'

const PRINT = /^[a-z2-7]{4}(-[a-z2-7]{4}){5}$/

/** Creates an invite link as an operator does. */
async function printedLink(world: World, args: readonly string[], publicUrl: string): Promise<string> {
  const printed = await world.run(...args, '--data', world.dataFolder, '--public-url', publicUrl)
  expect(printed.code, printed.stderr).toBe(0)
  return printed.stdout.trim()
}

async function fingerprintOn({ page }: Visitor): Promise<string> {
  return page.locator('[data-fingerprint]').innerText()
}

/** All history entries of the tab at the portal. */
function addresses(visitor: Visitor): Promise<string[]> {
  return visitor.inside('addresses')
}

test('an invite creates an account, leaves no trace, and its keys cannot be exported', async () => {
  await using scene = await sceneWith(['alice'])
  const { world, network } = scene
  const link = await printedLink(world, ['invite', 'carol'], network.url)
  const visitor = await openVisit()
  const { page, context } = visitor
  const authorizations = new Set<string | undefined>()
  context.on('request', (request) => {
    if (request.url().includes('/v1/')) authorizations.add(request.headers().authorization)
  })
  await visitor.open(link)
  await page.getByRole('heading', { name: /^You have been invited to / }).waitFor()
  await page.getByText('Your name there will be carol.').waitFor()
  expect(await addresses(visitor)).toEqual([`${network.url}/`])
  await page.getByRole('button', { name: 'Join', exact: true }).click()
  await visitor.isMember()
  expect((await addresses(visitor)).filter((url) => /gl[it]_/.test(url))).toEqual([])

  expect(await visitor.inside('exportKeys')).toEqual([
    'Ed25519 jwk: InvalidAccessError',
    'Ed25519 pkcs8: InvalidAccessError',
    'X25519 jwk: InvalidAccessError',
    'X25519 pkcs8: InvalidAccessError',
  ])
  expect(await visitor.inside('keptElsewhere')).toEqual([0, 0, ''])
  expect(await context.cookies()).toEqual([])
  // The join request needs no token. All other requests carry it in the Authorization header only.
  const token = await visitor.inside('token')
  expect([...authorizations].sort()).toEqual([`Bearer ${token}`, undefined])

  await page.reload()
  await visitor.isMember()
  await visitor.goTo('You')
  await page.getByRole('heading', { name: 'You are carol' }).waitFor()
})

test('the fingerprint can be copied, and equals the one that others see', async () => {
  await using scene = await sceneWith(['alice'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const { page } = visitor
  await visitor.goTo('You')
  const fingerprint = await fingerprintOn(visitor)
  expect(fingerprint).toMatch(PRINT)
  await page.getByRole('button', { name: 'Copy' }).click()
  await page.getByText('Copied').waitFor()

  const sent = await world.send(await world.file('a.txt', 10), 'carol', '--no-wait').ended
  expect(sent.code, sent.stderr).toBe(0)
  const contacts = await world.run('contacts', '--profile', 'alice')
  expect(contacts.stdout).toContain('carol')
  expect(contacts.stdout).toContain(fingerprint)

  // The page shows the fingerprint of a contact in the same format.
  await visitor.goTo('Send')
  await visitor.choose([await world.file('b.txt', 10)])
  const field = page.getByLabel('To', { exact: true })
  await field.press('Control+V')
  expect(await field.inputValue()).toBe(fingerprint)
  await visitor.addReceiver('alice')
  await visitor.goTo('You')
  const whoami = await world.run('whoami', '--profile', 'alice')
  const [known = ''] = /[a-z2-7]{4}(-[a-z2-7]{4}){5}/.exec(whoami.stdout) ?? []
  await page.getByText(known, { exact: true }).waitFor()
  await page.getByText('Compare', { exact: true }).click()
  await page.getByLabel(/^The fingerprint that alice told you/).fill(known.toUpperCase())
  await page.getByText('The fingerprints match: these are the keys of alice.').waitFor()
})

chromiumTest('a used invite says what to do, and so does a text without one', async () => {
  await using scene = await sceneWith([])
  const link = await scene.link('carol')
  const first = await openVisit()
  await first.join(link)
  const second = await openVisit()
  await second.open(link)
  await second.page.getByRole('button', { name: 'Join', exact: true }).click()
  const alert = second.page.getByRole('alert')
  await alert.getByText('Invites work once, for a day. Ask the operator of the portal for a new one.').waitFor()

  const third = await openVisit()
  await third.open(scene.network.url)
  await third.page.getByLabel('Your invite').fill('let me in')
  await third.page.getByRole('button', { name: 'Continue' }).click()
  await third.page.getByText('This invite is not complete. An invite is gli_ followed by 43 characters.').waitFor()
  await third.page.getByLabel('Your invite').fill(`  Here you are: ${await scene.link('dave')}  `)
  await third.page.getByRole('button', { name: 'Continue' }).click()
  await third.page.getByRole('button', { name: 'Join', exact: true }).click()
  await third.isMember()
})

chromiumTest('an account that the operator renews comes back with the same keys', async () => {
  await using scene = await sceneWith(['alice'])
  const { world, network } = scene
  const visitor = await scene.visit('carol')
  const { page } = visitor
  await visitor.goTo('You')
  const fingerprint = await fingerprintOn(visitor)
  const before = await visitor.inside('token')
  const link = await printedLink(world, ['accounts', 'rotate', 'carol'], network.url)
  await visitor.open(link)
  await page.getByText('In this browser you are carol already.').waitFor()
  await page.getByRole('button', { name: 'Join', exact: true }).click()
  await visitor.isMember()
  await visitor.goTo('You')
  expect(await fingerprintOn(visitor)).toBe(fingerprint)
  expect(await visitor.inside('token')).not.toBe(before)
  // The new token is valid.
  await visitor.send([await world.file('a.txt', 10)], ['alice'])
  await visitor.card('a.txt').phase('stored')
})

chromiumTest('a member who opens the invite of another account can keep their own account', async () => {
  await using scene = await sceneWith([])
  const visitor = await scene.visit('carol')
  await visitor.open(await scene.link('dave'))
  // The choice that changes nothing comes first and is highlighted.
  const choices = visitor.page.getByRole('button')
  await choices.filter({ hasText: 'Join' }).waitFor()
  expect(await choices.allTextContents()).toEqual(['Stay carol', expect.stringMatching(/^Join/)])
  const [stay, join] = await visitor.inside<string[]>('buttonColours')
  expect(stay).not.toBe(join)
  await visitor.page.getByRole('button', { name: 'Stay carol' }).click()
  await visitor.isMember()
  await visitor.goTo('You')
  await visitor.page.getByRole('heading', { name: 'You are carol' }).waitFor()
})

test('a lost answer to joining is requested again, even in a tab that is opened later', async () => {
  await using scene = await sceneWith([])
  const { network } = scene
  const isJoin = ({ method, path }: { method: string; path: string }) => method === 'POST' && path === '/v1/join'
  network.rule = (seen) => (isJoin(seen) && seen.count === 1 ? { loseAnswer: true } : null)
  const carol = await openVisit()
  await carol.join(await scene.link('carol'))
  expect(network.count('POST', /\/v1\/join$/)).toBe(2)

  network.rule = (seen) => (isJoin(seen) ? { loseAnswer: true } : null)
  const link = await scene.link('dave')
  const dave = await openVisit()
  await dave.open(link)
  const asked = network.seen.length
  await dave.page.getByRole('button', { name: 'Join', exact: true }).click()
  await eventually(() => network.seen.slice(asked).filter(isJoin).length).toBeGreaterThan(1)
  await dave.page.close()
  network.rule = () => null
  const page = await dave.tab()
  await page.goto(link)
  await page.getByRole('button', { name: 'Join', exact: true }).click()
  await page.getByRole('navigation', { name: 'Views' }).waitFor()
})
