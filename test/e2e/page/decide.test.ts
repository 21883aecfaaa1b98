/** The user decides in the page. No content of a file is transferred before that. */
import { expect, test } from 'vitest'
import { until } from '../harness/world.ts'
import { holdBackAfter, MIB, startSending } from '../second-hop/scene.ts'
import { scene } from './scene.ts'

const NAME = 'a.bin'

test('the sender reads the reason of a declined file, and no content is transferred', async () => {
  const { world, network, page } = await scene()
  await page.open({ isAsking: true })
  const { transferId, sending } = await startSending(world, NAME, 2)
  expect(await page.event('asking')).toMatchObject({ transferId, from: 'alice', name: NAME, sizeBytes: 2 * MIB })
  await page.decide(transferId, { refuse: 'Not this one, please.\n<b>Thanks</b>' })
  const { code, stdout } = await sending.ended
  expect(code).not.toBe(0)
  const failed = sending.json.find(({ notification }) => notification === 'failed')
  expect(failed, stdout).toMatchObject({
    problem: {
      code: 'declined',
      status: 403,
      title: 'The receiver declined the file',
      detail: 'Not this one, please.\n<b>Thanks</b>',
    },
  })
  expect(await page.event('refused')).toMatchObject({ transferId })
  expect(network.count('GET', /\/parts\//)).toBe(0)
})

test('a small file is not sent along with its offer where a person decides', async () => {
  const { world, page } = await scene()
  await page.open({ isAsking: true })
  const sending = world.send(await world.file(NAME, 1_000), 'bob')
  const { transferId } = await page.event('asking')
  expect(await page.run('stagedFiles')).toEqual([])
  await page.decide(transferId, 'accept')
  expect((await sending.ended).code).toBe(0)
  expect(await page.kept()).toHaveLength(1)
})

test('the command line prints the reason in plain words', async () => {
  const { world, page } = await scene()
  await page.open({ isAsking: true })
  const path = await world.file(NAME, 1_000)
  const sending = world.start(['send', path, '--to', 'bob', '--profile', 'alice'])
  const { transferId } = await page.event('asking')
  await page.decide(transferId, { refuse: 'too late' })
  const { stdout, stderr } = await sending.ended
  expect(stdout + stderr).toMatch(/declined.*too late/)
})

test('the offer stays open while the person decides, longer than a lease', async () => {
  const { world, network, page } = await scene(['--lease', '1s'])
  await page.open({ isAsking: true })
  const { transferId, sending } = await startSending(world, NAME, 2)
  await page.event('asking')
  await until(() => network.count('GET', new RegExp(`/inbox/${transferId}$`)) > 6, 'the lease was renewed')
  await page.decide(transferId, 'accept')
  expect((await sending.ended).code).toBe(0)
  const events = await page.run<{ type: string; isStored: boolean }[]>('happened')
  // The page notifies again once the portal has the whole file, and stays silent at lease renewals.
  const told = events.filter(({ type }) => type === 'asking').map(({ isStored }) => isStored)
  expect(told).toEqual([...new Set(told)])
})

test('an offer that the sender cancels is withdrawn', async () => {
  const { world, page } = await scene()
  await page.open({ isAsking: true })
  const { transferId, sending } = await startSending(world, NAME, 2)
  await page.event('asking')
  await sending.notification('stored')
  await (await world.client('alice')).cancel(transferId)
  expect(await page.event('withdrawn')).toMatchObject({ transferId, problem: { code: 'cancelled' } })
})

test('after a reload the person is asked again about files that have not started, and not about others', async () => {
  const { world, network, page } = await scene()
  await page.open({ isAsking: true })
  const first = await startSending(world, NAME, 2)
  await page.event('asking')
  const serveTheRest = holdBackAfter(network, 1)
  await page.decide(first.transferId, 'accept')
  await page.event('fetching', ({ heldBytes }) => heldBytes === MIB)
  const second = await startSending(world, 'b.bin', 2)
  await page.event('asking', ({ transferId }) => transferId === second.transferId)
  await page.reload({ isAsking: true })
  serveTheRest()
  expect((await first.sending.ended).code).toBe(0)
  await page.event('asking', ({ transferId }) => transferId === second.transferId)
  await page.decide(second.transferId, 'accept')
  expect((await second.sending.ended).code).toBe(0)
  const asked = (await page.run<{ type: string; transferId?: string }[]>('happened')).filter(
    ({ type }) => type === 'asking',
  )
  expect(asked.map(({ transferId }) => transferId)).toEqual([second.transferId])
})
