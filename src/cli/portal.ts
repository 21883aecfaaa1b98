import { writeSync } from 'node:fs'
import type { Command } from 'commander'
import { isLoopback } from '../client/index.ts'
import { portalDefaults, type TlsFiles } from '../portal/options.ts'
import type { Places } from '../portal/places.ts'
import type { DigestAlgorithm } from '../protocol/index.ts'
import { exitCodes, interruptSignal, UsageError } from './exit.ts'
import { placeFlags } from './operator.ts'
import {
  databaseOption,
  dataOption,
  digestNames,
  durationMs,
  flag,
  hostAndPort,
  networks,
  option,
  sizeBytes,
  webAddress,
  wholeNumber,
} from './options.ts'
import { bytesText, durationFlag } from './text.ts'

interface PortalFlags {
  readonly listen: { host: string; port: number }
  readonly data: string
  readonly database?: string
  readonly store?: string
  readonly adoptStore?: boolean
  readonly publicUrl?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly trustedProxies: readonly string[]
  readonly digests: readonly DigestAlgorithm[]
  readonly maxTransfer: number
  readonly oneRequest: number
  readonly quota: number
  readonly maxTransfers: number
  readonly storage: number
  readonly keepFree: number
  readonly connections: number
  readonly addressConnections: number
  readonly accountConnections: number
  readonly requestRate: number
  readonly floor: number
  readonly attempts: number
  readonly redirectDownloads?: boolean
  readonly page: boolean
  readonly sealedOnly?: boolean
  readonly uploadTimeout: number
  readonly idleTimeout: number
  readonly lease: number
  readonly expiry: number
  readonly history: number
  readonly logLevel: string
}

export function portalCommand(program: Command): void {
  const d = portalDefaults
  program
    .command('portal')
    .summary('run the portal')
    .description(
      'Runs the portal: it takes files from senders into temporary storage and hands them on to receivers.\n' +
        'It needs nothing but a folder. Stop it with Ctrl-C; started again, it goes on where it was.\n' +
        'With both --database and --store it keeps nothing itself, and any number of equal ones may run.',
    )
    .addOption(
      option('--listen <host:port>', 'address to listen on; port 0 takes a free one')
        .argParser(hostAndPort)
        .default({ host: d.listenHost, port: d.listenPort }, `${d.listenHost}:${d.listenPort}`),
    )
    .addOption(dataOption())
    .addOption(databaseOption())
    .addOption(
      option('--store <url>', 'S3 that keeps the parts instead: s3://BUCKET?endpoint=URL&region=NAME').default(
        undefined,
        'a folder in the data folder',
      ),
    )
    .addOption(flag('--adopt-store', 'take a store that belonged to another ledger, or another store for this ledger'))
    .addOption(option('--public-url <url>', 'address under which others reach it, for invites').argParser(webAddress))
    .addOption(option('--tls-cert <file>', 'certificate with its chain (PEM); read again at SIGHUP'))
    .addOption(option('--tls-key <file>', 'private key of the certificate (PEM)'))
    .addOption(
      option('--trusted-proxies <list>', 'addresses and networks of proxies that say whom they serve')
        .argParser(networks)
        .default([], 'none'),
    )
    .addOption(
      option('--digests <list>', 'digest algorithms that are offered to senders; sha-256 always is')
        .argParser(digestNames)
        .default(d.digestAlgorithms, 'all that this machine computes fast'),
    )
    .addOption(bytesOption('--max-transfer <size>', 'largest file that is taken', d.transferSizeBytesMax))
    .addOption(
      bytesOption(
        '--one-request <size>',
        'largest file that may come in one request, and is kept in the ledger',
        d.wholeSizeBytesMax,
      ),
    )
    .addOption(bytesOption('--quota <size>', 'what the open transfers of one account may add up to', d.accountBytesMax))
    .addOption(
      option('--max-transfers <number>', 'open transfers that one account may have')
        .argParser(wholeNumber)
        .default(d.accountTransfersMax),
    )
    .addOption(bytesOption('--storage <size>', 'what all open transfers may add up to', d.storageBytesMax))
    .addOption(bytesOption('--keep-free <size>', 'room on the disk that stays free', d.freeBytesMin))
    .addOption(countOption('--connections <number>', 'connections that may be open at a time', d.connectionsMax))
    .addOption(
      countOption(
        '--address-connections <number>',
        'connections from one address, loopback and trusted proxies excepted',
        d.addressConnectionsMax,
      ),
    )
    .addOption(
      countOption(
        '--account-connections <number>',
        'requests of one account that may be under way',
        d.accountConnectionsMax,
      ),
    )
    .addOption(
      countOption('--request-rate <number>', 'requests a second that one account may make', d.accountRequestsPerSecond),
    )
    .addOption(
      bytesOption(
        '--floor <size>',
        'bytes a second below which a sender or receiver is cut off',
        d.floorBytesPerSecond,
      ),
    )
    .addOption(
      option('--attempts <number>', 'attempts at an upload, and tries of a receiver, before it is given up')
        .argParser(wholeNumber)
        .default(d.attemptsMax),
    )
    .addOption(
      flag('--redirect-downloads', 'let receivers fetch from the store itself, by addresses good for a minute'),
    )
    .addOption(flag('--no-page', 'serve no web page'))
    .addOption(flag('--sealed-only', 'refuse transfers that the portal could read'))
    .addOption(
      timeOption('--upload-timeout <duration>', 'silence in an upload after which it is deleted', d.uploadTimeoutMs),
    )
    .addOption(timeOption('--idle-timeout <duration>', 'silence on a connection after which it is cut', d.idleMs))
    .addOption(timeOption('--lease <duration>', 'silence of a receiver after which a file is offered anew', d.leaseMs))
    .addOption(timeOption('--expiry <duration>', 'time that a transfer may take in all', d.expiryMs))
    .addOption(timeOption('--history <duration>', 'time for which ended transfers are remembered', d.historyMs))
    .addOption(
      option('--log-level <level>', 'what to log, as JSON lines to standard error')
        .choices(['error', 'warn', 'info', 'debug', 'silent'])
        .default('warn'),
    )
    .addHelpText('after', portalHelp)
    .action(runPortal)
}

