/**
 * App 2, the portal: takes files from senders into temporary storage, hands them on to receivers, and tells the
 * sender twice.
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import pino, { type Logger } from 'pino'
import { makeFolder, replaceFile } from '../hop/index.ts'
import type { PortalContext } from './context.ts'
import { Deliveries } from './deliveries.ts'
import { buildServer } from './http/server.ts'
import type { Ledger } from './ledger/contract.ts'
import { sqliteLedger } from './ledger/sqlite.ts'
import { createMetrics } from './metrics.ts'
import { type PortalOptions, portalDefaults } from './options.ts'
import { localSignals } from './signals.ts'
import { fsStore } from './store/fs.ts'
import { Sweeper } from './sweeper.ts'
import { Transfers } from './transfers.ts'

export { invite } from './accounts.ts'
export { type PortalOptions, portalDefaults } from './options.ts'

/** A portal that is running. */
export interface RunningPortal {
  /** Address under which it is reached. */
  readonly url: string
  /** Stops taking requests; those in flight finish or are cut off in bounded time. */
  close(): Promise<void>
}

/** Opens the ledger of a data folder: for the portal, and for the commands of its operator beside it. */
export async function openLedger(dataFolder: string): Promise<Ledger> {
  await makeFolder(dataFolder)
  const path = join(dataFolder, 'ledger.sqlite')
  // Made here for its mode: SQLite gives the files it adds beside it the same one.
  await (await open(path, 'a', 0o600)).close()
  return sqliteLedger({ path })
}

/** Where the portal of a data folder is reached, for invites. */
export function addressFile(dataFolder: string): string {
  return join(dataFolder, 'address')
}

/** Starts a portal. When this resolves, it serves. */
export async function startPortal(
  settings: Partial<PortalOptions> = {},
  log: Logger = pino({ level: 'silent' }),
): Promise<RunningPortal> {
  const options: PortalOptions = { ...portalDefaults, ...settings }
  const ledger = await openLedger(options.dataFolder)
  const stop = new AbortController()
  const context: PortalContext = {
    ledger,
    store: await fsStore(join(options.dataFolder, 'store')),
    signals: localSignals(),
    options,
    metrics: createMetrics(() => ledger.totals()),
    log,
  }
  const transfers = new Transfers(context)
  const deliveries = new Deliveries(context)
  const sweeper = new Sweeper(context, transfers, deliveries)
  const app = await buildServer({ context, transfers, deliveries, stop: stop.signal })
  const listening = await app.listen({ host: options.listenHost, port: options.listenPort })
  const url = options.publicUrl ?? listening
  await replaceFile(addressFile(options.dataFolder), `${url}\n`, 0o644)
  sweeper.start()
  const orphans = sweeper
    .removeOrphans(stop.signal)
    .catch((error: unknown) => log.error({ err: error }, 'the search for orphaned parts failed'))
  log.info({ url, dataFolder: options.dataFolder }, 'portal listening')

  return {
    url,
    async close() {
      const closing = app.close()
      stop.abort()
      const cut = setTimeout(() => app.server.closeAllConnections(), options.stopMs)
      await closing
      clearTimeout(cut)
      await sweeper.stop()
      await orphans
      await ledger.close()
      log.info('portal stopped')
    },
  }
}
