/**
 * The portal: receives files from senders into temporary storage, delivers them to receivers, and notifies the sender after each
 * of the two hops.
 */
import { realpath } from 'node:fs/promises'
import pino, { type Logger } from 'pino'
import { KeyedMutex } from '../async/index.ts'
import { lockFolder } from '../fs/index.ts'
import { Problem, randomText, timerMs } from '../protocol/index.ts'
import { AccountAdmin } from './accounts/account-admin.ts'
import { AccountWatch } from './accounts/account-watch.ts'
import { OpenRequests } from './accounts/open-requests.ts'
import type { PortalContext } from './context.ts'
import { Deliveries } from './deliveries/deliveries.ts'
import { buildOperationsServer } from './http/operations-server.ts'
import { buildServer } from './http/server.ts'
import { certificateReload, readTls, TlsServer, tellCertificate } from './http/tls.ts'
import { Audit } from './monitoring/audit.ts'
import { Heartbeat } from './monitoring/heartbeat.ts'
import { createMetrics } from './monitoring/metrics.ts'
import { Throughput, withThroughput } from './monitoring/throughput.ts'
import { optionsOf, type PortalOptions, requirePossible } from './options.ts'
import { makesLedger, openLedger, openSignals, openStore, requireDataFolder, usesFolder } from './startup/backends.ts'
import { type StorageLocation, storageLocationOf } from './startup/storage-location.ts'
import { bindStore } from './startup/store-binding.ts'
import { recentParts } from './store/recent.ts'
import { Sweeper } from './sweeper.ts'
import { ActiveUploads } from './uploads/active-uploads.ts'
import { ResumableUploads } from './uploads/resumable/index.ts'
import { Transfers } from './uploads/transfers.ts'
import { WebhookAddresses } from './webhooks/addresses.ts'
import { WebhookRequests } from './webhooks/request.ts'
import { WebhookWorker } from './webhooks/worker.ts'

export { AccountAdmin, type AccountSummary } from './accounts/account-admin.ts'
export { invite, renew } from './accounts/accounts.ts'
export { type LogOptions, portalLog } from './monitoring/log.ts'
export type { MovedLedger } from './moving/index.ts'
export { type PortalOptions, portalDefaults, type TlsFiles } from './options.ts'
export { openLedger, openLedgerThere } from './startup/backends.ts'
export type { StorageLocation } from './startup/storage-location.ts'

const PORTAL_ID_BYTES = 9
/** How long a new part stays in memory: a receiver that waits for it asks at once. */
const RECENT_MS = 1_000

/** A running portal. */
export interface RunningPortal {
  /** Address under which clients reach it. */
  readonly url: string
  /** Address of the operations server (metrics and health); null when they are served at `url`. */
  readonly operationsUrl: string | null
  /** Account management for the operator. */
  readonly accounts: AccountAdmin
  /** Whether the data folder had no ledger, so that this portal starts without accounts. False with a ledger in a database. */
  readonly isNew: boolean
  /** Where its ledger and its parts are kept. */
  readonly keptIn: StorageLocation
  /**
   * Reads the certificate again, for new connections. If it cannot be used, the error is logged and the old one stays. Does
   * nothing without TLS.
   */
  reload(): Promise<void>
  /** Stops accepting requests. Open ones finish or are cut off in bounded time. */
  close(): Promise<void>
}

/**
 * Starts a portal. When this resolves, it serves.
 *
 * @throws Problem `options-invalid` for an unknown option; `folder-unavailable` when another portal has the data folder,
 *   `certificate-invalid` when the files for TLS cannot be used, `setting-impossible` when a limit exceeds that of the protocol,
 *   `redirects-impossible` when the store cannot make the links that `redirectDownloads` needs
 */
