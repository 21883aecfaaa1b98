/**
 * The table of targets: every figure that has one, beside its peer where there is one, in rounds in turn. Prints Markdown for RESULTS.md;
 * a row that cannot be measured here says why. On a quiet machine of two cores it takes a quarter of an hour.
 *
 *     npm run bench [-- table --only STAGE,STAGE --mib MIB --rounds N --files N --gib GIB --receivers N --seconds N]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeContent, measured, ours, oursStreamed, type Sample } from './deliveries.ts'
import {
  circumstances,
  KIB,
  makeFile,
  mebibytes,
  median,
  megabytes,
  percentile,
  sha256Of,
  short,
  table,
} from './figures.ts'
import { empty, makeFileSet, mustHold } from './file-set.ts'
import { floor } from './floor.ts'
import type { IdleFigures } from './many.ts'
import { type Contender, nginx, peers, pipedStream } from './peers.ts'
import { program } from './portal-process.ts'
import { cacheFolder, mustRun, type Usage } from './processes.ts'
import type { LatencySample } from './roles/latency-sender.ts'
import { ourSmall, type SmallContender, smallPeers } from './small-peers.ts'
import { rows } from './table-rows.ts'
import { BenchCertificate, worldBehindProxy, worldWithTls } from './tls.ts'
import { BenchWorld } from './world.ts'

const SENDERS_MANY = 16
const LATENCY_RATE = 20
const LATENCY_WARM_UP_SECONDS = 2
const RECEIVERS_MIB = 64
const PAGE_MIB = 128
const TLS_MIB_MAX = 256
const STARTS = 10
/** As many files as this warm caches and compilers. */
const WARM_UP_SHARE = 0.1

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    only: { type: 'string' },
    mib: { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '3' },
    files: { type: 'string', default: '5000' },
    gib: { type: 'string', default: '10' },
    receivers: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '10' },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)

type Figures = Readonly<Record<string, string>>

const stages: Readonly<Record<string, () => Promise<Figures>>> = {
  starts,
  big,
  streams,
  tls,
  small,
  latency,
  receivers,
  memory,
  idle,
  page,
}

const now: Record<string, string> = {}
const only = values.only?.split(',')
for (const [name, measure] of Object.entries(stages)) {
  if (only?.includes(name) === false) continue
  const startedAtMs = performance.now()
  try {
    Object.assign(now, await measure())
  } catch (error) {
    process.exitCode = 1
    const [reason = ''] = String(error instanceof Error ? error.message : error).split('\n')
    process.stdout.write(`Not measured: ${name}: ${reason}\n`)
  }
  process.stderr.write(`${name}: ${short((performance.now() - startedAtMs) / 1000)} s\n`)
}
const cells = rows.map(({ id, what, target, before }) => [what, target, before, now[id] ?? ''])
process.stdout.write(`${circumstances()}\n\n${table(['what', 'target', 'before', 'now'], cells)}`)

/** The start of a command, and a small file, beside the start of Node. */
async function starts(): Promise<Figures> {
  await using world = await BenchWorld.start()
  const file = join(world.folder, 'small')
  await writeFile(file, '0123456789')
  const env = { PATH: process.env.PATH, XDG_CACHE_HOME: cacheFolder }
  const ratios = { version: [] as number[], tiny: [] as number[] }
  // The first round warms caches, and does not count.
  for (let round = 0; round <= STARTS; round++) {
    const node = await mustRun(process.execPath, ['-e', '0'], { env })
    const version = await mustRun(process.execPath, [program, '--version'], { env })
    const tiny = await world.send(file, [])
    if (tiny.code !== 0) throw new Error(`send ended with ${tiny.code}:\n${tiny.output}`)
    await rm(await world.takeDelivered())
    if (round === 0) continue
    ratios.version.push(version.cpuMs / node.cpuMs)
    ratios.tiny.push(tiny.cpuMs / node.cpuMs)
  }
  return { version: short(median(ratios.version)), tiny: short(median(ratios.tiny)) }
}

