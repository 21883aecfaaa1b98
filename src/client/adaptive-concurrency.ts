/**
 * How many parts of a transfer may be in flight at once. The smallest number that fills the path is found by trying.
 *
 * A connection carries at most one window in each round trip, and it idles for one round trip after each part. So a path with
 * much bandwidth and a long round trip needs many parts in flight, loopback needs two or three, and on a slow line each further
 * part only slows the others down. The client cannot ask for these properties, but it can measure throughput. It tries more
 * and fewer parts in turn, and takes back a change that brings nothing.
 *
 * A measured round trip limits the tries: on a short path a further part costs memory and processor time at sender, portal and
 * receiver, and brings nothing.
 *
 * The clock is a parameter, so that tests can simulate any path.
 */

export interface ConcurrencyBounds {
  readonly min: number
  readonly max: number
}

export const concurrencyDefaults: ConcurrencyBounds = { min: 2, max: 12 }

/** The default bounds, within a maximum. */
export function concurrencyUpTo(max: number = concurrencyDefaults.max): ConcurrencyBounds {
  const most = Math.min(max, concurrencyDefaults.max)
  return { min: Math.min(concurrencyDefaults.min, most), max: most }
}

/** From this size on a transfer counts as large: it is limited by bandwidth, a small one by round trips. */
export const largeBytesMin = 1024 * 1024

const START = 4
/** On a path as short as that, two parts fill it: one is on its way while the other is made durable. */
const SHORT_ROUND_TRIP_MS = 10
const SHORT_START = 2
/** Every connection carries this many bytes in a round trip, with any window settings. Many carry more. */
const WINDOW_BYTES = 1024 * 1024
/** A part with this pace does not wait for a portal or a storage that takes its time. */
const BRISK_BYTES_PER_MS = 32 * 1024
/** A larger number of parts is kept if it raises the throughput at least by this factor. */
const MORE_GAIN_MIN = 1.1
/** A smaller number is kept if the throughput falls no lower than this factor: it needs less memory, and a broken connection loses less. */
const FEWER_GAIN_MIN = 0.97
const MORE_FACTOR = 2
const FEWER_FACTOR = 2 / 3
/** A measurement over a shorter time says more about chance than about the path. */
const MEASURE_MS_MIN = 300
/** Measurements between a try that was taken back and the next try. The distance grows as long as no try succeeds. */
const REST_MIN = 4
const REST_MAX = 32
/** Parts should take no longer than this, because a broken connection loses a part, and a receiver waits for it. */
const PART_MS_MAX = 60_000

/** A part in flight. */
export interface PartInFlight {
  /** Part of its time was not spent on the path: the portal held the answer, or the client paused before another try. */
  disturbed(): void
  /** The part has ended. @param lengthBytes how many bytes got through */
  ended(lengthBytes: number): void
}

interface Measured {
  readonly allowed: number
  readonly bytesPerMs: number
}

export class AdaptiveConcurrency {
  readonly #bounds: ConcurrencyBounds
  readonly #now: () => number
  readonly #roundTripMs: () => number | null
  #allowed: number
  #startedCount = 0
  readonly #underway = new Set<number>()
  /** Parts that were in flight when the number changed, or that fill the flight up to the new number. The measurement begins after them. */
  #unsettled = new Set<number>()
  #measuring: { readonly sinceMs: number; parts: number; bytes: number } | null = null
  /** The measurement that a try is compared with. */
  #known: Measured | null = null
  #trying: 'more' | 'fewer' | null = null
  #tryNext: 'more' | 'fewer' = 'more'
  #rest = 0
  #restNext = REST_MIN
  #partMs = 0
  #partBytes = 0

  /**
   * @param bounds with `min` equal to `max` the number is fixed
   * @param roundTripMs how long the portal takes to answer a small question; null while that is not known
   */
  constructor(
    bounds: ConcurrencyBounds = concurrencyDefaults,
    roundTripMs: () => number | null = () => null,
    now: () => number = () => performance.now(),
  ) {
    this.#bounds = bounds
    this.#roundTripMs = roundTripMs
    this.#now = now
    const isShort = (roundTripMs() ?? SHORT_ROUND_TRIP_MS) < SHORT_ROUND_TRIP_MS
    this.#allowed = this.#bounded(isShort ? SHORT_START : START)
    this.#settle()
  }

  /** How many parts may be in flight now. */
  get allowed(): number {
    return this.#allowed
  }

