/**
 * App 2, the portal: takes files from senders into temporary storage, hands them on to receivers, and tells the
 * sender twice.
 */
import { realpath } from 'node:fs/promises'
import pino, { type Logger } from 'pino'
import { localTurns } from '../hop/index.ts'
import { lockFolder, makeFolder } from '../hop/node.ts'
import { Problem, randomText } from '../protocol/index.ts'
import { AccountWatch } from './account-watch.ts'
import { Attendance } from './attendance.ts'
import { Audit } from './audit.ts'
import type { PortalContext } from './context.ts'
import { Deliveries } from './deliveries.ts'
import { buildServer } from './http/server.ts'
import { certificateReload, readTls, TlsServer, tellCertificate } from './http/tls.ts'
import { createMetrics } from './metrics.ts'
import { OpenRequests } from './open-requests.ts'
import { openLedger, openSignals, openStore, usesFolder } from './opening.ts'
import { type PortalOptions, portalDefaults } from './options.ts'
import { pair } from './pairing.ts'
import { placesOf } from './places.ts'
import { recentParts } from './store/recent.ts'
import { Sweeper } from './sweeper.ts'
import { Tally, tallied } from './tally.ts'
import { Transfers } from './transfers.ts'
import { Uploads } from './uploads.ts'

export { invite, renew } from './accounts.ts'
export { portalLog } from './log.ts'
export { openLedger, openLedgerThere } from './opening.ts'
export { type PortalOptions, portalDefaults, type TlsFiles } from './options.ts'
export { placesOf } from './places.ts'

const PORTAL_ID_BYTES = 9
/** A receiver that waits for a part asks for it at once. */
const RECENT_MS = 1_000

/** A portal that is running. */
export interface RunningPortal {
  /** Address under which it is reached. */
  readonly url: string
  /**
   * Reads the certificate anew, for connections to come. What is wrong with it is logged, and the old one stays; without
   * TLS there is nothing to read.
   */
  reload(): Promise<void>
  /** Stops taking requests; those in flight finish or are cut off in bounded time. */
  close(): Promise<void>
}

/**
 * Starts a portal. When this resolves, it serves.
 *
 * @throws Problem `folder-unavailable` when another portal has the data folder, `certificate-invalid` when the files
 *   for TLS cannot be used, `redirects-impossible` when the store cannot do what `redirectDownloads` asks of it
 */
export async function startPortal(
  settings: Partial<PortalOptions> = {},
  log: Logger = pino({ level: 'silent' }),
): Promise<RunningPortal> {
  const options: PortalOptions = { ...portalDefaults, ...settings }
  const tls = options.tls === null ? null : await readTls(options.tls)
  await using opening = new AsyncDisposableStack()
  if (usesFolder(options)) {
    await makeFolder(options.dataFolder)
    const lock = await lockFolder(await realpath(options.dataFolder))
    opening.defer(() => lock.release())
  }
  const metrics = createMetrics(() => ledger.totals())
  const untallied = await openLedger(options, { log, onStatement: () => metrics.ledgerStatements.inc() })
  opening.defer(() => untallied.close())
  const tally = new Tally(untallied.nowMs)
  const ledger = tallied(untallied, tally)
  // Receivers that fetch from the store itself need nothing from memory.
  const bytesMax = options.redirectDownloads ? 0 : options.recentBytesMax
  const inner = await openStore(options, { onStoreRequest: (kind) => metrics.storeRequests.inc({ kind }) })
  const store = recentParts(inner, { bytesMax, keepMs: RECENT_MS })
  opening.defer(() => store.close())
  await pair(ledger, store, options.adoptStore)
  const signals = opening.use(await openSignals(options, log))
  if (options.redirectDownloads && store.linkTo === null) {
    const detail = '--redirect-downloads needs a store that can be reached by addresses of its own: --store s3://…'
    throw new Problem('redirects-impossible', { detail })
  }
  const stop = new AbortController()
  const audit = new Audit(log)
  opening.use(audit)
  const uploads = new Uploads()
  opening.defer(() => uploads.allEnded())
  const portalId = randomText(PORTAL_ID_BYTES)
  const attendance = new Attendance({ portalId, ledger, tally, log })
  const context: PortalContext = {
    portalId,
    ledger,
    store,
    signals,
    turns: localTurns(),
    uploads,
    options,
    metrics,
    log,
    audit,
    attendance,
  }
  opening.defer(() => attendance.stop())
  const transfers = new Transfers(context)
  const deliveries = new Deliveries(context)
  const sweeper = new Sweeper(context, transfers, deliveries)
  const openRequests = new OpenRequests()
  const accountWatch = new AccountWatch(context, openRequests)
  const app = await buildServer({ context, transfers, deliveries, openRequests, stop: stop.signal }, tls)
  // Fastify does not know that the server it was given speaks TLS.
  const addressOf = (address: string): string => (tls === null ? address : address.replace(/^http:/, 'https:'))
  const listening = addressOf(
    await app.listen({
      host: options.listenHost,
      port: options.listenPort,
      listenTextResolver: (address) => `listening at ${addressOf(address)}`,
    }),
  )
  opening.defer(async () => {
    const closing = app.close()
    stop.abort()
    const cut = setTimeout(() => app.server.closeAllConnections(), options.stopMs)
    await closing
    clearTimeout(cut)
  })
  const url = options.publicUrl ?? listening
  if ((await ledger.address()) !== url) await ledger.setAddress(url)
  attendance.start()
  sweeper.start()
  opening.defer(() => sweeper.stop())
  accountWatch.start()
  opening.defer(() => accountWatch.stop())
  // Nobody else will find what an earlier process has left there.
  if (!store.traits.isShared) sweeper.search()
  log.info({ url, ...placesOf(options) }, 'portal listening')
  if (tls !== null) tellCertificate(tls, log)
  const { server } = app
  const reloadCertificate =
    options.tls !== null && server instanceof TlsServer ? certificateReload(options.tls, server, log) : null

  const running = opening.move()
  return {
    url,
    async reload() {
      if (reloadCertificate === null) log.info('told to reload, but without TLS there is nothing to reload')
      else await reloadCertificate()
    },
    async close() {
      await running.disposeAsync()
      log.info('portal stopped')
    },
  }
}