/** One big file beside other programs. */
async function big(): Promise<Figures> {
  await using world = await BenchWorld.start()
  await using stack = new AsyncDisposableStack()
  const folder = join(world.folder, 'peers')
  await mkdir(folder)
  const contenders: Contender[] = [ours('plain', world, ['--plain']), ours('sealed', world)]
  contenders.push(stack.use(await floor(join(folder, 'floor'))))
  for (const one of await peers(folder)) {
    if ('why' in one) process.stdout.write(`Not measured: ${one.name}: ${one.why}.\n`)
    else if (one.name === 'piping-server' || one.name.startsWith('nginx')) contenders.push(stack.use(one))
    else await one[Symbol.asyncDispose]()
  }
  const samples = await inTurn(world, contenders, Number(values.mib))
  const ratio = (one: string, other: string, figure: (sample: Sample) => number): string =>
    ratioOf(samples, one, other, figure)
  return {
    'cpu-pipe': ratio('plain', 'piping-server', cpuMsOf),
    'floor-pipe': ratio('floor', 'piping-server', cpuMsOf),
    'wall-pipe': ratio('plain', 'piping-server', wallMsOf),
    'wall-nginx': ratio('plain', 'nginx PUT + GET', wallMsOf),
    'cpu-sealed': ratio('sealed', 'plain', cpuMsOf),
    'wall-sealed': ratio('sealed', 'plain', wallMsOf),
  }
}

/** What a program writes, beside the same through a pipe. */
async function streams(): Promise<Figures> {
  await using world = await BenchWorld.start({ senders: ['alice', 'bob'], receivers: [] })
  await using stack = new AsyncDisposableStack()
  const peer = await pipedStream()
  if ('why' in peer) throw new Error(`${peer.name}: ${peer.why}`)
  const contenders = [oursStreamed('stream', world, ['--plain']), stack.use(peer)]
  const samples = await inTurn(world, contenders, Number(values.mib))
  const ratio = (figure: (sample: Sample) => number): string => ratioOf(samples, 'stream', peer.name, figure)
  return { 'cpu-stream': ratio(cpuMsOf), 'wall-stream': ratio(wallMsOf) }
}

/** What TLS costs. */
async function tls(): Promise<Figures> {
  await using plain = await BenchWorld.start()
  await using stack = new AsyncDisposableStack()
  const certificate = await BenchCertificate.make(plain.folder)
  const own = stack.use(await worldWithTls(certificate))
  const { world: proxied } = stack.use(await worldBehindProxy(plain.folder, certificate))
  const contenders = [
    ours('plain', plain, ['--plain']),
    ours('tls', own, ['--plain']),
    ours('proxy', proxied, ['--plain']),
  ]
  const samples = await inTurn(plain, contenders, Math.min(TLS_MIB_MAX, Number(values.mib)))
  return {
    'cpu-tls': ratioOf(samples, 'tls', 'plain', cpuMsOf),
    'cpu-proxy': ratioOf(samples, 'proxy', 'plain', cpuMsOf),
  }
}

/** All contenders in every round. The first round warms caches and compilers, and does not count. */
async function inTurn(
  world: BenchWorld,
  contenders: readonly Contender[],
  mib: number,
): Promise<Map<string, Sample[]>> {
  const content = await makeContent(world.folder, mib)
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const contender of contenders) {
      const sample = await measured(contender, content)
      if (round > 0) samples.get(contender.name)?.push(sample)
    }
  }
  await rm(content.path)
  return samples
}

function wallMsOf({ wallMs }: Sample): number {
  return wallMs
}

function cpuMsOf({ usage }: Sample): number {
  return Object.values(usage).reduce((sum, { cpuMs }) => sum + cpuMs, 0)
}

