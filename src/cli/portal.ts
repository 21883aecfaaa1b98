import { writeSync } from 'node:fs'
import type { Command, Option } from 'commander'
import { isLoopback } from '../client/index.ts'
import type { Portal } from '../library/portal.ts'
import { type PortalOptions, portalDefaults, type TlsFiles } from '../portal/options.ts'
import { transferSizeBytesMax, wholeSizeBytesMax } from '../protocol/index.ts'
import { exitCodes, interruptSignal, UsageError } from './exit.ts'
import { placeFlags } from './operator.ts'
import {
  databaseOption,
  dataOption,
  digestNames,
  durationMs,
  flag,
  formerOption,
  hostAndPort,
  listOption,
  networks,
  option,
  sizeBytesUpTo,
  storeOption,
  webAddress,
  wholeNumber,
  wholeNumberOrNone,
} from './options.ts'
import { print, sayError } from './output.ts'
import { supervisor } from './service/supervisor.ts'
import { inSources } from './stacks.ts'
import { bytesText, durationFlag } from './text.ts'

/** The flags that are more, or less, than one option of the portal. */
interface PortalFlags {
  readonly listen: { host: string; port: number }
  readonly data: string
  readonly database?: string
  readonly publicUrl?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly logLevel: string
}

/** A flag, and the option of the portal that it sets; null where it sets none alone. */
type Setting = readonly [name: keyof PortalOptions | null, flag: Option]

