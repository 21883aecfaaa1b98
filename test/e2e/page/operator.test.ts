/** Operators see the health of the portal. Other members neither see it nor request it. */
import { expect, test } from 'vitest'
import { until } from '../harness/world.ts'
import { eventually, MIB, sceneWith } from './visit.ts'

const OPERATIONS = /\/v1\/operations$/

test('an operator sees correct figures, and others have no view of the portal', async () => {
  await using scene = await sceneWith(['alice', 'bob', 'dave'], ['--guests'])
  const { world, network } = scene
  const request = await world.run('request', '--from-anybody', '--profile', 'alice')
  expect(request.code, request.stderr).toBe(0)
  await world.receiver('bob')
  const delivered = await world.send(await world.file('a.bin', MIB), 'bob', '--plain').ended
  expect(delivered.code, delivered.stderr).toBe(0)
  const stored = await world.send(await world.file('b.bin', 3 * MIB), 'dave', '--plain', '--no-wait').ended
  expect(stored.code, stored.stderr).toBe(0)
  const dave = await world.receiver('dave', ['--from', 'bob'])
  await dave.object(({ type }) => type === 'refused')
  await dave.stop()
  const waiting = await world.send(await world.file('c.bin', 2 * MIB), 'dave', '--plain', '--no-wait').ended
  expect(waiting.code, waiting.stderr).toBe(0)

  const visitor = await scene.visit('carol')
  const { page } = visitor
  const views = page.getByRole('navigation', { name: 'Views' })
  // The page opens its inbox once it knows its account and whether that is an operator.
  await eventually(() => network.count('GET', /\/v1\/inbox(\?|$)/)).toBeGreaterThan(0)
  expect(await views.getByRole('link').allInnerTexts()).not.toContain('Portal')
  await page.goto(`${network.url}/#portal`)
  await page.getByRole('heading', { name: 'Send' }).waitFor({ state: 'attached' })
  expect(network.count('GET', OPERATIONS)).toBe(0)

  const marked = await world.run('accounts', 'operator', 'carol', '--data', world.dataFolder)
  expect(marked.code, marked.stderr).toBe(0)
  await page.reload()
  await visitor.goTo('Portal')
  const region = (name: string) => page.getByRole('region', { name, exact: true })
  const transfers = () => region('Transfers').innerText()
  const figure = (text: string, state: string) => Number(new RegExp(`${state}\\s+(\\d+)`).exec(text)?.[1])
  await region('Transfers').waitFor()
  await until(async () => figure(await transfers(), 'stored') === 1, 'the figures are those of now')
  expect(figure(await transfers(), 'ended')).toBe(2)
  const deliveries = await region('Deliveries').innerText()
  expect(['waiting', 'delivered', 'failed'].map((state) => figure(deliveries, state))).toEqual([1, 1, 1])
  const webhooks = await region('Webhooks').innerText()
  expect(['active', 'failing', 'disabled', 'messages waiting'].map((state) => figure(webhooks, state))).toEqual([
    0, 0, 0, 0,
  ])
  const guests = await region('Guests').innerText()
  expect(['receiving', 'sending', 'open requests'].map((state) => figure(guests, state))).toEqual([0, 0, 1])
  expect(await region('Storage').innerText()).toContain('2.0 MiB')
  expect(await region('Throughput').innerText()).toMatch(/6\.0 MiB stored.*1\.0 MiB delivered/s)
  const online = () => region('Receivers online').innerText()
  await eventually(online).toContain('Receivers online: 2')
  for (const name of ['bob', 'carol']) expect(await online()).toContain(name)
  const problems = await region('Recent problems').innerText()
  expect(problems).toMatch(/alice\s+dave\s+.*sender-not-accepted/)
  // The names of files are hidden from operators, too.
  expect(await page.locator('main').innerText()).not.toMatch(/[abc]\.bin/)
})
