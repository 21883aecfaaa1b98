import { constants, PerformanceObserver } from 'node:perf_hooks'
import { expect, test } from 'vitest'
import { SpareMemory } from '../../../src/portal/monitoring/spare-memory.ts'

const MANY = 1_000

test('garbage is collected after many receivers have connected, and the process continues', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const observer = new PerformanceObserver((list) => {
    const kinds = list.getEntries().map((entry) => (entry as unknown as { detail: { kind: number } }).detail.kind)
    if (kinds.includes(constants.NODE_PERFORMANCE_GC_MAJOR)) resolve()
  })
  observer.observe({ entryTypes: ['gc'] })
  const memory = new SpareMemory()
  for (let count = 0; count < MANY; count++) memory.connected()
  await promise
  observer.disconnect()
  // The session that collected ends in the next turn.
  await new Promise(setImmediate)
})

test('few receivers cause no collection, and many together only one', async () => {
  let collections = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  const memory = new SpareMemory(() => {
    collections++
    resolve()
  })
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  for (let count = 1; count < MANY; count++) memory.connected()
  expect(timers()).toBe(before)
  for (let count = 0; count < MANY; count++) memory.connected()
  await promise
  expect(collections).toBe(1)
})