/** The median of the ratios of the rounds. */
function ratioOf(
  samples: ReadonlyMap<string, readonly Sample[]>,
  one: string,
  other: string,
  figure: (sample: Sample) => number,
): string {
  const others = samples.get(other)
  if (others === undefined) return 'not measured'
  const ratios = (samples.get(one) ?? []).map((sample, round) => {
    const beside = others[round]
    return beside === undefined ? Number.NaN : figure(sample) / figure(beside)
  })
  return short(median(ratios))
}

/** Many small files, by one sender and by several at once. */
async function small(): Promise<Figures> {
  const senders = Array.from({ length: SENDERS_MANY }, (_, index) => `sender-${index + 1}`)
  await using world = await BenchWorld.start({ senders: ['alice', ...senders], receivers: ['bob'] })
  await using stack = new AsyncDisposableStack()
  const contenders: SmallContender[] = [
    ourSmall('small-plain', world, ['alice'], ['--plain']),
    ourSmall('small-sealed', world, ['alice'], []),
    ourSmall('small-plain-16', world, senders, ['--plain']),
    ourSmall('small-sealed-16', world, senders, []),
  ]
  const count = Number(values.files)
  const warmUp = await makeFileSet(join(world.folder, 'warm-up'), Math.ceil(count * WARM_UP_SHARE), 4 * KIB)
  const files = await makeFileSet(join(world.folder, 'files'), count, 4 * KIB)
  const paces = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  let plain: Record<string, Usage> = {}
  const deliver = async ({ name, deliver: act }: SmallContender, set: typeof files): Promise<void> => {
    const startedAtMs = performance.now()
    const { folder, usage } = await act(set)
    const pace = (set.paths.length * 1000) / (performance.now() - startedAtMs)
    await mustHold(folder, set)
    await empty(folder)
    if (set === warmUp) return
    paces.get(name)?.push(pace)
    if (name === 'small-plain') plain = usage
  }
  for (const contender of contenders) await deliver(contender, warmUp)
  for (let round = 1; round < Math.max(2, rounds); round++) for (const one of contenders) await deliver(one, files)
  const roles = ['sender', 'middle', 'receiver'].map((role) => plain[role] ?? { cpuMs: Number.NaN, peakBytes: 0 })
  const figures: Record<string, string> = {
    'small-cpu': roles.map(({ cpuMs }) => short(cpuMs / count)).join(', '),
    'small-peak': roles.map(({ peakBytes }) => mebibytes(peakBytes)).join(', '),
  }
  // Its pace does not depend on how many there are.
  for (const peer of await smallPeers(join(world.folder, 'peers'))) {
    if ('why' in peer) process.stdout.write(`Not measured: ${peer.name}: ${peer.why}.\n`)
    else {
      stack.use(peer)
      if (!peer.name.includes('16')) continue
      paces.set('small-rclone', [])
      await deliver(
        { ...peer, name: 'small-rclone' },
        await makeFileSet(join(world.folder, 'few'), Math.ceil(count / 10), 4 * KIB),
      )
    }
  }
  for (const [name, all] of paces) figures[name] = short(median(all))
  return figures
}

/** From the announcement to `delivered`, at an even pace. */
async function latency(): Promise<Figures> {
  await using world = await BenchWorld.start()
  const role = fileURLToPath(new URL('./roles/latency-sender.ts', import.meta.url))
  const modes = { latency: 'plain', 'latency-sealed': 'sealed', 'latency-http': 'http' } as const
  const delivered = new Map<string, number[]>(Object.keys(modes).map((name) => [name, []]))
  const warmUpCount = LATENCY_WARM_UP_SECONDS * LATENCY_RATE
  for (let round = 1; round < Math.max(2, rounds); round++) {
    for (const [name, mode] of Object.entries(modes)) {
      const folder = join(world.folder, `source-${round}-${mode}`)
      const files = await makeFileSet(folder, warmUpCount + seconds * LATENCY_RATE, 4 * KIB)
      const args = [role, mode, String(LATENCY_RATE), files.folder]
      const sender = await mustRun(process.execPath, args, { env: world.env('alice') })
      await mustHold(world.inbox('bob'), files)
      await empty(world.inbox('bob'))
      const samples: LatencySample[] = JSON.parse(sender.output)
      delivered.get(name)?.push(...samples.slice(warmUpCount).map(({ deliveredMs }) => deliveredMs))
    }
  }
  return Object.fromEntries(
    [...delivered].map(([name, all]) => [name, `${short(percentile(all, 0.5))} / ${short(percentile(all, 0.99))}`]),
  )
}

