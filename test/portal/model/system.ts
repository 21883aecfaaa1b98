/**
 * The portal's core as the model drives it: transfers, deliveries and sweeper over a ledger and a store, without HTTP. The test
 * controls time, room on the disk and the order of concurrent steps.
 */
import { Readable } from 'node:stream'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import type { PortalContext } from '../../../src/portal/context.ts'
import { Deliveries } from '../../../src/portal/deliveries/deliveries.ts'
import type { Account, Ledger } from '../../../src/portal/ledger/contract.ts'
import type { Store } from '../../../src/portal/store/contract.ts'
import { Sweeper } from '../../../src/portal/sweeper.ts'
import { Transfers } from '../../../src/portal/uploads/transfers.ts'
import { type Announcement, formatContentDigest, Problem, partCount } from '../../../src/protocol/index.ts'
import { FakeClock, join } from '../../suites/ledger.ts'
import { randomFrom } from '../../suites/random.ts'
import { aContext } from '../context.ts'

const MINUTE_MS = 60_000
const PART_BYTES = 64 * 1024
const PAUSED_SHARE = 0.03
const PAUSED_TURNS = 400
export const options = {
  uploadTimeoutMs: 10 * MINUTE_MS,
  leaseMs: 2 * MINUTE_MS,
  offerPauseMsMin: 1_000,
  offerPauseMsMax: 4_000,
  expiryMs: 60 * MINUTE_MS,
  historyMs: 365 * 24 * 60 * MINUTE_MS,
  attemptsMax: 3,
  idleMs: 60_000,
}
export const receivers = ['bob', 'carol'] as const
export type Receiver = (typeof receivers)[number]

/** The files that senders send: an empty one, one of a single part and some of several parts, each with wrong parts as well. */
export const files = [0, 100, PART_BYTES, 2 * PART_BYTES + 7].map((sizeBytes, index) => {
  const layout = { sizeBytes, partSizeBytes: PART_BYTES }
  const parts = Array.from({ length: partCount(layout) }, (_, at) => {
    const lengthBytes = Math.min(PART_BYTES, sizeBytes - at * PART_BYTES)
    const right = Buffer.alloc(lengthBytes, `right ${index} ${at}`)
    const other = Buffer.alloc(lengthBytes, `other ${index} ${at}`)
    return { right, other, rightDigest: digestOf('sha-256', right), otherDigest: digestOf('sha-256', other) }
  })
  const manifestDigest = manifestDigestOf(
    'sha-256',
    parts.map((part) => part.rightDigest),
  )
  return { ...layout, parts, manifestDigest }
})

export type PartKind = 'right' | 'other' | 'corrupt' | 'short' | 'long' | 'full'

/** The outcome of a call: its answer, or the code of its problem. Any other error is a bug. */
export async function outcomeOf(call: Promise<string>): Promise<string> {
  try {
    return await call
  } catch (error) {
    if (error instanceof Problem) return error.code
    throw error
  }
}

export interface Backing {
  readonly open: (clock: FakeClock) => Promise<{ ledger: Ledger; store: Store }>
  /** Whether a restart must keep what `open` gave, because the data exists nowhere else. */
  readonly isVolatile: boolean
  /** How many portals share what `open` gives. Each call goes to the next portal. */
  readonly portalCount?: number
}

interface Portal {
  readonly context: PortalContext
  readonly transfers: Transfers
  readonly deliveries: Deliveries
  readonly sweeper: Sweeper
}

export class System {
  readonly clock = new FakeClock()
  readonly accounts = new Map<string, Account>()
  /** The disk has no room left. */
  isFull = false
  #backing: Backing
  #opened: { ledger: Ledger; store: Store } | null = null
  #portals: Portal[] = []
  #calls = 0
  /** While several calls run at once, this says how many turns of the event loop the next step waits. */
  #turns: (() => number) | null = null

  private constructor(backing: Backing) {
    this.#backing = backing
  }

  static async create(backing: Backing): Promise<System> {
    const system = new System(backing)
    await system.restart()
    for (const name of ['alice', ...receivers]) system.accounts.set(name, await join(system.context.ledger, name))
    return system
  }

