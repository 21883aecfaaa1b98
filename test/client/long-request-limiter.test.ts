import { expect, test } from 'vitest'
import { directionOfLongRequest, LongRequestLimiter } from '../../src/client/long-request-limiter.ts'

test('three long requests run at a time, and the next begins when one ends', async () => {
  const held = new LongRequestLimiter()
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

test('long requests for receiving leave a permit for sending', async () => {
  const held = new LongRequestLimiter()
  await held.begin('in')
  const over = await held.begin('in')
  let isThirdBegun = false
  const third = held.begin('in').then(() => {
    isThirdBegun = true
  })
  // It came later, and need not wait for the earlier one.
  const sent = await held.begin('out')
  expect([isThirdBegun, held.isFull('out')]).toEqual([false, true])
  sent()
  await Promise.resolve()
  expect(isThirdBegun).toBe(false)
  over()
  await third
})

test('a caller that aborts while waiting gets no permit, and uses none', async () => {
  const held = new LongRequestLimiter()
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
  ['POST', '/v1/transfers/batch', undefined, 'out'],
  ['PUT', '/v1/transfers/0197', undefined, null],
  ['GET', '/v1/inbox/0197/parts/1?lease=x&held=0', 'wait=0', 'in'],
  ['GET', '/v1/inbox/0197?lease=x&held=0', 'wait=25', 'in'],
  ['GET', '/v1/inbox/0197?lease=x&held=0', 'wait=0', null],
  ['GET', '/v1/inbox?instance=x', undefined, null],
  ['GET', '/v1/events', undefined, null],
  // Held requests that replace a stream.
  ['GET', '/v1/events?after=7', 'wait=25', null],
  ['GET', '/v1/inbox?instance=0197&window=4', 'wait=25', null],
  ['POST', '/v1/inbox/0197/disposition', undefined, null],
] as const)('%s %s, %s, takes long: %s', (method, path, preference, direction) => {
  expect(directionOfLongRequest(method, path, preference)).toBe(direction)
})