const portalHelp = `
Examples:
  golooader portal                                       listen on 127.0.0.1:7878, keep everything in ./golooader-data
  golooader portal --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem --public-url https://files.example
                                                         reachable from elsewhere, over TLS
  golooader portal --public-url https://files.example/gl --trusted-proxies 127.0.0.1
                                                         behind a proxy that does TLS
  golooader portal --database postgres://golooader@db.example:5432/golooader --store 's3://golooader?endpoint=https://s3.example&region=us-east-1'
                                                         one of several; passwords and keys: PGPASSWORD, AWS_… variables
  golooader portal --expiry 30d --quota 50GiB

Next, in another terminal:
  golooader invite alice        prints a link with which alice joins`

async function runPortal(flags: PortalFlags): Promise<void> {
  const signal = interruptSignal()
  const tls = tlsFilesOf(flags)
  // A terminal that closes sends it too: the portal goes on.
  let reload = async (): Promise<void> => {}
  process.on('SIGHUP', () => void reload())
  // Loaded here, so that no other command pays for the server and its database.
  const { placesOf, portalLog, startPortal } = await import('../portal/index.ts')
  const log = portalLog({ level: flags.logLevel, write: writeLog })
  const options = {
    listenHost: flags.listen.host,
    listenPort: flags.listen.port,
    publicUrl: flags.publicUrl ?? null,
    tls,
    trustedProxies: flags.trustedProxies,
    dataFolder: flags.data,
    databaseUrl: flags.database ?? null,
    storeUrl: flags.store ?? null,
    adoptStore: flags.adoptStore === true,
    digestAlgorithms: flags.digests,
    transferSizeBytesMax: flags.maxTransfer,
    wholeSizeBytesMax: flags.oneRequest,
    accountBytesMax: flags.quota,
    accountTransfersMax: flags.maxTransfers,
    storageBytesMax: flags.storage,
    freeBytesMin: flags.keepFree,
    connectionsMax: flags.connections,
    addressConnectionsMax: flags.addressConnections,
    accountConnectionsMax: flags.accountConnections,
    accountRequestsPerSecond: flags.requestRate,
    floorBytesPerSecond: flags.floor,
    attemptsMax: flags.attempts,
    redirectDownloads: flags.redirectDownloads === true,
    servesPage: flags.page,
    sealedOnly: flags.sealedOnly === true,
    uploadTimeoutMs: flags.uploadTimeout,
    idleMs: flags.idleTimeout,
    leaseMs: flags.lease,
    expiryMs: flags.expiry,
    historyMs: flags.history,
  }
  // It may be killed at any moment, so whoever stops it need not wait for a database that is away.
  const endAtOnce = (): never => process.exit(exitCodes.ok)
  signal.addEventListener('abort', endAtOnce)
  const portal = await startPortal(options, log)
  signal.removeEventListener('abort', endAtOnce)
  reload = () => portal.reload()
  if (isExposed(flags)) process.stderr.write(`${EXPOSED}\n`)
  process.stdout.write(
    `portal listening on ${portal.url}, ${keptWhere(placesOf(options))}\n` +
      `invite someone: golooader invite NAME${placeFlags(flags)}\n`,
  )
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  await portal.close()
}

/** Where it keeps what it keeps, and that it has to stay alone where it keeps some of it itself. */
function keptWhere({ ledger, parts }: Places): string {
  return ledger === parts ? `data in ${ledger}` : `ledger in ${ledger}, parts in ${parts}`
}

const EXPOSED =
  'golooader: warning: other machines can reach this portal without TLS, and clients refuse that: ' +
  'give --tls-cert and --tls-key, or put a TLS proxy in front and give --public-url https://…'

/** Whether tokens and files may come over a network in the clear. */
function isExposed({ listen, publicUrl, tlsCert }: PortalFlags): boolean {
  return !isLoopback(listen.host) && tlsCert === undefined && publicUrl?.startsWith('https:') !== true
}

function tlsFilesOf({ tlsCert, tlsKey }: PortalFlags): TlsFiles | null {
  if (tlsCert !== undefined && tlsKey !== undefined) return { certPath: tlsCert, keyPath: tlsKey }
  if (tlsCert === undefined && tlsKey === undefined) return null
  throw new UsageError('--tls-cert and --tls-key belong together: give both of them, or neither')
}

/** A line that cannot be written is lost: on a full disk above all, the portal must go on. */
function writeLog(line: string): void {
  try {
    writeSync(process.stderr.fd, line)
  } catch {
    // There is nowhere left to say so.
  }
}

function countOption(flags: string, description: string, count: number) {
  return option(flags, description).argParser(wholeNumber).default(count)
}

function bytesOption(flags: string, description: string, bytes: number) {
  return option(flags, description).argParser(sizeBytes).default(bytes, bytesText(bytes))
}

function timeOption(flags: string, description: string, ms: number) {
  return option(flags, description).argParser(durationMs).default(ms, durationFlag(ms))
}
