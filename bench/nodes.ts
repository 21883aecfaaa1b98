/**
 * What it costs to go from one machine to many: the same files by the default portal (SQLite and a folder), and by one and more
 * portals over one PostgreSQL and one S3 store behind HAProxy. Processor time of each kind of process, and how often it asks
 * whom. All kinds take turns in every round; each begins with an empty database and an empty bucket. The servers are those of
 * the tests: PostgreSQL without fsync, Ceph's gateway over memory.
 *
 *     npm run bench -- nodes [--nodes 1,2,3] [--rounds N] [--large MiB] [--small N] [--only 'NAME;NAME']
 */
import { rm } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { testDatabase } from '../test/servers/postgres.ts'
import { testBucket } from '../test/servers/radosgw.ts'
import { beginRun, endRun } from '../test/servers/run.ts'
import { circumstances, KIB, MIB, makeFile, median, range, seconds, sha256Of, short, table } from './figures.ts'
import { deliveredNames, empty, makeFileSet, mustHold } from './file-set.ts'
import { together } from './processes.ts'
import { countersOf, databaseFigures, SeveralPortals, serversCpuMs } from './several-portals.ts'
import { BenchWorld } from './world.ts'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    nodes: { type: 'string', default: '1,2,3' },
    rounds: { type: 'string', default: '3' },
    large: { type: 'string', default: '256' },
    small: { type: 'string', default: '1000' },
    only: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const largeMib = Number(values.large)
const smallCount = Number(values.small)
const SMALL_BYTES = 4 * KIB
/** Each sends to a receiver of its own. */
const PAIRS = 2
/** In which what portals do without being asked is counted. */
const IDLE_MS = 2_000
/** What has been delivered is removed a moment later, and by the sweeper where that fails. */
const REMOVED_MS_MAX = 60_000
const LOOK_MS = 100
const GIB = 1024 * MIB

const ROLES = ['portals', 'PostgreSQL', 'S3', 'HAProxy', 'senders', 'receivers'] as const
type Role = (typeof ROLES)[number]
const COUNTS = ['requests', 'statements', 'WAL KiB', 'database KiB', 'PUT', 'LIST', 'GET', 'DELETE'] as const
type Count = (typeof COUNTS)[number]
type Figures<Name extends string> = Record<Name, number>

interface Kind {
  readonly name: string
  /** 0 for the default portal. */
  readonly nodes: number
  readonly flags: readonly string[]
}

interface Sample {
  readonly wallMs: number
  readonly cpuMs: Figures<Role>
  readonly counts: Figures<Count>
}

/** One kind of portal, with what it stands on, serving. */
interface Subject {
  readonly world: BenchWorld
  readonly urls: readonly string[]
  readonly databaseUrl: string | null
  /** By the portals alone, without anybody asking. */
  readonly idlePerMs: Figures<Count>
  readonly balancerCpuMs: () => Promise<number>
}

const BASE = 'SQLite and a folder'
const counts = values.nodes.split(',').map(Number)
const nodesOf = (nodes: number): string => (nodes === 1 ? '1 portal' : `${nodes} portals`)
const several = counts.map((nodes): Kind => ({ name: nodesOf(nodes), nodes, flags: [] }))
const redirected = { nodes: Math.max(...counts), flags: ['--redirect-downloads'] }
const kinds: readonly Kind[] = [
  { name: BASE, nodes: 0, flags: [] },
  ...several,
  { name: `${nodesOf(redirected.nodes)}, downloads redirected`, ...redirected },
].filter(({ name }) => values.only === undefined || name === BASE || values.only.split(';').includes(name))

const run = beginRun()
process.once('exit', () => endRun(run))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const large = new Map<string, Sample[]>(kinds.map(({ name }) => [name, []]))
const small = new Map<string, Sample[]>(kinds.map(({ name }) => [name, []]))
process.stdout.write(`${circumstances()}\n`)
for (let round = 1; round <= rounds; round++) {
  for (const kind of kinds) {
    await using stack = new AsyncDisposableStack()
    const subject = await start(kind, stack)
    large.get(kind.name)?.push(await measureLarge(subject))
    small.get(kind.name)?.push(await measureSmall(subject))
    const idle = `${short(subject.idlePerMs.statements * 1000)} statements a second without anybody`
    process.stderr.write(
      `round ${round} of ${rounds}: ${kind.name}; ${idle}; load ${loadavg().map(short).join(', ')}\n`,
    )
  }
}
const gib = (PAIRS * largeMib * MIB) / GIB
print(`${PAIRS} x ${largeMib} MiB at a time`, 'GiB', gib, 's', large)
print(`${smallCount} x ${SMALL_BYTES / KIB} KiB, by ${PAIRS} senders`, 'file', smallCount, 'ms', small)
process.exit()

