/** A receiver with a limited rate bounds what comes with offers, at portals that can do that. */
import { basename } from 'node:path'
import { expect, test } from 'vitest'
import type { Limits } from '../../../src/protocol/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'

test.each([
  ['a portal of today is asked for little content with offers', true, /&content=inline&contentBytes=\d+/],
  ['an older portal is asked for none', false, /^(?!.*content)/],
])('%s', async (_, isKnown, question) => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { bob: network })
  const answer = await fetch(`${world.portalUrl}/v1/limits`)
  const { offerContentBytes, ...older } = (await answer.json()) as Limits
  expect(offerContentBytes).toBe(true)
  const body = JSON.stringify(older)
  network.rule = ({ path }) => (path.endsWith('/v1/limits') && !isKnown ? { answer: { status: 200, body } } : null)
  const receiving = await world.receiver('bob', ['--limit-rate', '256KiB'])
  const path = await world.file('small.txt', 3000)
  expect(await world.send(path, 'bob').ended).toMatchObject({ code: 0 })
  await until(() => receiving.json.some(({ type }) => type === 'received'), 'it is there')
  expect(await sha256Of(`${world.inbox('bob')}/${basename(path)}`)).toBe(await sha256Of(path))
  const questions = network.seen.filter(({ path: asked }) => asked.endsWith('/v1/inbox')).map(({ query }) => query)
  expect(questions.length).toBeGreaterThan(0)
  for (const one of questions) expect(one).toMatch(question)
})
