/**
 * How cost grows: with the size of a file, with the number of its parts, and with the number of its receivers, each from the
 * start of `golooader send` to its exit, all receivers online. Writes plots. (Growth with the backlog: `backlog`.)
 *
 *     npm run bench -- growth [--only size,parts,receivers] [--rounds N] [--sizes MiB,MiB,…] [--parts KiB,KiB,…]
 *                             [--receivers N,N,…] [--part-mib MiB] [--receiver-mib MiB] [--plots FOLDER]
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { circumstances, makeFile, median, range, seconds, sha256Of, table } from './figures.ts'
import { plotFolder, pointOf, savePlot } from './plot.ts'
import { BenchWorld } from './world.ts'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    only: { type: 'string', default: 'size,parts,receivers' },
    rounds: { type: 'string', default: '2' },
    sizes: { type: 'string', default: '1,4,16,64,256,1024,4096' },
    parts: { type: 'string', default: '64,256,1024,4096,16384,65536' },
    receivers: { type: 'string', default: '1,2,4,8,16,32' },
    'part-mib': { type: 'string', default: '256' },
    'receiver-mib': { type: 'string', default: '64' },
    plots: { type: 'string', default: plotFolder },
  },
})
const rounds = Number(values.rounds)
const MODES = { plain: ['--plain'], sealed: [] } as const
type Mode = keyof typeof MODES

interface Sample {
  readonly wallMs: number
  /** Of sender, portal and receivers together. */
  readonly cpuMs: number
}

/** What is varied, and how. */
interface Growth {
  readonly name: string
  readonly title: string
  readonly unit: string
  readonly scale: 'linear' | 'log'
  readonly steps: readonly number[]
  deliver(step: number, mode: Mode): Promise<Sample>
}

const chosen = values.only.split(',')
process.stdout.write(`${circumstances()}\n`)
if (chosen.includes('size')) await withSize()
if (chosen.includes('parts')) await withParts()
if (chosen.includes('receivers')) await withReceivers()

async function withSize(): Promise<void> {
  await using world = await BenchWorld.start()
  const steps = numbers(values.sizes)
  const files = new Map<number, Source>()
  for (const mib of steps) files.set(mib, await makeSource(world, mib))
  await measure({
    name: 'size',
    title: 'Cost against size, one receiver',
    unit: 'MiB',
    scale: 'log',
    steps,
    deliver: (mib, mode) => deliver(world, must(files.get(mib)), MODES[mode], ['bob']),
  })
}

async function withParts(): Promise<void> {
  await using world = await BenchWorld.start()
  const mib = Number(values['part-mib'])
  const source = await makeSource(world, mib)
  await measure({
    name: 'parts',
    title: `Cost of ${mib} MiB against the size of its parts`,
    unit: 'KiB a part',
    scale: 'log',
    steps: numbers(values.parts),
    deliver: (kib, mode) => deliver(world, source, [...MODES[mode], '--part-size', `${kib}KiB`], ['bob']),
  })
}

async function withReceivers(): Promise<void> {
  const steps = numbers(values.receivers)
  const names = Array.from({ length: Math.max(...steps) }, (_, index) => `receiver-${index + 1}`)
  await using world = await BenchWorld.start({ receivers: names })
  const mib = Number(values['receiver-mib'])
  const source = await makeSource(world, mib)
  await measure({
    name: 'receivers',
    title: `Cost of ${mib} MiB against its receivers`,
    unit: 'receivers',
    scale: 'linear',
    steps,
    deliver: (count, mode) => deliver(world, source, MODES[mode], names.slice(0, count)),
  })
}

interface Source {
  readonly path: string
  readonly digest: string
}

async function makeSource(world: BenchWorld, mib: number): Promise<Source> {
  const path = join(world.folder, `source-${mib}.bin`)
  await makeFile(path, mib)
  return { path, digest: await sha256Of(path) }
}

async function deliver(
  world: BenchWorld,
  { path, digest }: Source,
  args: readonly string[],
  to: readonly string[],
): Promise<Sample> {
  const cpuBeforeMs = await world.cpuMs()
  const startedAtMs = performance.now()
  const { code, cpuMs: senderCpuMs, output } = await world.send(path, args, { from: 'alice', to })
  const wallMs = performance.now() - startedAtMs
  if (code !== 0) throw new Error(`send ended with ${code}:\n${output}`)
  const cpuMs = (await world.cpuMs()) - cpuBeforeMs + senderCpuMs
  for (const receiver of to) {
    const delivered = await world.takeDelivered(receiver)
    if ((await sha256Of(delivered)) !== digest) throw new Error('what was delivered is not what was sent')
    await rm(delivered)
  }
  return { wallMs, cpuMs }
}

async function measure(growth: Growth): Promise<void> {
  const modes = Object.keys(MODES) as Mode[]
  const samples = new Map<Mode, Map<number, Sample[]>>()
  for (const mode of modes) samples.set(mode, new Map(growth.steps.map((step) => [step, []])))
  // Warms caches and compilers, and does not count.
  for (const mode of modes) await growth.deliver(must(growth.steps[0]), mode)
  for (let round = 1; round <= rounds; round++) {
    for (const step of growth.steps) {
      for (const mode of modes)
        samples
          .get(mode)
          ?.get(step)
          ?.push(await growth.deliver(step, mode))
    }
    process.stderr.write(`${growth.name}: round ${round} of ${rounds}\n`)
  }
  await tell(growth, samples)
}

async function tell(growth: Growth, samples: ReadonlyMap<Mode, ReadonlyMap<number, readonly Sample[]>>): Promise<void> {
  const all = [...samples]
  const head = [growth.unit, ...all.flatMap(([mode]) => [`${mode}: s (min-max)`, `${mode}: CPU s of all processes`])]
  const rows = growth.steps.map((step) => [
    String(step),
    ...all.flatMap(([, steps]) => {
      const own = must(steps.get(step))
      const walls = own.map(({ wallMs }) => wallMs)
      const cpu = median(own.map(({ cpuMs }) => cpuMs))
      return [`${seconds(median(walls))} (${range(walls, seconds)})`, seconds(cpu)]
    }),
  ])
  process.stdout.write(`\n${growth.title}, ${rounds} rounds:\n\n${table(head, rows)}`)
  const series = all.flatMap(([mode, steps]) =>
    (['wallMs', 'cpuMs'] as const).map((what) => ({
      name: `${mode}${what === 'cpuMs' ? ', CPU of all' : ''}`,
      points: [...steps].map(([step, own]) =>
        pointOf(
          step,
          own.map((one) => one[what] / 1000),
        ),
      ),
    })),
  )
  await savePlot(values.plots, growth.name, {
    title: growth.title,
    circumstances: circumstances(),
    x: { label: growth.unit, scale: growth.scale },
    y: { label: 'seconds', scale: growth.name === 'size' ? 'log' : 'linear' },
    series,
  })
}

function numbers(text: string): number[] {
  return text.split(',').map(Number)
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('there is nothing to measure')
  return value
}
