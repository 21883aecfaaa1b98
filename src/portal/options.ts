/** The options of a portal, with safe defaults. Units stand last in names. */
import { fastDigestAlgorithms } from '../digests/index.ts'
import type { MinThroughput } from '../parts/index.ts'
import {
  checkOptions,
  type DigestAlgorithm,
  defaultDigestAlgorithm,
  knownDigestAlgorithms,
  type Limits,
  type OptionRule,
  Problem,
  transferSizeBytesMax,
  wholeSizeBytesMax,
  withoutUndefined,
} from '../protocol/index.ts'

/** The folder of the built page. The path is valid from `src/portal`, from `dist/portal` and from the bundle in `dist/cli`. */
export const pageFolder = new URL('../../dist/page/', import.meta.url)

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

/** PEM files: the certificate with its chain, and its key. */
export interface TlsFiles {
  readonly certPath: string
  readonly keyPath: string
}

export interface PortalOptions {
  readonly listenHost: string
  /** 0 for any free port. */
  readonly listenPort: number
  /** A separate address that serves metrics and health by plain HTTP. Metrics are then served only there. null: at the portal's address. */
  readonly operationsListen: { readonly host: string; readonly port: number } | null
  /** Address under which senders and receivers reach the portal; null: the one it listens on. */
  readonly publicUrl: string | null
  /** null: plain HTTP, for loopback or behind a proxy that does TLS. */
  readonly tls: TlsFiles | null
  /** Addresses and networks (CIDR) of proxies whose `X-Forwarded-For` is trusted. */
  readonly trustedProxies: readonly string[]
  /** The folder for ledger and parts, except those in PostgreSQL or S3. */
  readonly dataFolder: string
  /** PostgreSQL for the ledger: `postgres://…`. Together with `storeUrl`, several portals may share both. */
  readonly databaseUrl: string | null
  /** S3 for the parts: `s3://…`. */
  readonly storeUrl: string | null
  /** Uses the store even if it belongs to another ledger, or the ledger to another store. */
  readonly adoptStore: boolean
  /** Digest algorithms for new transfers. Only those that this machine computes fast are offered, and always `sha-256`. */
  readonly digestAlgorithms: readonly DigestAlgorithm[]
  /** The largest file, without the bytes that sealing adds. At most what fits into the parts of a transfer. */
  readonly transferSizeBytesMax: number
  /** A file up to this size may come in one request, and is kept in the ledger; 0 for none. */
  readonly wholeSizeBytesMax: number
  /** The largest sum of an account's open transfers. */
  readonly accountBytesMax: number
  readonly accountTransfersMax: number
  /** Open uploads of an account that its later requests may continue. */
  readonly accountUploadsMax: number
  /** The largest sum of all open transfers. */
  readonly storageBytesMax: number
  /** Space on the disk that stays free, above all for the ledger. */
  readonly freeBytesMin: number
  /** Memory for parts that have just arrived, from which waiting receivers get them; 0 for none. */
  readonly recentBytesMax: number
  /** How many attempts a sender has to upload, and how many tries a receiver has to fetch, before the transfer or delivery fails. */
  readonly attemptsMax: number
  /** Redirects receivers that ask for it to the store for their parts. Not every store can do that. */
  readonly redirectDownloads: boolean
  /** How long a download may be started with the address of a part in the store. */
  readonly linkMs: number
  /** Serves the web page at its own address. */
  readonly servesPage: boolean
  /** Refuses transfers that are not sealed. */
  readonly sealedOnly: boolean
  /** Lets accounts make guests: links by which people without an account receive and send files. */
  readonly allowsGuests: boolean
  /** The longest time for which a link works. */
  readonly guestExpiryMs: number
  /** How many links of an account may be open at a time, and how many it may make in 24 hours. */
  readonly accountGuestsMax: number
  readonly accountGuestsDailyMax: number
  /** The largest sum of the open transfers to and from guests of an account. */
  readonly accountGuestBytesMax: number
  /** How many webhooks an account may have; 0 for none. */
  readonly accountWebhooksMax: number
  /** Networks (CIDR) and addresses to which webhooks may go although they are not public, also by plain http. */
  readonly webhookNetworks: readonly string[]
  /** How long a try of a webhook may take. */
  readonly webhookTimeoutMs: number
  /** The shortest and the longest pause between two tries of a message to a webhook. */
  readonly webhookRetryMsMin: number
  readonly webhookRetryMsMax: number
  /** How long a message to a webhook is tried. */
  readonly webhookKeepTryingMs: number
  /** How often the ledger is asked for messages to webhooks that are due, if there are webhooks. */
  readonly webhookLookMs: number
  /** A sender that is silent for this time during an upload counts as gone. */
  readonly uploadTimeoutMs: number
  /** A connection without a byte for this time is closed. */
  readonly idleMs: number
  /** A receiver that is silent for this time loses the lease, and is offered the file again. */
  readonly leaseMs: number
  /** The shortest and the longest pause before a file is offered again to a silent receiver. */
  readonly offerPauseMsMin: number
  readonly offerPauseMsMax: number
  /** The total time that a transfer may take. */
  readonly expiryMs: number
  /** How long ended transfers and their events are remembered. */
  readonly historyMs: number
  readonly inviteMs: number
  /** How many invites may be open at a time. */
  readonly invitesMax: number
  readonly connectionsMax: number
  /** Connections from one address, except loopback and trusted proxies. */
  readonly addressConnectionsMax: number
  /** Open requests of one account, including event streams. */
  readonly accountConnectionsMax: number
  readonly accountRequestsPerSecond: number
  /** Pipelined requests that may wait on one connection. A connection with more is closed. */
  readonly pipelinedRequestsMax: number
  /** Open requests without a token: from one address, except loopback and trusted proxies, and in total. */
  readonly addressStrangerRequestsMax: number
  readonly strangerRequestsMax: number
  /** Invalid tokens and invites from one address. After more, failures are answered only with `rate-limited`. */
  readonly addressFailuresPerMinute: number
  /** Parts that are slower than this, averaged over `minThroughputWindowMs`, are cut off. 0 for no limit. */
  readonly minBytesPerSecond: number
  readonly minThroughputWindowMs: number
  /** How often the sweeper looks for what has run out. */
  readonly sweepMs: number
  /** How often the ledger is asked for changes of accounts. A revoked token works for this long at most. */
  readonly accountWatchMs: number
  /** How long open requests may take to finish when the portal stops. */
  readonly stopMs: number
}