async function start({ nodes, flags }: Kind, stack: AsyncDisposableStack): Promise<Subject> {
  const names = (role: string): string[] => Array.from({ length: PAIRS }, (_, index) => `${role}-${index + 1}`)
  const parties = { senders: names('sender'), receivers: names('receiver') }
  if (nodes === 0) {
    const world = stack.use(await BenchWorld.start({ ...parties, flags }))
    return withIdle({ world, urls: [world.portal.url], databaseUrl: null, balancerCpuMs: async () => 0 })
  }
  const [{ url: databaseUrl }, bucket] = await Promise.all([testDatabase(), testBucket()])
  const startPortals = (folder: string) => SeveralPortals.start({ nodes, databaseUrl, bucket, flags, folder })
  const world = stack.use(await BenchWorld.start({ ...parties, several: { databaseUrl, start: startPortals } }))
  const { portal } = world
  if (!(portal instanceof SeveralPortals)) throw new Error('these are not several portals')
  return withIdle({ world, urls: portal.nodeUrls, databaseUrl, balancerCpuMs: () => portal.balancerCpuMs() })
}

/** Warms caches and compilers, and measures what happens anyway. */
async function withIdle(subject: Omit<Subject, 'idlePerMs'>): Promise<Subject> {
  const { world } = subject
  const files = await makeFileSet(join(world.folder, 'warm-up'), 20, SMALL_BYTES)
  const one = join(world.folder, 'warm-up.bin')
  await makeFile(one, 16)
  await sendFromEach(world, () => [...files.paths, one])
  await emptyInboxes(world)
  const before = await countsOf(subject)
  const startedAtMs = performance.now()
  await setTimeout(IDLE_MS)
  const after = await countsOf(subject)
  const elapsedMs = performance.now() - startedAtMs
  return { ...subject, idlePerMs: mapped(COUNTS, (name) => (after[name] - before[name]) / elapsedMs) }
}

async function measureLarge(subject: Subject): Promise<Sample> {
  const { world } = subject
  const paths = Array.from({ length: PAIRS }, (_, index) => join(world.folder, `large-${index + 1}.bin`))
  for (const path of paths) await makeFile(path, largeMib)
  const sample = await measure(subject, (index) => [paths[index] ?? ''], PAIRS)
  for (const [index, path] of paths.entries()) {
    const received = await world.takeDelivered(`receiver-${index + 1}`)
    if ((await sha256Of(received)) !== (await sha256Of(path)))
      throw new Error('what was delivered is not what was sent')
    await rm(path)
  }
  await emptyInboxes(world)
  return sample
}

async function measureSmall(subject: Subject): Promise<Sample> {
  const { world } = subject
  const count = Math.ceil(smallCount / PAIRS)
  const sets = await Promise.all(
    Array.from({ length: PAIRS }, (_, index) => makeFileSet(join(world.folder, `small-${index}`), count, SMALL_BYTES)),
  )
  const sample = await measure(subject, (index) => sets[index]?.paths ?? [], 0)
  for (const [index, set] of sets.entries()) await mustHold(world.inbox(`receiver-${index + 1}`), set)
  await emptyInboxes(world)
  return sample
}

/** @param inStoreCount transfers whose parts are in the store, which are removed from it in the end */
async function measure(
  subject: Subject,
  pathsOf: (index: number) => readonly string[],
  inStoreCount: number,
): Promise<Sample> {
  const [cpuBefore, countsBefore] = [await cpuOf(subject), await countsOf(subject)]
  const startedAtMs = performance.now()
  const senders = await sendFromEach(subject.world, pathsOf)
  const wallMs = performance.now() - startedAtMs
  if (subject.databaseUrl !== null) await removed(subject, countsBefore.DELETE + inStoreCount)
  const elapsedMs = performance.now() - startedAtMs
  const [cpuAfter, countsAfter] = [await cpuOf(subject), await countsOf(subject)]
  return {
    wallMs,
    cpuMs: { ...mapped(ROLES, (role) => cpuAfter[role] - cpuBefore[role]), senders: senders.cpuMs },
    counts: mapped(COUNTS, (name) => {
      // The database grows and is written to by what is delivered alone.
      const idle = name.endsWith('KiB') ? 0 : subject.idlePerMs[name] * elapsedMs
      return Math.max(0, countsAfter[name] - countsBefore[name] - idle)
    }),
  }
}

