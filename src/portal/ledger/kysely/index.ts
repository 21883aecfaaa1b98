/** The ledger over any SQL database that Kysely speaks to. The drivers beside this folder bring the connection. */
import type { Ledger } from '../contract.ts'
import { accounts } from './accounts.ts'
import { deliveries } from './deliveries.ts'
import { duties } from './duties.ts'
import { events } from './events.ts'
import type { LedgerContext } from './rows.ts'
import { sweeps } from './sweeps.ts'
import { transfers } from './transfers.ts'
import { watch } from './watch.ts'
import { wholes } from './wholes.ts'

export function kyselyLedger(context: LedgerContext): Ledger {
  return {
    traits: { isShared: context.isShared },
    nowMs: () => Math.floor(context.now()),
    ...duties(context),
    ...accounts(context),
    ...transfers(context),
    ...wholes(context),
    ...deliveries(context),
    ...events(context),
    ...sweeps(context),
    ...watch(context),
    close: () => context.db.destroy(),
  }
}
