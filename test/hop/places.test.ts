import { expect, test } from 'vitest'
import { Places } from '../../src/hop/index.ts'

const idle = new AbortController().signal

test('so many at a time, the others in the order in which they came', async () => {
  const places = new Places(2)
  const order: string[] = []
  const enter = async (name: string) => {
    const leave = await places.take(idle)
    order.push(name)
    return leave
  }
  const [leaveA, leaveB] = await Promise.all([enter('a'), enter('b')])
  const rest = [enter('c'), enter('d')]
  await Promise.resolve()
  expect(order).toEqual(['a', 'b'])
  leaveB()
  await rest[0]
  expect(order).toEqual(['a', 'b', 'c'])
  leaveA()
  await rest[1]
  expect(order).toEqual(['a', 'b', 'c', 'd'])
})

test('one that gives up leaves its turn to the next', async () => {
  const places = new Places(1)
  const leave = await places.take(idle)
  const ending = new AbortController()
  const impatient = places.take(ending.signal)
  const patient = places.take(idle)
  ending.abort(new Error('enough'))
  await expect(impatient).rejects.toThrow('enough')
  leave()
  const leaveNext = await patient
  leaveNext()
  await places.take(idle)
  await expect(places.take(ending.signal)).rejects.toThrow('enough')
})
