/**
 * What the ledger alone takes in: small files a second, by one sender and by many, one and several at a time; into SQLite, and into
 * PostgreSQL that waits for the disk, by one portal's connections and by those of three. All of it in one process, which is no
 * portal: no HTTP, no signals, no receivers.
 *
 *     npm run bench -- ledger [--seconds S] [--rounds N] [--remembered N]
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openLedger, portalDefaults } from '../src/portal/index.ts'
import type { Admission, Ledger } from '../src/portal/ledger/contract.ts'
import { newTransferId } from '../src/protocol/index.ts'
import { ownPostgres, psql, type TestDatabase } from '../test/servers/postgres.ts'
import { beginRun, endRun } from '../test/servers/run.ts'
import { openAccounts } from './accounts.ts'
import { circumstances, KIB, median, range, short, table } from './figures.ts'
import { wholeOf } from './requests.ts'
import { databaseFigures, serversCpuMs } from './several-portals.ts'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    remembered: { type: 'string', default: '2000' },
  },
})
const forMs = Number(values.seconds) * 1000
const rounds = Number(values.rounds)
const SENDERS_MAX = 32
/** Senders, and how many requests of each are under way. */
const LOADS = [
  { senders: 1, atOnce: 1 },
  { senders: 1, atOnce: SENDERS_MAX },
  { senders: SENDERS_MAX, atOnce: 1 },
] as const
/** Nothing that a database could make smaller. */
const content = randomBytes(4 * KIB)
const { expiryMs, uploadTimeoutMs, accountBytesMax, storageBytesMax } = portalDefaults
const admission: Admission = {
  ...{ expiryMs, uploadTimeoutMs, accountBytesMax, storageBytesMax },
  accountTransfersMax: Number.MAX_SAFE_INTEGER,
  accountUploadsMax: 100,
  accountGuestsMax: 1000,
  accountGuestBytesMax: 1e12,
  freeBytes: null,
}

interface Subject {
  readonly name: string
  readonly ledgers: readonly Ledger[]
  readonly databaseUrl: string | null
  readonly senderIds: readonly number[]
}

interface Sample {
  readonly perSecond: number
  readonly databaseMs: number
  readonly walBytes: number
  readonly sizeBytes: number
}

const run = beginRun()
process.once('exit', () => endRun(run))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const folder = await mkdtemp(join(tmpdir(), 'golooader-bench-'))
const durable = await ownPostgres({ fsync: 'on', full_page_writes: 'on', shared_buffers: '256MB' })
const databases = [await durable.database(), await durable.database()]
const subjects = [
  await open('SQLite', 1, null),
  await open('PostgreSQL, 1 portal', 1, databases[0]?.url ?? null),
  await open('PostgreSQL, 3 portals', 3, databases[1]?.url ?? null),
]
const samples = new Map<string, Sample[]>()
for (let round = 1; round <= rounds; round++) {
  for (const load of LOADS) {
    for (const subject of subjects) {
      const name = `${subject.name} | ${load.senders} | ${load.atOnce}`
      samples.set(name, [...(samples.get(name) ?? []), await measure(subject, load)])
    }
  }
  process.stderr.write(`round ${round} of ${rounds}\n`)
}
const rememberedBytes = await remembered(await durable.database(), Number(values.remembered))
for (const { ledgers } of subjects) for (const ledger of ledgers) await ledger.close()
await rm(folder, { recursive: true, force: true })
print()
process.exit()

async function open(name: string, portals: number, databaseUrl: string | null): Promise<Subject> {
  const accounts = Array.from({ length: SENDERS_MAX }, (_, index) => `account-${index + 1}`)
  const opened = await openAccounts(folder, accounts, databaseUrl)
  const ledgers: Ledger[] = []
  while (ledgers.length < portals) ledgers.push(await openLedger({ dataFolder: folder, databaseUrl }))
  return { name, ledgers, databaseUrl, senderIds: opened.map(({ accountId }) => accountId) }
}

