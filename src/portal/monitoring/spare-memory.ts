/**
 * Returns memory to the system after many receivers have connected. Half of what V8 allocates for a connection is garbage soon after, and
 * V8 would keep it: an idle portal allocates too little to cause another collection.
 */
import { Session } from 'node:inspector'
import { timerMs } from '../../protocol/index.ts'

/** Fewer receivers leave too little garbage for the pause of a collection: about a millisecond for 50 receivers. */
const RECEIVERS_MIN = 1_000
/** After the last of them. While receivers keep connecting, V8 collects by itself. */
const SETTLED_MS = 1_000

export class SpareMemory {
  readonly #collect: () => void
  #newCount = 0
  #timer: NodeJS.Timeout | null = null

  /** @param collect replaces the collection, for tests */
  constructor(collect: () => void = collectGarbage) {
    this.#collect = collect
  }

  /** Notes another receiver. */
  connected(): void {
    if (++this.#newCount < RECEIVERS_MIN) return
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#newCount = 0
      this.#collect()
    }, timerMs(SETTLED_MS)).unref()
    this.#timer.refresh()
  }
}

/** Node documents no other way that needs no flag. */
function collectGarbage(): void {
  const session = new Session()
  session.connect()
  session.post('HeapProfiler.collectGarbage', () => {
    // In the callback itself it would wait for its own end.
    setImmediate(() => session.disconnect())
  })
}
