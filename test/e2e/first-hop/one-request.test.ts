/** A small file is uploaded in one request. After any failure of that request the file is delivered once. */
import { expect, test } from 'vitest'
import type { Seen } from '../harness/proxy.ts'
import { until } from '../harness/world.ts'
import { deliveredOnce } from './delivered-once.ts'
import { isComplete, partsSent } from './requests.ts'
import { aliceBehindNetwork } from './scene.ts'

const PATIENT = ['--answer-timeout', '40s'] as const
const SIZE_BYTES = 100_000

const isWhole = ({ method, path }: Seen): boolean => method === 'PUT' && path.endsWith('/whole')

/** A portal, alice behind a faulty network, and a small file. */
async function scene() {
  const all = await aliceBehindNetwork()
  return { ...all, path: await all.world.file('report.bin', SIZE_BYTES) }
}

test('a small file is uploaded in one request', async () => {
  const { world, network, path } = await scene()
  await world.receiver('bob')
  await deliveredOnce(world, world.send(path, 'bob'), path)
  const ups = network.seen.filter(({ method }) => method !== 'GET')
  expect(ups.map(({ method, path: one }) => `${method} ${one.replace(/[0-9a-f-]{36}/, 'ID')}`)).toEqual([
    'PUT /v1/transfers/ID/whole',
  ])
})

test('an answer that is lost on a kept connection is requested again by the same request: there is one transfer', async () => {
  const { world, network, path } = await scene()
  await world.receiver('bob')
  network.rule = (seen) => (isWhole(seen) && seen.count === 1 ? { loseAnswer: true } : null)
  await deliveredOnce(world, world.send(path, 'bob', ...PATIENT), path)
  expect(network.seen.filter(isWhole)).toHaveLength(2)
  expect(partsSent(network)).toEqual({})
})

test('where every answer is lost, the state says that the portal has the file, and no part is sent', async () => {
  const { world, network, path } = await scene()
  await world.receiver('bob')
  network.rule = (seen) => (isWhole(seen) ? { loseAnswer: true } : null)
  await deliveredOnce(world, world.send(path, 'bob', ...PATIENT), path)
  expect(partsSent(network)).toEqual({})
})

test('a request that never gets through is replaced by parts', async () => {
  const { world, network, path } = await scene()
  await world.receiver('bob')
  network.rule = (seen) => (isWhole(seen) ? { refuse: true } : null)
  await deliveredOnce(world, world.send(path, 'bob', ...PATIENT), path)
  expect(network.seen.filter(isComplete)).toHaveLength(1)
})

test.each([0, 2, 5, 10, 25])(
  'a portal that is killed %i ms after the request arrived has stored the file, or receives it again',
  async (ms) => {
    const { world, network, portal, path } = await scene()
    network.rule = (seen) => {
      if (!isWhole(seen)) return null
      network.rule = () => null
      setTimeout(() => portal.signal('SIGKILL'), ms)
      return null
    }
    const sending = world.send(path, 'bob', ...PATIENT)
    await portal.ended
    await world.portal()
    await world.receiver('bob')
    await deliveredOnce(world, sending, path)
  },
)

test('a sender that is killed right after its one request continues the same transfer', async () => {
  const { world, network, path } = await scene()
  network.rule = (seen) => (isWhole(seen) ? { loseAnswer: true } : null)
  const first = world.send(path, 'bob')
  await until(async () => (await world.stored()).length === 0 && network.seen.some(isWhole), 'the request has come')
  const alice = await world.client('alice')
  await until(async () => (await alice.events()).events.length > 0, 'the portal has stored it')
  await first.stop('SIGKILL')
  network.rule = () => null
  await world.receiver('bob')
  await deliveredOnce(world, world.send(path, 'bob'), path)
})

test('a stored file survives a kill -9 of the portal right after the notification', async () => {
  const { world, portal, path } = await scene()
  const sending = world.send(path, 'bob')
  await sending.notification('stored')
  await portal.stop('SIGKILL')
  await world.portal()
  await world.receiver('bob')
  await deliveredOnce(world, sending, path)
})