/** What each further receiver of one file costs. */
async function receivers(): Promise<Figures> {
  const names = Array.from({ length: 32 }, (_, index) => `receiver-${index + 1}`)
  await using world = await BenchWorld.start({ receivers: names })
  const { path, digest } = await makeContent(world.folder, RECEIVERS_MIB)
  const cpuMsFor = async (count: number): Promise<number> => {
    const to = names.slice(0, count)
    const before = await world.cpuMs()
    const sender = await world.send(path, ['--plain'], { from: 'alice', to })
    if (sender.code !== 0) throw new Error(`send ended with ${sender.code}:\n${sender.output}`)
    const cpuMs = sender.cpuMs + (await world.cpuMs()) - before
    for (const name of to) {
      const file = await world.takeDelivered(name)
      if ((await sha256Of(file)) !== digest) throw new Error('what was delivered is not what was sent')
      await rm(file)
    }
    return cpuMs
  }
  await using peer = await nginx(join(world.folder, 'nginx'))
  const target = join(world.folder, 'target.bin')
  const further: number[] = []
  const peerS: number[] = []
  // The first round warms each receiver, and does not count.
  for (let round = 0; round < Math.max(2, rounds); round++) {
    const oneMs = await cpuMsFor(1)
    const allMs = await cpuMsFor(names.length)
    const { receiver, middle } = await peer.deliver(path, target)
    if (round === 0) continue
    further.push((allMs - oneMs) / (names.length - 1) / 1000)
    // The server writes it once and reads it for each: this counts both.
    peerS.push(((receiver?.cpuMs ?? 0) + (middle?.cpuMs ?? 0)) / 1000)
  }
  return { receivers: short(median(further)), 'receivers-nginx': `≤ ${short(median(peerS))}` }
}

/** The memory that one large file takes. */
async function memory(): Promise<Figures> {
  await using world = await BenchWorld.start()
  const source = join(world.folder, 'source.bin')
  await makeFile(source, Number(values.gib) * KIB)
  const { sender, middle, receiver } = await ours('plain', world, ['--plain']).deliver(source, '')
  await mustRun('cmp', [source, await world.takeDelivered()])
  return { memory: [sender, receiver, middle].map((one) => megabytes(one?.peakBytes ?? 0)).join(' / ') }
}

/** Many receivers that get nothing. */
async function idle(): Promise<Figures> {
  const output = await outputOf('many', [
    '--json',
    '--receivers',
    values.receivers,
    '--idle',
    String(3 * seconds),
    '--offers',
    '20',
  ])
  const figures: IdleFigures = JSON.parse(output.trim().split('\n').at(-1) ?? '')
  const few = figures.receivers < Number(values.receivers) ? ` (${figures.receivers} receivers)` : ''
  return { 'idle-memory': `${megabytes(figures.idleBytes)}${few}`, 'idle-cpu': short(figures.idleCpuPercent) }
}

/** The page beside the command line. */
async function page(): Promise<Figures> {
  const mib = String(Math.min(PAGE_MIB, Number(values.mib)))
  const output = await outputOf('page', ['--rounds', '2', '--size', mib, '--digests', 'blake3'])
  const [, received, sent, cli] = /^\| blake3 \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|/m.exec(output) ?? []
  const beside = (rate: string | undefined): string => short(Number(rate) / Number(cli))
  return { 'page-received': beside(received), 'page-sent': beside(sent) }
}

/** What another measurement of this folder prints. */
async function outputOf(name: string, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (data) => (output += String(data)))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${name} ended with ${code}`)
  return output
}
