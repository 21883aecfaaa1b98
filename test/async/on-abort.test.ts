import { expect, test } from 'vitest'
import { onAbort } from '../../src/async/index.ts'

/** How many listeners a signal has got and lost. */
function counted(signal: AbortSignal): { added: number; removed: number } {
  const counts = { added: 0, removed: 0 }
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = (...given: unknown[]) => {
    counts.added++
    Reflect.apply(addEventListener, signal, given)
  }
  signal.removeEventListener = (...given: unknown[]) => {
    counts.removed++
    Reflect.apply(removeEventListener, signal, given)
  }
  return counts
}

test('all who wait for a signal are told, and those who left are not', () => {
  const stop = new AbortController()
  const told: string[] = []
  onAbort(stop.signal, () => told.push('one'))
  const leave = onAbort(stop.signal, () => told.push('two'))
  onAbort(stop.signal, () => told.push('three'))
  leave()
  leave()
  stop.abort()
  expect(told).toEqual(['one', 'three'])
})

test('thousands who wait share one listener, which goes with the last of them', () => {
  const { signal } = new AbortController()
  const counts = counted(signal)
  const leaving = Array.from({ length: 5_000 }, () => onAbort(signal, () => {}))
  expect(counts).toEqual({ added: 1, removed: 0 })
  for (const leave of leaving) leave()
  expect(counts).toEqual({ added: 1, removed: 1 })
  onAbort(signal, () => {})
  expect(counts).toEqual({ added: 2, removed: 1 })
})

test('who leaves while the others are told is not told', () => {
  const stop = new AbortController()
  const told: string[] = []
  onAbort(stop.signal, () => {
    told.push('one')
    leave()
  })
  const leave = onAbort(stop.signal, () => told.push('two'))
  stop.abort()
  expect(told).toEqual(['one'])
})