/** All senders at a time, each to its receiver. Resolves when every file was delivered. */
async function sendFromEach(world: BenchWorld, pathsOf: (index: number) => readonly string[]) {
  const ends = await Promise.all(
    Array.from({ length: PAIRS }, (_, index) =>
      world.sendAll(pathsOf(index), ['--plain'], { from: `sender-${index + 1}`, to: [`receiver-${index + 1}`] }),
    ),
  )
  for (const { code, output } of ends) if (code !== 0) throw new Error(`send ended with ${code}:\n${output}`)
  return together(ends)
}

async function removed(subject: Subject, deletions: number): Promise<void> {
  const lateAtMs = performance.now() + REMOVED_MS_MAX
  while ((await countsOf(subject)).DELETE < deletions) {
    if (performance.now() > lateAtMs) throw new Error('what was delivered was not removed')
    await setTimeout(LOOK_MS)
  }
}

async function emptyInboxes(world: BenchWorld): Promise<void> {
  for (let index = 1; index <= PAIRS; index++) {
    const inbox = world.inbox(`receiver-${index}`)
    if ((await deliveredNames(inbox)).length > 0) await empty(inbox)
  }
}

/** What has been used so far. Senders tell it when they end. */
async function cpuOf({ world, balancerCpuMs }: Subject): Promise<Figures<Role>> {
  const [{ portal, receiver }, servers, haproxyMs] = await Promise.all([world.usage(), serversCpuMs(), balancerCpuMs()])
  return {
    portals: portal.cpuMs,
    PostgreSQL: servers.postgres,
    S3: servers.s3,
    HAProxy: haproxyMs,
    senders: 0,
    receivers: receiver.cpuMs,
  }
}

async function countsOf({ urls, databaseUrl }: Pick<Subject, 'urls' | 'databaseUrl'>): Promise<Figures<Count>> {
  const counters = await countersOf(urls)
  const database = databaseUrl === null ? { walBytes: 0, sizeBytes: 0 } : await databaseFigures(databaseUrl)
  const storeRequests = (kind: string): number => counters.get(`golooader_store_requests_total{kind="${kind}"}`) ?? 0
  const requests = [...counters].filter(([name]) => /^golooader_requests_total.*route="\/v1/.test(name))
  return {
    requests: requests.reduce((sum, [, value]) => sum + value, 0),
    statements: counters.get('golooader_ledger_statements_total') ?? 0,
    'WAL KiB': database.walBytes / KIB,
    'database KiB': database.sizeBytes / KIB,
    PUT: storeRequests('put'),
    LIST: storeRequests('list'),
    GET: storeRequests('get'),
    DELETE: storeRequests('delete'),
  }
}

/** @param amount how many units were delivered, each of which the figures are told for */
function print(
  what: string,
  unit: string,
  amount: number,
  time: 's' | 'ms',
  samples: ReadonlyMap<string, readonly Sample[]>,
): void {
  const each = amount * (time === 's' ? 1000 : 1)
  const middle = ({ cpuMs }: Sample): number => cpuMs.portals + cpuMs.PostgreSQL + cpuMs.S3 + cpuMs.HAProxy
  const base = samples.get(BASE) ?? []
  /** Of two samples of the same round. */
  const ratio = (own: readonly Sample[], of: (sample: Sample) => number): string => {
    const ratios = own.map((one, round) => of(one) / of(base[round] ?? one))
    return `${short(median(ratios))} (${range(ratios, short)})`
  }
  const costs = [...samples].map(([name, own]) => [
    name,
    `${seconds(median(own.map(({ wallMs }) => wallMs)))} (${range(
      own.map(({ wallMs }) => wallMs),
      seconds,
    )})`,
    ...ROLES.map((role) => short(median(own.map(({ cpuMs }) => cpuMs[role] / each)))),
    ratio(own, ({ cpuMs }) => cpuMs.portals),
    ratio(own, middle),
  ])
  const head = [
    `${what}, ${rounds} rounds`,
    'seconds (min-max)',
    ...ROLES.map((role) => `${role}: CPU ${time} a ${unit}`),
  ]
  const ratios = ['portals / default', 'portals, database, store, balancer / default']
  process.stdout.write(`\n${table([...head, ...ratios], costs)}`)
  const asked = [...samples].map(([name, own]) => [
    name,
    ...COUNTS.map((count) => short(median(own.map((one) => one.counts[count] / amount)))),
  ])
  process.stdout.write(`\n${table([`a ${unit}`, ...COUNTS], asked)}`)
}

function mapped<Name extends string>(names: readonly Name[], of: (name: Name) => number): Figures<Name> {
  return Object.fromEntries(names.map((name) => [name, of(name)])) as Figures<Name>
}