export async function startPortal(
  settings: Partial<PortalOptions> = {},
  log: Logger = pino({ level: 'silent' }),
): Promise<RunningPortal> {
  const options = optionsOf(settings)
  requirePossible(options)
  const tls = options.tls === null ? null : await readTls(options.tls)
  await using opening = new AsyncDisposableStack()
  if (usesFolder(options)) {
    await requireDataFolder(options)
    const lock = await lockFolder(await realpath(options.dataFolder))
    opening.defer(() => lock.release())
  }
  const isNew = makesLedger(options)
  const metrics = createMetrics({
    totals: () => ledger.totals(),
    census: () => ledger.census(),
    guests: () => ledger.guestCensus(),
    webhooks: () => ledger.webhookCensus(),
    inboxes: () => heartbeat.connectionCount,
  })
  const opened = await openLedger(options, { log, onStatement: () => metrics.ledgerStatements.inc() })
  opening.defer(() => opened.close())
  const throughput = new Throughput(opened.nowMs)
  const ledger = withThroughput(opened, throughput)
  // Receivers that fetch from the store directly need no parts in memory.
  const bytesMax = options.redirectDownloads ? 0 : options.recentBytesMax
  const inner = await openStore(options, { onStoreRequest: (kind) => metrics.storeRequests.inc({ kind }) })
  const store = recentParts(inner, { bytesMax, keepMs: RECENT_MS })
  opening.defer(() => store.close())
  await bindStore(ledger, store, options.adoptStore)
  const signals = opening.use(await openSignals(options, log))
  if (options.redirectDownloads && store.linkTo === null) {
    const detail = '--redirect-downloads needs a store that can be reached by addresses of its own: --store s3://…'
    throw new Problem('redirects-impossible', { detail })
  }
  const stop = new AbortController()
  const audit = new Audit(log)
  opening.use(audit)
  const activeUploads = new ActiveUploads()
  opening.defer(() => activeUploads.allEnded())
  const portalId = randomText(PORTAL_ID_BYTES)
  const onRollback = (): void => {
    const connections = openRequests.cutAll()
    accountWatch.startOver()
    log.error({ connections }, 'the ledger was restored from a backup: all connected clients have to connect again')
  }
  const heartbeat = new Heartbeat({ portalId, ledger, throughput, log, onRollback })
  const context: PortalContext = {
    portalId,
    ledger,
    store,
    signals,
    turns: new KeyedMutex(),
    activeUploads,
    options,
    metrics,
    log,
    audit,
    heartbeat,
  }
  opening.defer(() => heartbeat.stop())
  const transfers = new Transfers(context)
  const deliveries = new Deliveries(context)
  opening.defer(() => deliveries.flush())
  const sweeper = new Sweeper(context, transfers)
  await sweeper.keepTime().catch((error: unknown) => {
    if (!(error instanceof Problem) || error.code !== 'unavailable') throw error
    // Not fatal: the first sweep checks the clock before it ends anything.
    log.warn({ reason: error.message }, 'the clock of the ledger could not be checked')
  })
  const openRequests = new OpenRequests()
  const accountWatch = new AccountWatch(context, openRequests)
  const uploads = new ResumableUploads(context, transfers)
  const services = { context, transfers, uploads, deliveries, openRequests, stop: stop.signal }
  const app = await buildServer(services, tls)
  const operations = options.operationsListen === null ? null : await buildOperationsServer(services)
  opening.defer(async () => operations?.close())
  const operationsUrl = (await operations?.listen(options.operationsListen ?? {})) ?? null
  // Fastify does not know that its server uses TLS.
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
    const cut = setTimeout(() => app.server.closeAllConnections(), timerMs(options.stopMs))
    await closing
    clearTimeout(cut)
  })
  const url = options.publicUrl ?? listening
  if ((await ledger.address()) !== url) await ledger.setAddress(url)
  heartbeat.start()
  sweeper.start()
  opening.defer(() => sweeper.stop())
  accountWatch.start()
  opening.defer(() => accountWatch.stop())
  const requests = new WebhookRequests(new WebhookAddresses(options.webhookNetworks), options.webhookTimeoutMs)
  opening.use(requests)
  const webhooks = new WebhookWorker(context, requests)
  webhooks.start()
  opening.defer(() => webhooks.stop())
  // Without a shared store, only this portal can find the parts that an earlier process of it has left.
  if (!store.traits.isShared) sweeper.search()
  const keptIn = storageLocationOf(options)
  log.info({ url, operationsUrl, ...keptIn }, 'portal listening')
  if (tls !== null) tellCertificate(tls, log)
  const { server } = app
  const reloadCertificate =
    options.tls !== null && server instanceof TlsServer ? certificateReload(options.tls, server, log) : null

  const running = opening.move()
  return {
    url,
    operationsUrl,
    accounts: new AccountAdmin(ledger, { publicUrl: url, inviteMs: options.inviteMs, invitesMax: options.invitesMax }),
    isNew,
    keptIn,
    async reload() {
      if (reloadCertificate === null) log.info('SIGHUP ignored: without TLS there is nothing to reload')
      else await reloadCertificate()
    },
    async close() {
      await running.disposeAsync()
      log.info('portal stopped')
    },
  }
}