/** In the order of the help. Environment variables are read when the options are created. */
const allSettings = (): readonly Setting[] => [
  [
    null,
    option('--listen <host:port>', 'address to listen on; port 0 takes a free one')
      .argParser(hostAndPort)
      .default(
        { host: portalDefaults.listenHost, port: portalDefaults.listenPort },
        `${portalDefaults.listenHost}:${portalDefaults.listenPort}`,
      ),
  ],
  [
    'operationsListen',
    option(
      '--operations-listen <host:port>',
      'separate address for /metrics, /healthz and /readyz, plain HTTP; /metrics is then served only there',
    )
      .argParser(hostAndPort)
      .default(undefined, 'the address of the portal'),
  ],
  ['dataFolder', dataOption()],
  ['databaseUrl', databaseOption()],
  ['storeUrl', storeOption()],
  [
    'adoptStore',
    flag(
      '--adopt-store',
      'use a store of another ledger, or another store for this ledger; files that are not in it are lost',
    ),
  ],
  ['publicUrl', option('--public-url <url>', 'address under which others reach it, for invites').argParser(webAddress)],
  [null, option('--tls-cert <file>', 'certificate with its chain (PEM); read again at SIGHUP')],
  [null, option('--tls-key <file>', 'private key of the certificate (PEM)')],
  [
    'trustedProxies',
    listOption(
      '--trusted-proxies <list>',
      'addresses and networks of proxies whose X-Forwarded-For is trusted',
      networks,
    ).default([], 'none'),
  ],
  [
    'digestAlgorithms',
    listOption(
      '--digests <list>',
      'digest algorithms that senders may use; sha-256 is always allowed',
      digestNames,
    ).default(portalDefaults.digestAlgorithms, 'all that this machine computes fast'),
  ],
  bytes('transferSizeBytesMax', '--max-transfer <size>', 'largest file that the portal accepts', transferSizeBytesMax),
  bytes(
    'wholeSizeBytesMax',
    '--inline-max <size>',
    'largest file that may come in one request, and is kept in the ledger',
    wholeSizeBytesMax,
  ),
  [null, formerOption('--one-request <size>', 'inlineMax').argParser(sizeBytesUpTo(wholeSizeBytesMax))],
  bytes('accountBytesMax', '--quota <size>', 'total size of the open transfers of one account'),
  count('accountTransfersMax', '--max-transfers <number>', 'open transfers that one account may have'),
  count('accountUploadsMax', '--max-uploads <number>', 'open uploads of one account that later requests may continue'),
  bytes('storageBytesMax', '--storage <size>', 'total size of all open transfers'),
  bytes('freeBytesMin', '--keep-free <size>', 'space on the disk to keep free'),
  count('connectionsMax', '--connections <number>', 'connections that may be open at a time'),
  count(
    'addressConnectionsMax',
    '--address-connections <number>',
    'connections from one address, loopback and trusted proxies excepted',
  ),
  count('accountConnectionsMax', '--account-connections <number>', 'open requests that one account may have'),
  count('accountRequestsPerSecond', '--request-rate <number>', 'requests a second that one account may make'),
  bytes('minBytesPerSecond', '--min-rate <size>', 'bytes a second below which a sender or receiver is cut off'),
  [null, formerOption('--floor <size>', 'minRate').argParser(sizeBytesUpTo(Number.MAX_SAFE_INTEGER))],
  count(
    'attemptsMax',
    '--attempts <number>',
    'attempts at an upload, and tries of a receiver, before the transfer fails',
  ),
  [
    'redirectDownloads',
    flag('--redirect-downloads', 'let receivers fetch parts directly from the store, by links valid for a minute'),
  ],
  ['servesPage', flag('--no-page', 'serve no web page')],
  ['sealedOnly', flag('--sealed-only', 'refuse transfers that the portal could read')],
  ['allowsGuests', flag('--guests', 'let accounts make links for people without an account')],
  time('guestExpiryMs', '--guest-expiry <duration>', 'longest time for which a link works'),
  count('accountGuestsMax', '--account-guests <number>', 'links that one account may have open at a time'),
  count('accountGuestsDailyMax', '--account-guests-daily <number>', 'links that one account may make in 24 hours'),
  bytes(
    'accountGuestBytesMax',
    '--account-guest-bytes <size>',
    'total size of the open transfers by links of one account',
  ),
  count('accountWebhooksMax', '--account-webhooks <number>', 'webhooks that one account may have', wholeNumberOrNone),
  [
    'webhookNetworks',
    listOption(
      '--webhook-networks <list>',
      'networks and addresses that webhooks may reach although they are not public, also by plain http',
      networks,
    ).default([], 'none'),
  ],
  time('uploadTimeoutMs', '--upload-timeout <duration>', 'silence in an upload after which it is deleted'),
  time('idleMs', '--idle-timeout <duration>', 'silence on a connection after which it is cut'),
  time('leaseMs', '--lease <duration>', 'silence of a receiver after which a file is offered again'),
  time('expiryMs', '--expiry <duration>', 'time that a transfer may take in all'),
  time('historyMs', '--history <duration>', 'time for which ended transfers are remembered'),
  [
    null,
    option('--log-level <level>', 'what to log, as JSON lines to standard error')
      .choices(['error', 'warn', 'info', 'debug', 'silent'])
      .default('warn'),
  ],
]

