/**
 * How many parts of a transfer may be on their way at once: as few as do it, found out by trying.
 *
 * One connection carries no more than its window in each round trip, and after each part it is silent for one. So a long
 * fat path wants many parts in flight, loopback two or three, and on a thin line each one more only makes the others slow.
 * None of that can be asked for, but it shows in the bytes that get through: with more parts in flight they become more
 * where there is room, and do not where there is none. Both are tried, in turn, and what is no better is taken back.
 *
 * Time comes from outside, so that this can be held against any path.
 */

export interface InFlightBounds {
  readonly min: number
  readonly max: number
}

export const inFlightDefaults: InFlightBounds = { min: 2, max: 12 }

const START = 4
/** More parts at a time have to bring so much more. */
const MORE_GAIN_MIN = 1.1
/** Fewer may bring so little less: they cost less memory, and are sooner done with when something breaks. */
const FEWER_GAIN_MIN = 0.97
const MORE_FACTOR = 2
const FEWER_FACTOR = 2 / 3
/** What is measured over a shorter time says more of chance than of the path. */
const MEASURE_MS_MIN = 300
/** Measurements from one try that was taken back to the next. They become rarer as long as nothing is found. */
const REST_MIN = 4
const REST_MAX = 32
/** What a broken connection loses, and what a receiver waits for. On a thin line a part takes longer all by itself. */
const PART_MS_MAX = 60_000

/** A part on its way. */
export interface PartInFlight {
  /** Something else than the path took its time: an answer that was waited for, a pause before another try. */
  disturbed(): void
  /** It is over. @param lengthBytes what got through */
  ended(lengthBytes: number): void
}

interface Measured {
  readonly allowed: number
  readonly bytesPerMs: number
}

export class PartsInFlight {
  readonly #bounds: InFlightBounds
  readonly #now: () => number
  #allowed: number
  #startedCount = 0
  readonly #underway = new Set<number>()
  /** Parts that were begun before the number changed, or fill the flight up to it, say nothing of how it does. */
  #unsettled = new Set<number>()
  #measuring: { readonly sinceMs: number; parts: number; bytes: number } | null = null
  /** What a try is held against. */
  #known: Measured | null = null
  #trying: 'more' | 'fewer' | null = null
  #tryNext: 'more' | 'fewer' = 'more'
  #rest = 0
  #restNext = REST_MIN
  #partMs = 0

  /** @param bounds the same number twice leaves nothing to find out */
  constructor(bounds: InFlightBounds = inFlightDefaults, now: () => number = () => performance.now()) {
    this.#bounds = bounds
    this.#now = now
    this.#allowed = this.#bounded(START)
    this.#settle()
  }

  /** So many may be on their way now. */
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
        this.#count(number, lengthBytes)
      },
    }
  }

  #bounded(count: number): number {
    return Math.max(this.#bounds.min, Math.min(this.#bounds.max, Math.round(count)))
  }

  /** Measures anew, once all have ended that are on their way or still fit in. */
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
    // Parts that began together end together: only of whole rounds it is known how long they took.
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
    const wanted = this.#allowed * (which === 'more' ? MORE_FACTOR : FEWER_FACTOR)
    const bearable = (this.#allowed * PART_MS_MAX) / this.#partMs
    const allowed = this.#bounded(Math.min(wanted, Math.floor(bearable)))
    this.#trying = which
    if (allowed === this.#allowed || allowed > this.#allowed !== (which === 'more')) this.#pause()
    else this.#allow(allowed)
  }

  /** Leaves the number as it is for a while, and then tries the other direction. */
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

  /** Parts take too long: fewer of them, if that is what it is. */
  #spareTheLine(): void {
    const bearable = this.#bounded(Math.floor((this.#allowed * PART_MS_MAX) / this.#partMs))
    if (bearable >= this.#allowed) return
    this.#known = null
    this.#trying = null
    this.#allow(bearable)
  }
}
