/** The rule over simulated paths with simulated time. */
import { describe, expect, test } from 'vitest'
import { AdaptiveConcurrency, type ConcurrencyBounds, concurrencyDefaults } from '../../src/client/index.ts'
import { randomFrom, seed } from '../suites/random.ts'
import { type Path, type SentOver, sentOver } from './path.ts'

const KIB = 1024
const MIB = 1024 * KIB
const PART_BYTES = 8 * MIB
const PARTS = 128
const CONNECTION_BYTES = 2.6 * MIB
const NOISE = 0.1
const WORLDS = 10

const loopback: Path = { bytesPerSecond: 280 * MIB, roundTripMs: 0.2, connectionBytes: CONNECTION_BYTES }
const longFat: Path = { bytesPerSecond: 115 * MIB, roundTripMs: 100, connectionBytes: CONNECTION_BYTES }
const shortThin: Path = { bytesPerSecond: 12 * MIB, roundTripMs: 30, connectionBytes: CONNECTION_BYTES }
const veryThin: Path = { bytesPerSecond: 40_000, roundTripMs: 600, connectionBytes: CONNECTION_BYTES }

/** Several simulated paths of each kind, with random noise. The printed seed repeats them. */
const seeds = Array.from({ length: WORLDS }, (_, world) => seed + world)

function fixed(count: number): ConcurrencyBounds {
  return { min: count, max: count }
}

