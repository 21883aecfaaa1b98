import fc from 'fast-check'
import { expect, test } from 'vitest'
import { acquireAll, KeyedMutex, KeyedSemaphore, Semaphore } from '../../src/async/index.ts'

test('a semaphore admits as many as it has permits, and the others in the order of their calls', async () => {
  const semaphore = new Semaphore(2)
  const order: string[] = []
  const enter = async (name: string) => {
    const release = await semaphore.acquire()
    order.push(name)
    return release
  }
  const [releaseA, releaseB] = await Promise.all([enter('a'), enter('b')])
  expect(semaphore.isFull).toBe(true)
  const rest = [enter('c'), enter('d')]
  await Promise.resolve()
  expect(order).toEqual(['a', 'b'])
  releaseB()
  await rest[0]
  expect(order).toEqual(['a', 'b', 'c'])
  releaseA()
  await rest[1]
  expect(order).toEqual(['a', 'b', 'c', 'd'])
})

test('an aborted waiter leaves its permit to the next', async () => {
  const semaphore = new Semaphore(1)
  const release = await semaphore.acquire()
  const ending = new AbortController()
  const impatient = semaphore.acquire(ending.signal)
  const patient = semaphore.acquire()
  ending.abort(new Error('enough'))
  await expect(impatient).rejects.toThrow('enough')
  release()
  const releaseNext = await patient
  releaseNext()
  await semaphore.acquire()
  await expect(semaphore.acquire(ending.signal)).rejects.toThrow('enough')
})

test('an abort after the permit was granted changes nothing', async () => {
  const semaphore = new Semaphore(1)
  const first = await semaphore.acquire()
  const ending = new AbortController()
  const second = semaphore.acquire(ending.signal)
  first()
  ending.abort()
  const release = await second
  expect(semaphore.isFull).toBe(true)
  release()
  expect(semaphore.isFull).toBe(false)
})

test('a permit that is released twice counts once', async () => {
  const semaphore = new Semaphore(1)
  const release = await semaphore.acquire()
  release()
  release()
  await semaphore.acquire()
  expect(semaphore.isFull).toBe(true)
})

test('no permit is lost or duplicated in any order of acquire, release and abort', async () => {
  const steps = fc.array(fc.constantFrom('acquire', 'release', 'abort'), { maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), steps, async (count, actions) => {
      const semaphore = new Semaphore(count)
      const held: (() => void)[] = []
      const waiting = new Set<AbortController>()
      for (const action of actions) {
        if (action === 'release') held.shift()?.()
        else if (action === 'abort') [...waiting].at(-1)?.abort()
        else {
          const controller = new AbortController()
          waiting.add(controller)
          semaphore.acquire(controller.signal).then(
            (release) => {
              waiting.delete(controller)
              held.push(release)
            },
            () => waiting.delete(controller),
          )
        }
        for (let turn = 0; turn < 5; turn++) await Promise.resolve()
        expect(held.length).toBeLessThanOrEqual(count)
        expect(semaphore.isFull).toBe(held.length === count)
        if (waiting.size > 0) expect(held.length).toBe(count)
      }
    }),
  )
})

test('a caller that needs permits of several semaphores keeps none when it is aborted', async () => {
  const [large, all] = [new Semaphore(1), new Semaphore(1)]
  const release = await all.acquire()
  const ending = new AbortController()
  const waiting = acquireAll([large, all], ending.signal)
  await Promise.resolve()
  expect(large.isFull).toBe(true)
  ending.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  expect(large.isFull).toBe(false)
  release()
  const releaseBoth = await acquireAll([large, all])
  expect([large.isFull, all.isFull]).toEqual([true, true])
  releaseBoth()
  expect([large.isFull, all.isFull]).toEqual([false, false])
})

test('a keyed mutex runs one act of a key at a time, also after a failure; other keys do not wait', async () => {
  const mutex = new KeyedMutex()
  const gate = Promise.withResolvers<void>()
  const order: string[] = []
  const failing = mutex.run('a', async () => {
    order.push('first')
    await gate.promise
    throw new Error('failed')
  })
  const next = mutex.run('a', async () => order.push('second'))
  await mutex.run('b', async () => order.push('other'))
  expect(order).toEqual(['first', 'other'])
  gate.resolve()
  await expect(failing).rejects.toThrow('failed')
  await next
  expect(order).toEqual(['first', 'other', 'second'])
})

test('a keyed mutex does not run an act that was aborted while it waited', async () => {
  const mutex = new KeyedMutex()
  const gate = Promise.withResolvers<void>()
  const first = mutex.run('a', () => gate.promise)
  const ending = new AbortController()
  const aborted = mutex.run('a', async () => expect.unreachable(), ending.signal)
  const last = mutex.run('a', async () => 'done')
  ending.abort(new Error('enough'))
  await expect(aborted).rejects.toThrow('enough')
  gate.resolve()
  await first
  expect(await last).toBe('done')
})

test('a keyed semaphore counts each key separately', async () => {
  const semaphore = new KeyedSemaphore<number>(2)
  const gate = Promise.withResolvers<void>()
  const begun: string[] = []
  const hold = (key: number, name: string) =>
    semaphore.run(key, async () => {
      begun.push(name)
      await gate.promise
    })
  const all = [hold(1, 'a'), hold(1, 'b'), hold(1, 'c'), hold(2, 'd')]
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  expect(begun).toEqual(['a', 'b', 'd'])
  gate.resolve()
  await Promise.all(all)
  expect(begun).toEqual(['a', 'b', 'd', 'c'])
})
