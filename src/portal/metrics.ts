/** What an operator watches, in the form that Prometheus reads. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

export interface Metrics {
  readonly registry: Registry
  /** Notifications written into the log, by kind. */
  readonly notifications: Counter<'notification'>
  /** Bytes of parts, by direction: `in` from senders, `out` to receivers, `redirected` to what the store gave an address of. */
  readonly partBytes: Counter<'direction'>
  /** Requests that ended in a problem, by code. */
  readonly problems: Counter<'code'>
  /** Requests that were answered, by what they asked for: the path as PROTOCOL.md writes it, never that of one transfer. */
  readonly requests: Counter<'method' | 'route'>
  /** What a store elsewhere was asked, tries that failed among them: most of them have their price. */
  readonly storeRequests: Counter<'kind'>
  /** Statements that the ledger ran. */
  readonly ledgerStatements: Counter
  readonly inboxes: Gauge
  readonly connections: Gauge
}

interface Totals {
  readonly openTransfers: number
  readonly openBytes: number
}

/** @param totals is asked when the metrics are read; while it fails, the others are read all the same */
export function createMetrics(totals: () => Promise<Totals>): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const totalGauge = (name: string, what: string, figureOf: (all: Totals) => number): Gauge =>
    new Gauge({
      name,
      help: `${what}, of all portals over the ledger: each of them says the same`,
      registers,
      async collect() {
        try {
          this.set(figureOf(await totals()))
        } catch {
          // No figure is better than an old one, and much better than none of the others.
          this.remove()
        }
      },
    })
  totalGauge('golooader_open_transfers', 'Transfers that have not ended', ({ openTransfers }) => openTransfers)
  totalGauge('golooader_open_bytes', 'Bytes that they add up to', ({ openBytes }) => openBytes)
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
    connections: new Gauge({ name: 'golooader_connections', help: 'Connections open to this process', registers }),
    inboxes: new Gauge({ name: 'golooader_inboxes', help: 'Receivers connected to this process', registers }),
  }
}
