/** What the portal's core stands on, for tests that drive it without HTTP. */
import pino from 'pino'
import type { PortalContext } from '../../src/portal/context.ts'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { createMetrics } from '../../src/portal/metrics.ts'
import { type PortalOptions, portalDefaults } from '../../src/portal/options.ts'
import { localSignals } from '../../src/portal/signals.ts'
import { memoryStore } from '../../src/portal/store/memory.ts'

/** A context over this ledger; what else is not given is of the smallest kind. */
export function aContext(
  given: Partial<Omit<PortalContext, 'options'>> & {
    readonly ledger: Ledger
    readonly options?: Partial<PortalOptions>
  },
): PortalContext {
  const { ledger, options } = given
  return {
    store: memoryStore(),
    signals: localSignals(),
    metrics: createMetrics(() => ledger.totals()),
    log: pino({ level: 'silent' }),
    ...given,
    options: { ...portalDefaults, ...options },
  }
}