async function measure(subject: Subject, { senders, atOnce }: (typeof LOADS)[number]): Promise<Sample> {
  const before = await figuresOf(subject)
  const startedAtMs = performance.now()
  let count = 0
  const lanes = Array.from({ length: senders * atOnce }, async (_, lane) => {
    const { senderIds, ledgers } = subject
    const senderId = senderIds[lane % senders] ?? 0
    const ledger = ledgers[lane % ledgers.length]
    // Each to a receiver of its own, so that they have nothing in common but their sender.
    const whole = wholeOf([`account-${(lane % SENDERS_MAX) + 1}`], 'file.bin', content)
    const { manifestDigest, ...announcement } = whole
    while (performance.now() - startedAtMs < forMs) {
      const transfer = { ...announcement, transferId: newTransferId(), senderId }
      await ledger?.storeInline(transfer, admission, {
        manifestDigest,
        manifest: null,
        digest: manifestDigest,
        content,
      })
      count++
    }
  })
  await Promise.all(lanes)
  const elapsedMs = performance.now() - startedAtMs
  const after = await figuresOf(subject)
  return {
    perSecond: (count * 1000) / elapsedMs,
    databaseMs: (after.cpuMs - before.cpuMs) / count,
    walBytes: (after.walBytes - before.walBytes) / count,
    sizeBytes: (after.sizeBytes - before.sizeBytes) / count,
  }
}

async function figuresOf({ databaseUrl }: Subject) {
  if (databaseUrl === null) return { cpuMs: 0, walBytes: 0, sizeBytes: 0 }
  return { cpuMs: (await serversCpuMs()).postgres, ...(await databaseFigures(databaseUrl)) }
}

/** @returns what the database keeps of a file that was delivered, once its content is gone, packed as tightly as can be */
async function remembered({ url }: TestDatabase, count: number): Promise<number> {
  const subject = await open('', 1, url)
  const [ledger] = subject.ledgers
  if (ledger === undefined) throw new Error('there is no ledger')
  const [receiverId = 0, senderId = 0] = subject.senderIds
  await psql(url, 'vacuum full')
  const before = await tablesBytes(url)
  const { manifestDigest, ...announcement } = wholeOf(['account-1'], 'file.bin', content)
  const whole = { manifestDigest, manifest: null, digest: manifestDigest, content }
  for (let left = count; left > 0; left -= SENDERS_MAX) {
    const ids = Array.from({ length: Math.min(left, SENDERS_MAX) }, () => newTransferId())
    await Promise.all(
      ids.map((transferId) => ledger.storeInline({ ...announcement, transferId, senderId }, admission, whole)),
    )
    const offer = { leaseMs: portalDefaults.leaseMs, limit: SENDERS_MAX }
    for (const { transferId, deliveries } of await ledger.offerNext(receiverId, 'instance', offer)) {
      const [delivery] = deliveries
      if (delivery?.state !== 'offered') throw new Error('it was not offered')
      const from = { state: 'offered', leaseId: delivery.lease.leaseId } as const
      await ledger.moveDelivery(transferId, receiverId, from, { state: 'delivered', receipt: null })
    }
  }
  await ledger.close()
  await psql(url, 'vacuum full')
  return ((await tablesBytes(url)) - before) / count
}

/** Without the catalogues of PostgreSQL, which `vacuum full` rewrites as well. */
async function tablesBytes(url: string): Promise<number> {
  const tables = "from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
  return Number(await psql(url, `select sum(pg_total_relation_size(oid)) ${tables}`))
}

function print(): void {
  const head = ['ledger', 'senders', 'requests of each', 'files a second (min-max)']
  const costs = ['PostgreSQL: CPU ms a file', 'WAL KiB a file', 'database KiB a file']
  const rows = [...samples].map(([name, own]) => {
    const paces = own.map(({ perSecond }) => perSecond)
    const of = (figure: (sample: Sample) => number): string => short(median(own.map(figure)))
    const kib = [of(({ walBytes }) => walBytes / KIB), of(({ sizeBytes }) => sizeBytes / KIB)]
    return [name, `${short(median(paces))} (${range(paces, short)})`, of(({ databaseMs }) => databaseMs), ...kib]
  })
  process.stdout.write(
    `${circumstances()}\n\n${table([...head, ...costs], rows)}\nRemembered of a delivered file: ${short(rememberedBytes / KIB)} KiB\n`,
  )
}
