/**
 * What sealing costs: the same file, sent sealed and plain in turn, from the start of `golooader send` to its exit, with a
 * receiver that waits. Real processes, everything made durable as it is shipped.
 *
 *     npm run bench -- sealed [--rounds N] [--size MiB]
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeFile, median, seconds, sha256Of } from './figures.ts'
import { BenchWorld } from './world.ts'

const ROUNDS_DEFAULT = 7
const SIZE_MIB_DEFAULT = 1024

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { rounds: { type: 'string' }, size: { type: 'string' } },
})
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const sizeMib = Number(values.size ?? SIZE_MIB_DEFAULT)

/** One delivery, with what it cost. */
interface Sample {
  readonly wallMs: number
  /** Of sender, portal and receiver together. */
  readonly cpuMs: number
}

await using world = await BenchWorld.start()
const source = join(world.folder, 'source.bin')
await makeFile(source, sizeMib)
const digest = await sha256Of(source)
const samples: Record<'plain' | 'sealed', Sample[]> = { plain: [], sealed: [] }
const ratios: number[] = []

// The first pair warms caches and compilers, and does not count.
for (let round = 0; round <= rounds; round++) {
  const pair = {
    ...(round % 2 === 0
      ? { plain: await deliver(['--plain']), sealed: await deliver([]) }
      : { sealed: await deliver([]), plain: await deliver(['--plain']) }),
  }
  if (round === 0) continue
  samples.plain.push(pair.plain)
  samples.sealed.push(pair.sealed)
  ratios.push(pair.sealed.wallMs / pair.plain.wallMs)
  process.stderr.write(`round ${round}: plain ${seconds(pair.plain.wallMs)}, sealed ${seconds(pair.sealed.wallMs)}\n`)
}

process.stdout.write(
  `| ${sizeMib} MiB, ${rounds} pairs | median s | min-max s | CPU s | MiB/s |\n|---|---|---|---|---|\n`,
)
for (const kind of ['plain', 'sealed'] as const) {
  const walls = samples[kind].map(({ wallMs }) => wallMs)
  const cpuMs = median(samples[kind].map((one) => one.cpuMs))
  const rate = (sizeMib * 1000) / median(walls)
  process.stdout.write(
    `| ${kind} | ${seconds(median(walls))} | ${seconds(Math.min(...walls))}-${seconds(Math.max(...walls))} | ` +
      `${seconds(cpuMs)} | ${rate.toFixed(0)} |\n`,
  )
}
process.stdout.write(
  `\nsealed / plain, pair by pair: median ${median(ratios).toFixed(2)}, ` +
    `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}\n`,
)

async function deliver(args: readonly string[]): Promise<Sample> {
  const cpuBeforeMs = await world.cpuMs()
  const startedAtMs = performance.now()
  const { code, cpuMs: senderCpuMs, output } = await world.send(source, args)
  const wallMs = performance.now() - startedAtMs
  if (code !== 0) throw new Error(`send ended with ${code}:\n${output}`)
  const delivered = await world.takeDelivered()
  if ((await sha256Of(delivered)) !== digest) throw new Error('what was delivered is not what was sent')
  await rm(delivered)
  return { wallMs, cpuMs: (await world.cpuMs()) - cpuBeforeMs + senderCpuMs }
}
