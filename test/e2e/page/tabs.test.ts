/** One tab at a time is active, because two would send and receive the same files. */
import { expect, test } from 'vitest'
import { eventually, sceneWith } from './visit.ts'

test('a second tab offers to take over, and the first one then stops', async () => {
  await using scene = await sceneWith(['alice'])
  const { world, network } = scene
  const visitor = await scene.visit('carol')
  const inboxes = () => network.count('GET', /\/v1\/inbox$/)
  await eventually(inboxes).toBe(1)
  const second = await visitor.tab()
  await second.goto(network.url)
  await second.getByRole('heading', { name: 'GoLooader is open in another tab' }).waitFor()
  // The second tab does nothing by itself.
  expect(inboxes()).toBe(1)
  await second.getByRole('button', { name: 'Use this tab instead' }).click()
  await second.getByRole('navigation', { name: 'Views' }).waitFor()
  await visitor.page.getByRole('heading', { name: 'GoLooader is open in another tab' }).waitFor()

  // Only the second tab gets offers, and only the second tab publishes files.
  await second.getByRole('link', { name: /^Receive/ }).click()
  const sending = world.send(await world.file('a.txt', 10), 'carol')
  const card = second.getByRole('article', { name: 'a.txt' })
  await card.getByRole('button', { name: 'Accept' }).click()
  expect((await sending.ended).code).toBe(0)
  expect(inboxes()).toBe(2)

  // The first tab takes over again.
  await visitor.page.getByRole('button', { name: 'Use this tab instead' }).click()
  await visitor.isMember()
  await second.getByRole('heading', { name: 'GoLooader is open in another tab' }).waitFor()
  await second.close()
  await visitor.send([await world.file('b.txt', 10)], ['alice'])
  await visitor.card('b.txt').phase('stored')
})

test('when a tab is closed, the next one can become active', async () => {
  await using scene = await sceneWith([])
  const visitor = await scene.visit('carol')
  const second = await visitor.tab()
  await visitor.page.close()
  await second.goto(scene.network.url)
  await second.getByRole('navigation', { name: 'Views' }).waitFor()
})