export function portalCommand(program: Command): void {
  const settings = allSettings()
  const command = program
    .command('portal')
    .summary('run the portal')
    .description(
      'Runs the portal: it takes files from senders into temporary storage and hands them on to receivers.\n' +
        'It needs a folder and nothing else. Ctrl-C stops it; started again, it continues.\n' +
        'With both --database and --store it keeps nothing itself, and any number of equal ones may run.',
    )
    .addHelpText('after', portalHelp)
    .action((flags: PortalFlags) => runPortal(settings, flags))
  for (const [, one] of settings) command.addOption(one)
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

async function runPortal(settings: readonly Setting[], flags: PortalFlags): Promise<void> {
  const signal = interruptSignal()
  const { listen, logLevel } = flags
  const options: Partial<PortalOptions> = {
    ...Object.fromEntries(
      settings.flatMap(([name, one]) => (name === null ? [] : [[name, Reflect.get(flags, one.attributeName())]])),
    ),
    listenHost: listen.host,
    listenPort: listen.port,
    tls: tlsFilesOf(flags),
  }
  // A closing terminal sends SIGHUP, too, so the portal continues.
  let reload = async (): Promise<void> => {}
  process.on('SIGHUP', () => void reload())
  // Loaded only here, so that other commands do not load the server and its database.
  const { startPortal } = await import('../library/portal.ts')
  const supervised = await supervisor()
  supervised.status('starting: opens its ledger and its store')
  // During the start a signal ends the process at once, which is safe, so that it need not wait for a missing database.
  const endAtOnce = (): never => process.exit(exitCodes.ok)
  signal.addEventListener('abort', endAtOnce)
  const portal = await startPortal({ ...options, log: { level: logLevel, write: writeLog } })
  signal.removeEventListener('abort', endAtOnce)
  reload = () => portal.reload()
  if (isExposed(flags)) sayError(EXPOSED)
  const operations = portal.operationsUrl === null ? '' : `figures and health at ${portal.operationsUrl}\n`
  const newness = portal.isNew
    ? 'this portal is new, its folder had no ledger. If it should have one, stop this: is its disk mounted?\n'
    : ''
  print(
    `portal listening on ${portal.url}, ${keptWhere(portal.keptIn)}\n${operations}${newness}` +
      `invite someone: golooader invite NAME${placeFlags(flags)}\n`,
  )
  supervised.status(`listening on ${portal.url}`)
  supervised.ready()
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  await portal.close()
}

/** The line about the places of the data, and that only one portal may use a data folder. */
function keptWhere({ ledger, parts }: Portal['keptIn']): string {
  return ledger === parts ? `data in ${ledger}` : `ledger in ${ledger}, parts in ${parts}`
}

const EXPOSED =
  'golooader: warning: other machines can reach this portal without TLS, and clients refuse that: ' +
  'give --tls-cert and --tls-key, or put a TLS proxy in front and give --public-url https://…'

/** Whether tokens and files may travel over a network without encryption. */
function isExposed({ listen, publicUrl, tlsCert }: PortalFlags): boolean {
  return !isLoopback(listen.host) && tlsCert === undefined && publicUrl?.startsWith('https:') !== true
}

/** @throws UsageError when one of both is missing */
export function tlsFilesOf({ tlsCert, tlsKey }: Pick<PortalFlags, 'tlsCert' | 'tlsKey'>): TlsFiles | null {
  if (tlsCert !== undefined && tlsKey !== undefined) return { certPath: tlsCert, keyPath: tlsKey }
  if (tlsCert === undefined && tlsKey === undefined) return null
  throw new UsageError('--tls-cert and --tls-key belong together: give both of them, or neither')
}

/** Writes a line of the log. If that fails, for instance on a full disk, the line is dropped and the portal continues. */
function writeLog(line: string): void {
  try {
    writeSync(process.stderr.fd, inSources(line))
  } catch {
    // The loss cannot be reported anywhere.
  }
}

/** The options of the portal that are numbers. */
type NumberName = {
  [Name in keyof PortalOptions]: PortalOptions[Name] extends number ? Name : never
}[keyof PortalOptions]

function count(name: NumberName, flags: string, description: string, parse = wholeNumber): Setting {
  return [name, option(flags, description).argParser(parse).default(portalDefaults[name])]
}

/** @param bytesMax the largest value that the protocol supports, if there is one */
function bytes(name: NumberName, flags: string, description: string, bytesMax = Number.MAX_SAFE_INTEGER): Setting {
  const value = portalDefaults[name]
  return [name, option(flags, description).argParser(sizeBytesUpTo(bytesMax)).default(value, bytesText(value))]
}

function time(name: NumberName, flags: string, description: string): Setting {
  const value = portalDefaults[name]
  return [name, option(flags, description).argParser(durationMs).default(value, durationFlag(value))]
}