export const portalDefaults: PortalOptions = {
  listenHost: '127.0.0.1',
  listenPort: 7878,
  operationsListen: null,
  publicUrl: null,
  tls: null,
  trustedProxies: [],
  dataFolder: './golooader-data',
  databaseUrl: null,
  storeUrl: null,
  adoptStore: false,
  digestAlgorithms: knownDigestAlgorithms,
  transferSizeBytesMax: 512 * GIB,
  wholeSizeBytesMax,
  accountBytesMax: 1024 * GIB,
  accountTransfersMax: 10_000,
  accountUploadsMax: 100,
  storageBytesMax: 1024 * GIB,
  freeBytesMin: 256 * MIB,
  recentBytesMax: 64 * MIB,
  attemptsMax: 5,
  redirectDownloads: false,
  linkMs: MINUTE_MS,
  servesPage: true,
  sealedOnly: false,
  allowsGuests: false,
  guestExpiryMs: 7 * DAY_MS,
  accountGuestsMax: 100,
  accountGuestsDailyMax: 500,
  accountGuestBytesMax: 10 * GIB,
  accountWebhooksMax: 10,
  webhookNetworks: [],
  webhookTimeoutMs: 15 * SECOND_MS,
  webhookRetryMsMin: 5 * SECOND_MS,
  webhookRetryMsMax: 4 * HOUR_MS,
  webhookKeepTryingMs: 3 * DAY_MS,
  webhookLookMs: SECOND_MS,
  uploadTimeoutMs: 10 * MINUTE_MS,
  idleMs: 30 * SECOND_MS,
  leaseMs: MINUTE_MS,
  offerPauseMsMin: SECOND_MS,
  offerPauseMsMax: 5 * MINUTE_MS,
  expiryMs: 7 * DAY_MS,
  historyMs: 30 * DAY_MS,
  inviteMs: DAY_MS,
  invitesMax: 1_000,
  connectionsMax: 20_000,
  addressConnectionsMax: 1_024,
  accountConnectionsMax: 256,
  accountRequestsPerSecond: 5_000,
  pipelinedRequestsMax: 32,
  addressStrangerRequestsMax: 256,
  strangerRequestsMax: 4_096,
  addressFailuresPerMinute: 60,
  minBytesPerSecond: KIB,
  minThroughputWindowMs: 30 * SECOND_MS,
  sweepMs: SECOND_MS,
  accountWatchMs: 250,
  stopMs: 5 * SECOND_MS,
}

