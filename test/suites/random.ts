/** Randomness that can be had again: every run prints its seed, and `TEST_SEED=… vitest run` repeats it. */
import fc from 'fast-check'

const SEED_MAX = 2 ** 31

/** The seed of this run. */
export const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * SEED_MAX))

console.log(`TEST_SEED=${seed}`)
fc.configureGlobal({ seed })

/** A number from 0 up to 1, not included; mulberry32. */
export function randomFrom(start: number): () => number {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const random = randomFrom(seed)

/** A whole number from 0 up to `below`, not included. */
export function randomInt(below: number): number {
  return Math.floor(random() * below)
}

/** Bytes without a pattern that a mistake could hide in. */
export function randomBytes(byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  for (let i = 0; i < byteCount; i++) bytes[i] = randomInt(256)
  return bytes
}
