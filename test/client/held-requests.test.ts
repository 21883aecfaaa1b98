import { expect, test } from 'vitest'
import { HeldRequests, heldDirectionOf } from '../../src/client/held-requests.ts'

test('three requests that take long are under way at a time, and the next begins when one is over', async () => {
  const held = new HeldRequests()
  const overs = await Promise.all([held.begin('out'), held.begin('out'), held.begin('out')])
  const begun: number[] = []
  const waiting = [1, 2].map(async (number) => {
    const over = await held.begin('out')
    begun.push(number)
    return over
  })
  await Promise.resolve()
  expect(begun).toEqual([])
  overs[0]?.()
  overs[0]?.()
  await waiting[0]
  expect(begun).toEqual([1])
  overs[1]?.()
  await waiting[1]
  expect(begun).toEqual([1, 2])
})

test('what is being received leaves room for what is being sent', async () => {
  const held = new HeldRequests()
  await held.begin('in')
  const over = await held.begin('in')
  let isThirdBegun = false
  const third = held.begin('in').then(() => {
    isThirdBegun = true
  })
  // Later, and not held up by who came before it.
  const sent = await held.begin('out')
  expect([isThirdBegun, held.isFull('out')]).toEqual([false, true])
  sent()
  await Promise.resolve()
  expect(isThirdBegun).toBe(false)
  over()
  await third
})

test('who gives up waiting gets no place, and takes none', async () => {
  const held = new HeldRequests()
  const overs = await Promise.all([held.begin('out'), held.begin('out'), held.begin('out')])
  const controller = new AbortController()
  const reason = new Error('enough')
  const waiting = held.begin('out', controller.signal)
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  overs[0]?.()
  expect(held.isFull('out')).toBe(false)
})

test.each([
  ['PUT', '/v1/transfers/0197/parts/12', undefined, 'out'],
  ['PUT', '/v1/transfers/0197/whole', undefined, 'out'],
  ['PUT', '/v1/transfers/0197', undefined, null],
  ['GET', '/v1/inbox/0197/parts/1?lease=x&held=0', 'wait=0', 'in'],
  ['GET', '/v1/inbox/0197?lease=x&held=0', 'wait=25', 'in'],
  ['GET', '/v1/inbox/0197?lease=x&held=0', 'wait=0', null],
  ['GET', '/v1/inbox?instance=x', undefined, null],
  ['GET', '/v1/events', undefined, null],
  ['POST', '/v1/inbox/0197/disposition', undefined, null],
] as const)('%s %s, %s, takes long: %s', (method, path, preference, direction) => {
  expect(heldDirectionOf(method, path, preference)).toBe(direction)
})
