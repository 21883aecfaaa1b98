/** The rule against paths of arithmetic, on which time passes only when the test lets it. */
import { describe, expect, test } from 'vitest'
import { type InFlightBounds, inFlightDefaults, PartsInFlight } from '../../src/client/index.ts'
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

/** Some paths of each kind, every one with chances of its own, which the seed that is printed brings back. */
const seeds = Array.from({ length: WORLDS }, (_, world) => seed + world)

function fixed(count: number): InFlightBounds {
  return { min: count, max: count }
}

function timesOf(path: Path, bounds: InFlightBounds, content = { partBytes: PART_BYTES, parts: PARTS }): number[] {
  return seeds.map((one) => sentOver({ ...path, noise: NOISE, random: randomFrom(one) }, bounds, content).ms)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** How long a choice of numbers takes, each of them fixed, for the sum of all worlds; the best of them. */
function best(path: Path, counts: readonly number[], content?: { partBytes: number; parts: number }): number {
  return Math.min(...counts.map((count) => sum(timesOf(path, fixed(count), content))))
}

const COUNTS = [2, 3, 4, 6, 8, 10, 12]

describe('the number of parts in flight', () => {
  test('a long fat path is filled as well as by the best fixed number, a tenth for finding it out', () => {
    expect(sum(timesOf(longFat, inFlightDefaults))).toBeLessThan(best(longFat, COUNTS) / 0.9)
    expect(sum(timesOf(longFat, fixed(3))), 'where three do not').toBeGreaterThan(best(longFat, COUNTS) * 1.5)
  })

  test('so it is with small parts', () => {
    const content = { partBytes: MIB, parts: 1024 }
    expect(sum(timesOf(longFat, inFlightDefaults, content))).toBeLessThan(best(longFat, COUNTS, content) / 0.9)
  })

  test('on loopback it is no slower than three or four, and few are in flight', () => {
    expect(sum(timesOf(loopback, inFlightDefaults))).toBeLessThan(best(loopback, [3, 4]) * 1.03)
    const flights = seeds.map((one) => {
      const path = { ...loopback, noise: NOISE, random: randomFrom(one) }
      return sentOver(path, inFlightDefaults, { partBytes: PART_BYTES, parts: 4 * PARTS }).meanInFlight
    })
    expect(sum(flights) / WORLDS).toBeLessThan(7)
  })

  test('a path without a length is as full with few, and more are taken back', () => {
    const { atEnd, meanInFlight } = sentOver(shortThin, inFlightDefaults, { partBytes: PART_BYTES, parts: 200 })
    expect(atEnd).toBeLessThanOrEqual(4)
    expect(meanInFlight).toBeLessThan(5)
  })

  test('on a very thin line no more than two share it, once the first have shown how thin it is', () => {
    const { counts, ms } = sentOver(veryThin, inFlightDefaults, { partBytes: PART_BYTES, parts: 30 })
    expect(counts).toEqual([4, 2])
    expect(ms, 'which costs nothing').toBeLessThan(
      sentOver(veryThin, fixed(4), { partBytes: PART_BYTES, parts: 30 }).ms * 1.01,
    )
  })

  test('a path that grows is filled, and one that shrinks is relieved', () => {
    const changing = (from: Path, to: Path): SentOver => {
      let bytesPerSecond = from.bytesPerSecond
      const path: Path = {
        roundTripMs: 100,
        connectionBytes: CONNECTION_BYTES,
        get bytesPerSecond() {
          return bytesPerSecond
        },
      }
      return sentOver(path, inFlightDefaults, { partBytes: PART_BYTES, parts: 600 }, (partsHeld) => {
        if (partsHeld === 100) bytesPerSecond = to.bytesPerSecond
      })
    }
    expect(changing(shortThin, longFat).atEnd).toBeGreaterThanOrEqual(7)
    const shrunk = changing(longFat, shortThin)
    expect(Math.max(...shrunk.counts)).toBeGreaterThanOrEqual(8)
    expect(shrunk.atEnd).toBeLessThanOrEqual(4)
  })

  test('is tried more and more rarely while the path stays the same', () => {
    const { counts } = sentOver(shortThin, inFlightDefaults, { partBytes: PART_BYTES, parts: 1000 })
    expect(counts.length).toBeLessThan(40)
  })

  test('stays within its bounds, whatever the path', () => {
    for (const path of [loopback, longFat, shortThin, veryThin]) {
      for (const bounds of [inFlightDefaults, { min: 1, max: 1 }, { min: 2, max: 5 }, { min: 2, max: 3 }]) {
        const { counts } = sentOver(path, bounds, { partBytes: PART_BYTES, parts: path === veryThin ? 12 : 60 })
        expect(Math.min(...counts)).toBeGreaterThanOrEqual(bounds.min)
        expect(Math.max(...counts)).toBeLessThanOrEqual(bounds.max)
      }
    }
  })

  test('is left alone when it is given', () => {
    expect(sentOver(longFat, fixed(5), { partBytes: PART_BYTES, parts: PARTS }).counts).toEqual([5])
  })
})

describe('what says nothing of the path', () => {
  /** Parts one after another round a clock, as many at a time as are allowed, each `partMs` long. */
  function rounds(count: number, disturb: boolean): number[] {
    let nowMs = 0
    const places = new PartsInFlight(inFlightDefaults, () => nowMs)
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

  test('parts that were waited for leave the number as it is', () => {
    expect(new Set(rounds(100, true))).toEqual(new Set([4]))
    expect(Math.max(...rounds(100, false)), 'the same parts without waiting').toBe(inFlightDefaults.max)
  })

  test('a part that took long because it was sent again does not make them fewer', () => {
    let nowMs = 0
    const places = new PartsInFlight(inFlightDefaults, () => nowMs)
    const part = places.started()
    nowMs += 600_000
    part.disturbed()
    part.ended(PART_BYTES)
    expect(places.allowed).toBe(4)
  })
})
