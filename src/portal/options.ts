/** What an operator can set, with safe defaults. Units stand last in names. */
import { fastDigestAlgorithms } from '../digests/index.ts'
import type { Floor } from '../hop/index.ts'
import {
  type DigestAlgorithm,
  defaultDigestAlgorithm,
  knownDigestAlgorithms,
  transferSizeBytesMax,
  wholeSizeBytesMax,
} from '../protocol/index.ts'

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
  /** 0 takes a free port. */
  readonly listenPort: number
  /** Address under which senders and receivers reach the portal; null: the one it listens on. */
  readonly publicUrl: string | null
  /** null: plain HTTP, for loopback or behind a proxy that does TLS. */
  readonly tls: TlsFiles | null
  /** Addresses and networks (CIDR) of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[]
  /** Everything the portal keeps lies here, unless it is elsewhere. */
  readonly dataFolder: string
  /** PostgreSQL that keeps the ledger instead: `postgres://…`. With a store elsewhere too, portals may share both. */
  readonly databaseUrl: string | null
  /** S3 that keeps the parts instead: `s3://…`. */
  readonly storeUrl: string | null
  /** Takes the store whatever ledger it belonged to, and whatever store the ledger had. */
  readonly adoptStore: boolean
  /** What new transfers may take: of these, what this machine computes fast. `sha-256` always. */
  readonly digestAlgorithms: readonly DigestAlgorithm[]
  readonly transferSizeBytesMax: number
  /** A file up to this size may come in one request, and is kept in the ledger; 0 for none. */
  readonly wholeSizeBytesMax: number
  /** What the open transfers of one account may add up to. */
  readonly accountBytesMax: number
  readonly accountTransfersMax: number
  /** What all open transfers may add up to. */
  readonly storageBytesMax: number
  /** So much of the disk is left free, for the ledger above all. */
  readonly freeBytesMin: number
  /** Memory for parts that have just come in, from where a waiting receiver is given them; 0 for none. */
  readonly recentBytesMax: number
  /** Uploads of one transfer that may end in `resend`, and tries of a receiver, before it is given up. */
  readonly attemptsMax: number
  /** Sends receivers that ask for it to the store itself for their parts. Not every store can do that. */
  readonly redirectDownloads: boolean
  /** For so long the address of a part in the store is good to begin a download with. */
  readonly linkMs: number
  /** Serves the web page at its own address. */
  readonly servesPage: boolean
  /** Refuses transfers that are not sealed. */
  readonly sealedOnly: boolean
  /** A sender that is silent for so long in the middle of an upload has gone. */
  readonly uploadTimeoutMs: number
  /** A connection on which nothing moves for so long is cut. */
  readonly idleMs: number
  /** A receiver that is silent for so long does not have the file, and is offered it again. */
  readonly leaseMs: number
  /** Pause before a file is offered again to a silent receiver: the first, and the longest. */
  readonly offerPauseMsMin: number
  readonly offerPauseMsMax: number
  /** Time that a transfer may take in all. */
  readonly expiryMs: number
  /** Time for which ended transfers and their events are remembered. */
  readonly historyMs: number
  readonly inviteMs: number
  /** Invites that may be open at a time. */
  readonly invitesMax: number
  readonly connectionsMax: number
  /** From one address, loopback and trusted proxies excepted. */
  readonly addressConnectionsMax: number
  /** Requests of one account that may be under way at a time, event streams included. */
  readonly accountConnectionsMax: number
  readonly accountRequestsPerSecond: number
  /** Tokens and invites that are not valid, from one address; beyond it only that is said. */
  readonly addressFailuresPerMinute: number
  /** Whoever sends or takes a part more slowly than this is cut off; averaged over `floorWindowMs`. 0 for no floor. */
  readonly floorBytesPerSecond: number
  readonly floorWindowMs: number
  /** How often the sweeper looks for what has run out. */
  readonly sweepMs: number
  /** How often the ledger is asked what happened to accounts: the longest time for which a dead token is obeyed. */
  readonly accountWatchMs: number
  /** Time that requests in flight get to finish when the portal stops. */
  readonly stopMs: number
}

export const portalDefaults: PortalOptions = {
  listenHost: '127.0.0.1',
  listenPort: 7878,
  publicUrl: null,
  tls: null,
  trustedProxies: [],
  dataFolder: './golooader-data',
  databaseUrl: null,
  storeUrl: null,
  adoptStore: false,
  digestAlgorithms: knownDigestAlgorithms,
  transferSizeBytesMax,
  wholeSizeBytesMax,
  accountBytesMax: 1024 * GIB,
  accountTransfersMax: 10_000,
  storageBytesMax: 1024 * GIB,
  freeBytesMin: 256 * MIB,
  recentBytesMax: 64 * MIB,
  attemptsMax: 5,
  redirectDownloads: false,
  linkMs: MINUTE_MS,
  servesPage: true,
  sealedOnly: false,
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
  addressFailuresPerMinute: 60,
  floorBytesPerSecond: KIB,
  floorWindowMs: 30 * SECOND_MS,
  sweepMs: SECOND_MS,
  accountWatchMs: 250,
  stopMs: 5 * SECOND_MS,
}

/** The floor under the speed of parts. */
export function floorOf({ floorBytesPerSecond, floorWindowMs }: PortalOptions): Floor {
  return { bytesPerSecond: floorBytesPerSecond, windowMs: floorWindowMs }
}

/** The digest algorithms that new transfers may take. */
export function offeredDigestAlgorithms({ digestAlgorithms }: PortalOptions): readonly DigestAlgorithm[] {
  return fastDigestAlgorithms.filter((name) => name === defaultDigestAlgorithm || digestAlgorithms.includes(name))
}