function timesOf(path: Path, bounds: ConcurrencyBounds, content = { partBytes: PART_BYTES, parts: PARTS }): number[] {
  return seeds.map((one) => sentOver({ ...path, noise: NOISE, random: randomFrom(one) }, bounds, content).ms)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** The shortest total time over all simulations that a fixed number of parts reaches. */
function best(path: Path, counts: readonly number[], content?: { partBytes: number; parts: number }): number {
  return Math.min(...counts.map((count) => sum(timesOf(path, fixed(count), content))))
}

const COUNTS = [2, 3, 4, 6, 8, 10, 12]

describe('the number of parts in flight', () => {
  test('fills a long fat path nearly as well as the best fixed number: a tenth is allowed for finding it', () => {
    expect(sum(timesOf(longFat, concurrencyDefaults))).toBeLessThan(best(longFat, COUNTS) / 0.9)
    expect(sum(timesOf(longFat, fixed(3))), 'where three do not').toBeGreaterThan(best(longFat, COUNTS) * 1.5)
  })

  test('does the same with small parts', () => {
    const content = { partBytes: MIB, parts: 1024 }
    expect(sum(timesOf(longFat, concurrencyDefaults, content))).toBeLessThan(best(longFat, COUNTS, content) / 0.9)
  })

  test('on loopback is as fast as three or four, with few in flight', () => {
    expect(sum(timesOf(loopback, concurrencyDefaults))).toBeLessThan(best(loopback, [3, 4]) * 1.03)
    const flights = seeds.map((one) => {
      const path = { ...loopback, noise: NOISE, random: randomFrom(one) }
      return sentOver(path, concurrencyDefaults, { partBytes: PART_BYTES, parts: 4 * PARTS }).meanInFlight
    })
    expect(sum(flights) / WORLDS).toBeLessThan(7)
  })

  test('fills a path without latency with few, and takes back what it added', () => {
    const { atEnd, meanInFlight } = sentOver(shortThin, concurrencyDefaults, { partBytes: PART_BYTES, parts: 200 })
    expect(atEnd).toBeLessThanOrEqual(4)
    expect(meanInFlight).toBeLessThan(5)
  })

  test('on a very thin line stays at two, once the first parts have shown the bandwidth', () => {
    const { counts, ms } = sentOver(veryThin, concurrencyDefaults, { partBytes: PART_BYTES, parts: 30 })
    expect(counts).toEqual([4, 2])
    expect(ms, 'which costs nothing').toBeLessThan(
      sentOver(veryThin, fixed(4), { partBytes: PART_BYTES, parts: 30 }).ms * 1.01,
    )
  })

  test('follows a path whose bandwidth grows or shrinks', () => {
    const changing = (from: Path, to: Path): SentOver => {
      let bytesPerSecond = from.bytesPerSecond
      const path: Path = {
        roundTripMs: 100,
        connectionBytes: CONNECTION_BYTES,
        get bytesPerSecond() {
          return bytesPerSecond
        },
      }
      return sentOver(path, concurrencyDefaults, { partBytes: PART_BYTES, parts: 600 }, (partsHeld) => {
        if (partsHeld === 100) bytesPerSecond = to.bytesPerSecond
      })
    }
    expect(changing(shortThin, longFat).atEnd).toBeGreaterThanOrEqual(7)
    const shrunk = changing(longFat, shortThin)
    expect(Math.max(...shrunk.counts)).toBeGreaterThanOrEqual(8)
    expect(shrunk.atEnd).toBeLessThanOrEqual(4)
  })

  test('is probed less and less often while the path stays the same', () => {
    const { counts } = sentOver(shortThin, concurrencyDefaults, { partBytes: PART_BYTES, parts: 1000 })
    expect(counts.length).toBeLessThan(40)
  })

  test('stays within its bounds on every path', () => {
    for (const path of [loopback, longFat, shortThin, veryThin]) {
      for (const bounds of [concurrencyDefaults, { min: 1, max: 1 }, { min: 2, max: 5 }, { min: 2, max: 3 }]) {
        const { counts } = sentOver(path, bounds, { partBytes: PART_BYTES, parts: path === veryThin ? 12 : 60 })
        expect(Math.min(...counts)).toBeGreaterThanOrEqual(bounds.min)
        expect(Math.max(...counts)).toBeLessThanOrEqual(bounds.max)
      }
    }
  })

  test('stays fixed when the caller sets it', () => {
    expect(sentOver(longFat, fixed(5), { partBytes: PART_BYTES, parts: PARTS }).counts).toEqual([5])
  })
})

describe('where the round trip is known', () => {
  const knowing = (path: Path, asMs = path.roundTripMs): Path => ({ ...path, knownRoundTripMs: asMs })

  test('two parts are in flight on loopback, and more are not tried', () => {
    expect(sum(timesOf(knowing(loopback), concurrencyDefaults))).toBeLessThan(best(loopback, [3, 4]) * 1.05)
    const { counts } = sentOver(knowing(loopback), concurrencyDefaults, { partBytes: PART_BYTES, parts: PARTS })
    expect(counts).toEqual([2])
  })

  test('small parts on loopback are as many as the latency of the disk needs', () => {
    const content = { partBytes: MIB / 4, parts: 2048 }
    expect(sum(timesOf(knowing(loopback), concurrencyDefaults, content))).toBeLessThan(
      best(loopback, COUNTS, content) / 0.9,
    )
  })

  test('a long fat path is filled, by large parts and by small ones', () => {
    for (const content of [
      { partBytes: PART_BYTES, parts: PARTS },
      { partBytes: MIB, parts: 1024 },
    ]) {
      expect(sum(timesOf(knowing(longFat), concurrencyDefaults, content))).toBeLessThan(
        best(longFat, COUNTS, content) / 0.9,
      )
    }
  })

  test('an answer that took ten times as long as the round trip costs no more than without a measurement', () => {
    const { meanInFlight } = sentOver(knowing(loopback, 2), concurrencyDefaults, {
      partBytes: PART_BYTES,
      parts: PARTS,
    })
    expect(meanInFlight).toBeLessThan(4)
  })
})

describe('measurements that say nothing about the path', () => {
  /** Sends parts of `partMs` each on a simulated clock, as many at a time as allowed. */
  function rounds(count: number, disturb: boolean, roundTripMs?: () => number): number[] {
    let nowMs = 0
    const places = new AdaptiveConcurrency(concurrencyDefaults, roundTripMs, () => nowMs)
    const allowed: number[] = []
    for (let round = 0; round < count; round++) {
      allowed.push(places.allowed)
      const parts = Array.from({ length: places.allowed }, () => places.started())
      nowMs += 400
      if (disturb) parts[0]?.disturbed()
      for (const part of parts) part.ended(PART_BYTES)
    }
    return allowed
  }

  test('parts that had to wait leave the number unchanged', () => {
    expect(new Set(rounds(100, true))).toEqual(new Set([4]))
    expect(Math.max(...rounds(100, false)), 'the same parts without waiting').toBe(concurrencyDefaults.max)
  })

  test('from two parts, one more is tried at a time, because each takes memory', () => {
    expect([...new Set(rounds(100, false, () => 1))]).toEqual([2, 3, 4, 8, 12])
  })

  test('a part that took long because it was retried does not reduce the number', () => {
    let nowMs = 0
    const places = new AdaptiveConcurrency(concurrencyDefaults, undefined, () => nowMs)
    const part = places.started()
    nowMs += 600_000
    part.disturbed()
    part.ended(PART_BYTES)
    expect(places.allowed).toBe(4)
  })
})