  /** Restarts all portals. They lose their memory, but not ledger and store. */
  async restart(): Promise<void> {
    if (this.#opened === null || !this.#backing.isVolatile) {
      await this.#opened?.ledger.close()
      this.#opened = await this.#backing.open(this.clock)
    }
    const { ledger, store } = this.#opened
    this.#portals = Array.from({ length: this.#backing.portalCount ?? 1 }, () => {
      const context = aContext({ ledger: this.#steps(ledger), store: this.#steps(this.#bounded(store)), options })
      const transfers = new Transfers(context)
      const deliveries = new Deliveries(context)
      return { context, transfers, deliveries, sweeper: new Sweeper(context, transfers) }
    })
  }

  get context(): PortalContext {
    return this.#next().context
  }

  get transfers(): Transfers {
    return this.#next().transfers
  }

  get deliveries(): Deliveries {
    return this.#next().deliveries
  }

  get sweeper(): Sweeper {
    return this.#next().sweeper
  }

  /** The portal for the next call, in turn. */
  #next(): Portal {
    const portal = this.#portals[this.#calls++ % this.#portals.length]
    if (portal === undefined) throw new Error('the system has not been started')
    return portal
  }

  async close(): Promise<void> {
    await this.#opened?.ledger.close()
  }

  account(name: string): Account {
    const account = this.accounts.get(name)
    if (account === undefined) throw new Error(`there is no ${name}`)
    return account
  }

  /** Runs calls at once. The seed decides the order of their steps. */
  async atOnce(seed: number, calls: readonly (() => Promise<string>)[]): Promise<string[]> {
    const random = randomFrom(seed)
    // Now and then a step waits until all others are over, as if the system had paused its portal.
    this.#turns = () => (random() < PAUSED_SHARE ? PAUSED_TURNS : Math.floor(random() * 4))
    try {
      return await Promise.all(calls.map((call) => outcomeOf(call())))
    } finally {
      this.#turns = null
    }
  }

  async announce(transferId: string, announcement: Announcement): Promise<string> {
    const { isNew } = await this.transfers.announce(this.account('alice'), transferId, announcement)
    return isNew ? 'new' : 'known'
  }

  async putPart(transferId: string, fileIndex: number, partNumber: number, kind: PartKind): Promise<string> {
    const part = files[fileIndex]?.parts[partNumber - 1]
    const announced = kind === 'other' ? part?.other : part?.right
    const bytes = Buffer.from(announced ?? Buffer.alloc(1))
    if (kind === 'corrupt') bytes[0] = (bytes[0] ?? 0) ^ 1
    const body = { short: bytes.subarray(1), long: Buffer.concat([bytes, bytes]) }[kind as string] ?? bytes
    const digest = kind === 'other' ? part?.otherDigest : part?.rightDigest
    if (kind === 'full') this.isFull = true
    try {
      await this.transfers.receivePart(this.account('alice'), transferId, {
        partNumber,
        contentLength: String(bytes.length),
        contentDigest: formatContentDigest('sha-256', digest ?? '00'.repeat(32)),
        body: Readable.from([body]),
        onBytes: () => {},
        signal: new AbortController().signal,
      })
      return 'held'
    } finally {
      if (kind === 'full') this.isFull = false
    }
  }

  async complete(transferId: string, manifestDigest: string, attempt: number): Promise<string> {
    return (await this.transfers.complete(this.account('alice'), transferId, { manifestDigest, attempt })).notification
  }

  async cancel(transferId: string): Promise<string> {
    return (await this.transfers.cancel(this.account('alice'), transferId, false)).state
  }

  async sweep(): Promise<string> {
    await this.sweeper.sweep()
    return 'swept'
  }

  /** Wraps a ledger or store. While several calls run at once, each step takes a few turns of the event loop. */
  #steps<Target extends Ledger | Store>(target: Target): Target {
    return new Proxy(target, {
      get: (_target, name) => {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function' || name === 'held' || name === 'nowMs') return bound(member, target)
        return async (...parameters: unknown[]) => {
          await this.#pause()
          const result: unknown = await Reflect.apply(member, target, parameters)
          await this.#pause()
          return result
        }
      },
    })
  }

  async #pause(): Promise<void> {
    for (let left = this.#turns?.() ?? 0; left > 0; left--) await new Promise((resolve) => setImmediate(resolve))
  }

  #bounded(store: Store): Store {
    return new Proxy(store, {
      get: (_target, name) => {
        if (name !== 'openPart') return bound(Reflect.get(store, name), store)
        return async (key: Parameters<Store['openPart']>[0]) => {
          if (this.isFull) throw new Problem('storage-full')
          return store.openPart(key)
        }
      },
    })
  }
}

function bound(member: unknown, target: object): unknown {
  return typeof member === 'function' ? member.bind(target) : member
}
