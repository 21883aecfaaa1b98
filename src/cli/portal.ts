import { writeSync } from 'node:fs'
import type { Command } from 'commander'
import pino from 'pino'
import { portalDefaults } from '../portal/options.ts'
import { interruptSignal } from './exit.ts'
import { dataFlag } from './operator.ts'
import { dataOption, durationMs, hostAndPort, option, sizeBytes, webAddress, wholeNumber } from './options.ts'
import { bytesText, durationFlag } from './text.ts'

interface PortalFlags {
  readonly listen: { host: string; port: number }
  readonly data: string
  readonly publicUrl?: string
  readonly maxTransfer: number
  readonly quota: number
  readonly maxTransfers: number
  readonly storage: number
  readonly keepFree: number
  readonly attempts: number
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
        'It needs nothing but a folder. Stop it with Ctrl-C; started again, it goes on where it was.',
    )
    .addOption(
      option('--listen <host:port>', 'address to listen on; port 0 takes a free one')
        .argParser(hostAndPort)
        .default({ host: d.listenHost, port: d.listenPort }, `${d.listenHost}:${d.listenPort}`),
    )
    .addOption(dataOption())
    .addOption(option('--public-url <url>', 'address under which others reach it, for invites').argParser(webAddress))
    .addOption(bytesOption('--max-transfer <size>', 'largest file that is taken', d.transferSizeBytesMax))
    .addOption(bytesOption('--quota <size>', 'what the open transfers of one account may add up to', d.accountBytesMax))
    .addOption(
      option('--max-transfers <number>', 'open transfers that one account may have')
        .argParser(wholeNumber)
        .default(d.accountTransfersMax),
    )
    .addOption(bytesOption('--storage <size>', 'what all open transfers may add up to', d.storageBytesMax))
    .addOption(bytesOption('--keep-free <size>', 'room on the disk that stays free', d.freeBytesMin))
    .addOption(
      option('--attempts <number>', 'attempts at an upload, and tries of a receiver, before it is given up')
        .argParser(wholeNumber)
        .default(d.attemptsMax),
    )
    .addOption(option('--sealed-only', 'refuse transfers that the portal could read'))
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
  golooader portal --listen 0.0.0.0:7878 --data /srv/gl  reachable from elsewhere (put TLS in front of it)
  golooader portal --expiry 30d --quota 50GiB

Next, in another terminal:
  golooader invite alice        prints a link with which alice joins`

async function runPortal(flags: PortalFlags): Promise<void> {
  const signal = interruptSignal()
  // Loaded here, so that no other command pays for the server and its database.
  const { startPortal } = await import('../portal/index.ts')
  const log = pino({ level: flags.logLevel }, { write: writeLog })
  const portal = await startPortal(
    {
      listenHost: flags.listen.host,
      listenPort: flags.listen.port,
      publicUrl: flags.publicUrl ?? null,
      dataFolder: flags.data,
      transferSizeBytesMax: flags.maxTransfer,
      accountBytesMax: flags.quota,
      accountTransfersMax: flags.maxTransfers,
      storageBytesMax: flags.storage,
      freeBytesMin: flags.keepFree,
      attemptsMax: flags.attempts,
      sealedOnly: flags.sealedOnly === true,
      uploadTimeoutMs: flags.uploadTimeout,
      idleMs: flags.idleTimeout,
      leaseMs: flags.lease,
      expiryMs: flags.expiry,
      historyMs: flags.history,
    },
    log,
  )
  process.stdout.write(
    `portal listening on ${portal.url}, data in ${flags.data}\n` +
      `invite someone: golooader invite NAME${dataFlag(flags.data)}\n`,
  )
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  await portal.close()
}

/** A line that cannot be written is lost: on a full disk above all, the portal must go on. */
function writeLog(line: string): void {
  try {
    writeSync(process.stderr.fd, line)
  } catch {
    // There is nowhere left to say so.
  }
}

function bytesOption(flags: string, description: string, bytes: number) {
  return option(flags, description).argParser(sizeBytes).default(bytes, bytesText(bytes))
}

function timeOption(flags: string, description: string, ms: number) {
  return option(flags, description).argParser(durationMs).default(ms, durationFlag(ms))
}
