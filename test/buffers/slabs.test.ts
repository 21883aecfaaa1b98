/** Reused memory never has two users at a time. */
import { expect, test } from 'vitest'
import { releaseBuffer, Slab } from '../../src/buffers/index.ts'

/** Fills a slab with slices of that length, as a socket would. */
function filled(slab: Slab, byteCount: number, count: number, value: number): Uint8Array[] {
  return Array.from({ length: count }, () => {
    slab.free.subarray(0, byteCount).fill(value)
    return slab.lend(byteCount)
  })
}

test('the memory of a slab is reused once it is closed and each slice is released, in any order', () => {
  const slab = new Slab()
  const [first, second, third] = filled(slab, 1000, 3, 7) as [Uint8Array, Uint8Array, Uint8Array]
  releaseBuffer(third)
  releaseBuffer(first)
  slab.close()
  expect(new Slab().free.buffer, 'one slice is still in use').not.toBe(first.buffer)
  releaseBuffer(second)
  expect(new Slab().free.buffer).toBe(first.buffer)
})

test('releasing a slice twice, or only a part of it, does not free memory that is in use', () => {
  const slab = new Slab()
  const [first, second] = filled(slab, 1000, 2, 7) as [Uint8Array, Uint8Array]
  slab.close()
  releaseBuffer(first)
  releaseBuffer(first)
  releaseBuffer(second.subarray(0, 1000))
  expect(new Slab().free.buffer).not.toBe(second.buffer)
  expect(second.every((byte) => byte === 7)).toBe(true)
})

test('a slice as long as its slab is not freed to the system', () => {
  const slab = new Slab()
  const [slice] = filled(slab, slab.free.length, 1, 7) as [Uint8Array]
  slab.close()
  releaseBuffer(slice)
  const again = new Slab()
  expect(again.free.buffer).toBe(slice.buffer)
  // By now the memory has another user.
  releaseBuffer(slice)
  expect(again.free.length).toBe(slice.length)
})

test('a buffer with its own memory is freed at once, one that shares memory is left alone', () => {
  const own = new Uint8Array(1000)
  releaseBuffer(own)
  expect(own.length).toBe(0)
  const shared = new Uint8Array(1000)
  releaseBuffer(shared.subarray(0, 10))
  expect(shared.length).toBe(1000)
})
