/** What the portal's core stands on, for tests that drive it without HTTP. */
import pino from 'pino'
import { localTurns } from '../../src/hop/index.ts'
import { Attendance } from '../../src/portal/attendance.ts'
import { Audit } from '../../src/portal/audit.ts'
import type { PortalContext } from '../../src/portal/context.ts'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { createMetrics } from '../../src/portal/metrics.ts'
import { type PortalOptions, portalDefaults } from '../../src/portal/options.ts'
import { localSignals } from '../../src/portal/signals/index.ts'
import { memoryStore } from '../../src/portal/store/memory.ts'
import { Tally } from '../../src/portal/tally.ts'
import { Uploads } from '../../src/portal/uploads.ts'

/** One for all: each would watch the process for as long as that lives. Nobody reads these figures. */
const metrics = createMetrics(async () => ({ openTransfers: 0, openBytes: 0 }))

/** A context over this ledger; what else is not given is of the smallest kind. */
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
    turns: localTurns(),
    uploads: new Uploads(),
    metrics,
    log,
    audit: new Audit(log),
    attendance: new Attendance({ portalId, ledger, tally: new Tally(ledger.nowMs), log }),
    ...given,
    options: { ...portalDefaults, ...options },
  }
}