/** The rules of options whose default is null. */
const nullableRules: Readonly<Record<string, OptionRule>> = {
  operationsListen: 'object or null?',
  tls: 'object or null?',
  publicUrl: 'text or null?',
  databaseUrl: 'text or null?',
  storeUrl: 'text or null?',
}

/** The schema of an option, from the type of its default. */
function ruleOf([name, value]: readonly [name: string, value: unknown]): [name: string, rule: OptionRule] {
  const types: Readonly<Record<string, OptionRule>> = { number: 'number?', boolean: 'flag?', string: 'text?' }
  return [name, nullableRules[name] ?? types[typeof value] ?? 'texts?']
}

const optionRules = Object.fromEntries(Object.entries(portalDefaults).map(ruleOf))

/**
 * All options, with defaults for those that are not given.
 *
 * @throws Problem `options-invalid` for an unknown or misspelt option, or one of the wrong type
 */
export function optionsOf(given: Partial<PortalOptions>): PortalOptions {
  checkOptions('startPortal()', given, optionRules)
  if (given.tls) checkOptions("startPortal(), in 'tls',", given.tls, { certPath: 'text', keyPath: 'text' })
  return { ...portalDefaults, ...withoutUndefined(given) }
}

/** The largest values that the protocol supports. */
const optionsMax = { transferSizeBytesMax, wholeSizeBytesMax } as const

/** @throws Problem `setting-impossible` for a limit that `/v1/limits` would announce although no request could reach it */
export function requirePossible(options: PortalOptions): void {
  for (const name of ['transferSizeBytesMax', 'wholeSizeBytesMax'] as const) {
    const value = options[name]
    const max = optionsMax[name]
    if (Number.isSafeInteger(value) && value >= 0 && value <= max) continue
    throw new Problem('setting-impossible', { detail: `${name} is ${value}, and can be 0 to ${max}`, name, value, max })
  }
}

/** What an account may do with guests, as the portal announces it; null where it allows none. */
export function guestLimits(options: PortalOptions): NonNullable<Limits['guests']> | null {
  if (!options.allowsGuests) return null
  return {
    // A file that is stored for a guest would expire with its transfer.
    expiryMsMax: Math.min(options.guestExpiryMs, options.expiryMs),
    openMax: options.accountGuestsMax,
    perDayMax: options.accountGuestsDailyMax,
    openBytesMax: options.accountGuestBytesMax,
  }
}

/** The minimum throughput of parts. */
export function minThroughputOf({
  minBytesPerSecond,
  minThroughputWindowMs,
}: Pick<PortalOptions, 'minBytesPerSecond' | 'minThroughputWindowMs'>): MinThroughput {
  return { bytesPerSecond: minBytesPerSecond, windowMs: minThroughputWindowMs }
}

/** The digest algorithms that the portal offers for new transfers. */
export function offeredDigestAlgorithms({ digestAlgorithms }: PortalOptions): readonly DigestAlgorithm[] {
  return fastDigestAlgorithms.filter((name) => name === defaultDigestAlgorithm || digestAlgorithms.includes(name))
}
