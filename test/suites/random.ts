/** Repeatable randomness: every run prints its seed, and `TEST_SEED=… vitest run` uses it again. */
import fc from 'fast-check'

const SEED_MAX = 2 ** 31

/** The seed of this run. */
export const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * SEED_MAX))

console.log(`TEST_SEED=${seed}`)
fc.configureGlobal({ seed })

/** A generator of numbers from 0 to 1, exclusive; mulberry32. */
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

/** A whole number from 0 to `below`, exclusive. */
export function randomInt(below: number): number {
  return Math.floor(random() * below)
}

/** Bytes without a pattern, so that mistakes show. */
export function randomBytes(byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  for (let i = 0; i < byteCount; i++) bytes[i] = randomInt(256)
  return bytes
}
