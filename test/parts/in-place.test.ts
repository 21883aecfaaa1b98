/** A cipher over bytes in their own memory gives what it gives over all of them at once. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { replaceInPlace } from '../../src/parts/node-in-place.ts'

const KIB = 1024

test.each([0, 1, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1, 1000 * KIB + 7])(
  '%i bytes are replaced, in slices',
  (length) => {
    const [key, nonce] = [randomBytes(32), randomBytes(16)]
    const memory = randomBytes(length + 20)
    const before = Buffer.from(memory)
    const bytes = memory.subarray(10, 10 + length)
    const expected = createCipheriv('aes-256-ctr', key, nonce).update(bytes)
    const cipher = createCipheriv('aes-256-ctr', key, nonce)
    const slices: number[] = []
    const made: Uint8Array[] = []
    replaceInPlace(bytes, (slice) => {
      slices.push(slice.length)
      const replaced = new Uint8Array(cipher.update(slice))
      made.push(replaced)
      return replaced
    })
    expect(bytes.equals(expected)).toBe(true)
    expect(Buffer.concat([memory.subarray(0, 10), memory.subarray(10 + length)])).toEqual(
      Buffer.concat([before.subarray(0, 10), before.subarray(10 + length)]),
    )
    expect(Math.max(0, ...slices), 'larger memory costs more than the cipher').toBeLessThanOrEqual(128 * KIB)
    expect(
      made.every((one) => one.length === 0),
      'its memory is freed',
    ).toBe(true)
  },
)
