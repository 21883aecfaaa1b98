/** The context of the portal's core, for tests that drive it without HTTP. */
import pino from 'pino'
import { KeyedMutex } from '../../src/async/index.ts'
import type { PortalContext } from '../../src/portal/context.ts'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { Audit } from '../../src/portal/monitoring/audit.ts'
import { Heartbeat } from '../../src/portal/monitoring/heartbeat.ts'
import { createMetrics } from '../../src/portal/monitoring/metrics.ts'
import { Throughput } from '../../src/portal/monitoring/throughput.ts'
import { type PortalOptions, portalDefaults } from '../../src/portal/options.ts'
import { localSignals } from '../../src/portal/signals/index.ts'
import { ActiveUploads } from '../../src/portal/uploads/active-uploads.ts'
import { memoryStore } from '../suites/memory-store.ts'

/** All tests share one, because each would watch the process for as long as it runs. No test reads these figures. */
const metrics = createMetrics({
  totals: async () => ({ openTransfers: 0, openBytes: 0 }),
  census: async () => ({ resumable: 0 }),
  guests: async () => ({ receiving: 0, sending: 0, requests: 0 }),
  webhooks: async () => ({ failing: 0, disabled: 0, waiting: 0 }),
  inboxes: () => 0,
})

/** A context with this ledger. Everything else that a test does not give is the simplest possible. */
export function aContext(
  given: Partial<Omit<PortalContext, 'options'>> & {
    readonly ledger: Ledger
    readonly options?: Partial<PortalOptions>
  },
): PortalContext {
  const { ledger, options, portalId = 'here', log = pino({ level: 'silent' }) } = given
  return {
    portalId,
    store: memoryStore(),
    signals: localSignals(),
    turns: new KeyedMutex(),
    activeUploads: new ActiveUploads(),
    metrics,
    log,
    audit: new Audit(log),
    heartbeat: new Heartbeat({ portalId, ledger, throughput: new Throughput(ledger.nowMs), log }),
    ...given,
    options: { ...portalDefaults, ...options },
  }
}
