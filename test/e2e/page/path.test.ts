/** A portal under a path of its origin, behind a reverse proxy that also serves other sites. */
import { expect, test } from 'vitest'
import { Origin } from '../../page/harness/origin.ts'
import { openVisit } from '../../page/harness/visitor.ts'
import { sceneWith } from './visit.ts'

test('the page works under a path: people join, send and receive there, and nothing outside of it is requested', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const bob = await world.receiver('bob')
  const origin = await Origin.open(world.portalUrl, '/gl')
  try {
    const visitor = await openVisit()
    const link = new URL(await scene.link('carol'))
    await visitor.join(`${origin.url}/join${link.hash}`)
    expect(visitor.page.url()).toBe(`${origin.url}/`)
    await visitor.send([await world.file('a.txt', 1_000)], ['bob'])
    await bob.object(({ type }) => type === 'received')
    await visitor.page.reload()
    await visitor.goTo('History')
    await visitor.page.getByRole('link', { name: /a\.txt.*to bob/ }).waitFor()
    for (const address of visitor.asked) expect(address.startsWith(`${origin.url}/`), address).toBe(true)
  } finally {
    await origin.close()
  }
})
