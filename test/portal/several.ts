/** Several portals that share one ledger and one store. A test drives their core itself, call by call. */
import { Readable } from 'node:stream'
import pino from 'pino'
import { onTestFinished } from 'vitest'
import { manifestDigestOf } from '../../src/digests/index.ts'
import { Deliveries } from '../../src/portal/deliveries/deliveries.ts'
import type { Account, Ledger } from '../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { Audit } from '../../src/portal/monitoring/audit.ts'
import type { PortalOptions } from '../../src/portal/options.ts'
import type { Signals } from '../../src/portal/signals/index.ts'
import type { Store } from '../../src/portal/store/contract.ts'
import { Sweeper } from '../../src/portal/sweeper.ts'
import { Transfers } from '../../src/portal/uploads/transfers.ts'
import { formatContentDigest, newTransferId } from '../../src/protocol/index.ts'
import { FakeClock, join } from '../suites/ledger.ts'
import { memoryStore } from '../suites/memory-store.ts'
import { somePart } from '../suites/store.ts'
import { aContext } from './context.ts'

const PART_BYTES = 64 * 1024

/** The shared ledger and store, and `portal`, which makes another portal. */
export async function begin(options: Partial<PortalOptions> = {}) {
  const clock = new FakeClock()
  const inner = await sqliteLedger({ path: ':memory:', now: clock.now })
  onTestFinished(() => inner.close())
  const ledger: Ledger = { ...inner, traits: { isShared: true } }
  const store: Store = { ...memoryStore(), traits: { isShared: true } }
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  /** Makes another portal. A given ledger or store replaces the shared one. */
  const portal = (portalId: string, given: { store?: Store; ledger?: Ledger; signals?: Signals } = {}) => {
    const lines: { audit?: string; changeId?: number }[] = []
    const log = pino({ level: 'silent' })
    const audit = new Audit(pino({}, { write: (line: string) => lines.push(JSON.parse(line)) }))
    const context = aContext({ portalId, ledger, store, log, audit, ...given, options })
    const transfers = new Transfers(context)
    const deliveries = new Deliveries(context)
    return { context, transfers, deliveries, sweeper: new Sweeper(context, transfers), lines }
  }
  return { clock, ledger, store, ada, bob, portal }
}

export type Portal = ReturnType<Awaited<ReturnType<typeof begin>>['portal']>

/** A file of two parts, with everything that a sender sends for it. */
export function aFile() {
  const transferId = newTransferId()
  const parts = [1, 2].map((partNumber) => somePart(transferId, partNumber, PART_BYTES))
  const manifestDigest = manifestDigestOf(
    'sha-256',
    parts.map(({ key }) => key.digest),
  )
  const announcement = {
    to: ['bob'],
    metadata: { name: 'plan.pdf' },
    sizeBytes: 2 * PART_BYTES,
    partSizeBytes: PART_BYTES,
    digestAlgorithm: 'sha-256',
  }
  const put = async ({ transfers }: Pick<Portal, 'transfers'>, account: Account): Promise<void> => {
    for (const { key, bytes } of parts) {
      await transfers.receivePart(account, transferId, {
        partNumber: key.partNumber,
        contentLength: String(bytes.length),
        contentDigest: formatContentDigest('sha-256', key.digest),
        // The portal owns the memory of a received part and reuses it, so each upload gets a copy.
        body: Readable.from([Buffer.from(bytes)]),
        onBytes: () => {},
        signal: new AbortController().signal,
      })
    }
  }
  return { transferId, announcement, manifestDigest, put, parts }
}

/** How many parts the store holds of the current attempt. */
export async function heldOf(store: Store, ledger: Ledger, transferId: string): Promise<number> {
  const transfer = await ledger.transfer(transferId)
  return transfer === null ? 0 : (await store.list(transfer)).size
}
