/** The metrics of the portal, in the format of Prometheus. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

export interface Metrics {
  readonly registry: Registry
  /** Notifications written into the log, by kind. */
  readonly notifications: Counter<'notification'>
  /** Bytes of parts, by direction: `in` from senders, `out` to receivers, `redirected` for parts fetched from the store by address. */
  readonly partBytes: Counter<'direction'>
  /** Requests that ended in a problem, by code. */
  readonly problems: Counter<'code'>
  /** Answered requests by method and route. The route is the path pattern of PROTOCOL.md, without ids. */
  readonly requests: Counter<'method' | 'route'>
  /** Requests to S3, including failed tries, because most of them cost money. */
  readonly storeRequests: Counter<'kind'>
  /** Statements run by the ledger. */
  readonly ledgerStatements: Counter
  /** Tries to send a webhook. */
  readonly webhookTries: Counter<'result'>
  /** Requests that continued an upload behind its beginning. */
  readonly uploadsContinued: Counter
  readonly connections: Gauge
}

interface Totals {
  readonly openTransfers: number
  readonly openBytes: number
}

interface UploadTotals {
  readonly resumable: number
}

interface GuestTotals {
  readonly receiving: number
  readonly sending: number
  readonly requests: number
}

interface WebhookTotals {
  readonly failing: number
  readonly disabled: number
  readonly waiting: number
}

/** Values that are looked up when the metrics are read. */
interface Sources {
  /** If it fails, the other metrics are still returned. */
  totals(): Promise<Totals>
  /** The same. */
  census(): Promise<UploadTotals>
  /** The same. */
  guests(): Promise<GuestTotals>
  /** The same. */
  webhooks(): Promise<WebhookTotals>
  /** Connections of receivers to this process. */
  inboxes(): number
}

export function createMetrics({ totals, census, guests, webhooks, inboxes }: Sources): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const totalGauge = (name: string, what: string, figure: () => Promise<number>): Gauge =>
    new Gauge({
      name,
      help: `${what}, of all portals over the ledger: each of them says the same`,
      registers,
      async collect() {
        try {
          this.set(await figure())
        } catch {
          // Removes the outdated figure, so that the other metrics can still be given.
          this.remove()
        }
      },
    })
  totalGauge('golooader_open_transfers', 'Transfers that have not ended', async () => (await totals()).openTransfers)
  totalGauge('golooader_open_bytes', 'Bytes that they add up to', async () => (await totals()).openBytes)
  totalGauge(
    'golooader_resumable_uploads',
    'Uploads that later requests may continue',
    async () => (await census()).resumable,
  )
  totalGauge('golooader_receiving_guests', 'Guests of send links', async () => (await guests()).receiving)
  totalGauge('golooader_sending_guests', 'Guests of request links', async () => (await guests()).sending)
  totalGauge('golooader_open_requests', 'Open requests for files', async () => (await guests()).requests)
  totalGauge('golooader_webhooks_failing', 'Webhooks whose last try failed', async () => (await webhooks()).failing)
  totalGauge('golooader_webhooks_disabled', 'Webhooks that wanted no more', async () => (await webhooks()).disabled)
  totalGauge(
    'golooader_webhook_messages_waiting',
    'Messages to webhooks without an outcome',
    async () => (await webhooks()).waiting,
  )
  new Gauge({
    name: 'golooader_inboxes',
    help: 'Receivers connected to this process',
    registers,
    collect() {
      this.set(inboxes())
    },
  })
  return {
    registry,
    notifications: new Counter({
      name: 'golooader_notifications_total',
      help: 'Notifications given',
      labelNames: ['notification'],
      registers,
    }),
    partBytes: new Counter({
      name: 'golooader_part_bytes_total',
      help: 'Bytes of parts taken in and handed out',
      labelNames: ['direction'],
      registers,
    }),
    problems: new Counter({
      name: 'golooader_problems_total',
      help: 'Requests that ended in a problem',
      labelNames: ['code'],
      registers,
    }),
    requests: new Counter({
      name: 'golooader_requests_total',
      help: 'Requests answered',
      labelNames: ['method', 'route'],
      registers,
    }),
    storeRequests: new Counter<'kind'>({
      name: 'golooader_store_requests_total',
      help: 'Requests made of an S3 store',
      labelNames: ['kind'],
      registers,
    }),
    ledgerStatements: new Counter({
      name: 'golooader_ledger_statements_total',
      help: 'SQL statements run, without the beginnings and ends of transactions',
      registers,
    }),
    webhookTries: new Counter<'result'>({
      name: 'golooader_webhook_tries_total',
      help: 'Tries to send a message to a webhook',
      labelNames: ['result'],
      registers,
    }),
    uploadsContinued: new Counter({
      name: 'golooader_uploads_continued_total',
      help: 'Requests that continued an upload behind its beginning',
      registers,
    }),
    connections: new Gauge({ name: 'golooader_connections', help: 'Connections open to this process', registers }),
  }
}
