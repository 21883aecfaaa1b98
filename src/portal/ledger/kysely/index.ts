/** The ledger over any SQL database of Kysely. The drivers beside this folder provide the connection. */
import type { Ledger } from '../contract.ts'
import { accounts } from './accounts.ts'
import type { LedgerContext } from './context.ts'
import { deliveries } from './deliveries.ts'
import { duties } from './duties.ts'
import { events } from './events.ts'
import { guests } from './guests.ts'
import { inlineUploads } from './inline-uploads.ts'
import { sweeps } from './sweeps.ts'
import { time } from './time.ts'
import { transfers } from './transfers.ts'
import { uploads } from './uploads.ts'
import { watch } from './watch.ts'
import { webhookWork } from './webhook-work.ts'
import { webhooks } from './webhooks.ts'

export function kyselyLedger(context: LedgerContext): Ledger {
  return {
    traits: { isShared: context.isShared },
    ...time(context),
    ...duties(context),
    ...accounts(context),
    ...guests(context),
    ...transfers(context),
    ...inlineUploads(context),
    ...uploads(context),
    ...deliveries(context),
    ...events(context),
    ...sweeps(context),
    ...watch(context),
    ...webhooks(context),
    ...webhookWork(context),
    close: () => context.db.destroy(),
  }
}