  started(): PartInFlight {
    const number = ++this.#startedCount
    const startedAtMs = this.#now()
    let isDisturbed = false
    this.#underway.add(number)
    return {
      disturbed: () => {
        isDisturbed = true
        this.#settle()
      },
      ended: (lengthBytes) => {
        this.#underway.delete(number)
        if (!isDisturbed) this.#partMs = this.#now() - startedAtMs
        if (!isDisturbed && this.#partMs > PART_MS_MAX) this.#spareTheLine()
        this.#partBytes = Math.max(this.#partBytes, lengthBytes)
        this.#count(number, lengthBytes)
      },
    }
  }

  #bounded(count: number): number {
    return Math.max(this.#bounds.min, Math.min(this.#bounds.max, Math.round(count)))
  }

  /** Starts a new measurement once all parts have ended that are in flight or still fit in. */
  #settle(): void {
    this.#measuring = null
    this.#unsettled = new Set(this.#underway)
    for (let ahead = 1; this.#unsettled.size < this.#allowed; ahead++) this.#unsettled.add(this.#startedCount + ahead)
  }

  #count(number: number, lengthBytes: number): void {
    if (this.#unsettled.size > 0) {
      this.#unsettled.delete(number)
      if (this.#unsettled.size === 0) this.#measuring = { sinceMs: this.#now(), parts: 0, bytes: 0 }
      return
    }
    const measuring = this.#measuring
    if (measuring === null) return
    measuring.parts++
    measuring.bytes += lengthBytes
    const passedMs = this.#now() - measuring.sinceMs
    // Parts that began together end together, so only whole rounds give a true duration.
    if (passedMs < MEASURE_MS_MIN || measuring.parts % this.#allowed !== 0) return
    this.#measuring = { sinceMs: this.#now(), parts: 0, bytes: 0 }
    this.#judge(measuring.bytes / passedMs)
  }

  #judge(bytesPerMs: number): void {
    if (this.#known === null || this.#trying === null) {
      const before = this.#known?.bytesPerMs ?? bytesPerMs
      this.#known = { allowed: this.#allowed, bytesPerMs: (before + bytesPerMs) / 2 }
      if (this.#rest-- <= 0) this.#try(this.#tryNext)
      return
    }
    const gain = bytesPerMs / this.#known.bytesPerMs
    if (gain >= (this.#trying === 'more' ? MORE_GAIN_MIN : FEWER_GAIN_MIN)) {
      this.#known = { allowed: this.#allowed, bytesPerMs }
      this.#restNext = REST_MIN
      this.#try(this.#trying)
    } else {
      this.#allow(this.#known.allowed)
      this.#pause()
    }
  }

  #try(which: 'more' | 'fewer'): void {
    const more = this.#isFilled ? this.#allowed : this.#more
    const wanted = which === 'more' ? more : this.#allowed * FEWER_FACTOR
    const bearable = (this.#allowed * PART_MS_MAX) / this.#partMs
    const allowed = this.#bounded(Math.min(wanted, Math.floor(bearable)))
    this.#trying = which
    if (allowed === this.#allowed || allowed > this.#allowed !== (which === 'more')) this.#pause()
    else this.#allow(allowed)
  }

  /** The next larger number. On a short path one part more is tried at a time, because each takes the memory of a part. */
  get #more(): number {
    return this.#allowed < START ? this.#allowed + 1 : this.#allowed * MORE_FACTOR
  }

  /** Whether each connection is used fully: neither a window nor the wait for an answer limits it. */
  get #isFilled(): boolean {
    const roundTripMs = this.#roundTripMs()
    const bytesPerMs = this.#partBytes / this.#partMs
    return roundTripMs !== null && bytesPerMs * roundTripMs < WINDOW_BYTES && bytesPerMs > BRISK_BYTES_PER_MS
  }

  /** Keeps the number for a while, and then tries the other direction. */
  #pause(): void {
    this.#tryNext = this.#trying === 'more' ? 'fewer' : 'more'
    this.#trying = null
    this.#rest = this.#restNext
    this.#restNext = Math.min(REST_MAX, this.#restNext * 2)
  }

  #allow(count: number): void {
    this.#allowed = count
    this.#settle()
  }

  /** Parts take too long: tries a smaller number. */
  #spareTheLine(): void {
    const bearable = this.#bounded(Math.floor((this.#allowed * PART_MS_MAX) / this.#partMs))
    if (bearable >= this.#allowed) return
    this.#known = null
    this.#trying = null
    this.#allow(bearable)
  }
}
