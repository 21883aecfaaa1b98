/**
 * A proxy passes each response on only when it has ended. Event streams never start, and the page works without them.
 */
import { expect, test } from 'vitest'
import { sha256Of } from '../harness/world.ts'
import { eventually, expectArrived, MIB, sceneWith } from './visit.ts'

test('behind a proxy that delays streams the page says so once, sends, and receives', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, network } = scene
  network.rule = () => ({ holdAnswer: true })
  await world.receiver('bob')
  const visitor = await scene.visit('carol')
  const { page } = visitor
  await page.getByRole('banner').getByText('a proxy delays messages from the portal').waitFor()

  const out = await world.file('out.bin', 9 * MIB)
  await visitor.send([out], ['bob'])
  await visitor.card('out.bin').phase('ended')
  await visitor.card('out.bin').says('Delivered to bob: arrived, intact, receipt verified.')
  await expectArrived(world, 'bob', 'out.bin', out)

  await visitor.goTo('Receive')
  const incoming = await world.file('in.bin', 9 * MIB)
  const sending = world.send(incoming, 'carol')
  await visitor.card('in.bin').phase('asking')
  const { path } = await visitor.download(() => visitor.card('in.bin').press('Accept'))
  expect(await sha256Of(path)).toBe(await sha256Of(incoming))
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  await eventually(() => page.getByText(/delays messages/).count()).toBe(1)
})
