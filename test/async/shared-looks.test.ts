import { expect, test } from 'vitest'
import { SharedLooks } from '../../src/async/index.ts'

test('those who ask together share a look; one who asks after it has begun gets a look of its own', async () => {
  const looks = new SharedLooks<number>()
  let [state, count] = [1, 0]
  const gate = Promise.withResolvers<void>()
  const look = async (): Promise<number> => {
    count++
    const seen = state
    await gate.promise
    return seen
  }
  const early = [looks.run('a', look), looks.run('a', look), looks.run('b', look)]
  await new Promise(setImmediate)
  state = 2
  const late = looks.run('a', look)
  gate.resolve()
  expect(await Promise.all(early)).toEqual([1, 1, 1])
  expect(await late).toBe(2)
  expect(count).toBe(3)
})

test('a look that fails does so for all who share it, and is made again', async () => {
  const looks = new SharedLooks<string>()
  const failing = [1, 2].map(() => looks.run('a', () => Promise.reject(new Error('broken'))))
  expect(await Promise.allSettled(failing)).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }])
  expect(await looks.run('a', async () => 'seen')).toBe('seen')
})
