/**
 * How long it takes from the announcement of a file of 4 KiB until its sender has been told `delivered`, a `golooader receive`
 * being online, at an even pace and whatever became of the files before. Measured in the sender, a process of its own:
 * by the library (a `send` for each file, sealed and plain), and by the bare requests. See roles/latency-sender.ts.
 *
 *     npm run bench -- latency [--seconds N] [--rate FILES-A-SECOND] [--rounds N] [--warm-up SECONDS]
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { circumstances, KIB, mebibytes, median, percentile, range, short, table } from './figures.ts'
import { empty, makeFileSet, mustHold } from './file-set.ts'
import { mustRun, together, type Usage, usedSince } from './processes.ts'
import type { LatencySample } from './roles/latency-sender.ts'
import { BenchWorld } from './world.ts'

const ROUNDS_DEFAULT = 3
const SECONDS_DEFAULT = 10
const RATE_DEFAULT = 20
const SIZE_BYTES = 4 * KIB
/** What each sender sends first, while its code is being compiled, does not count. */
const WARM_UP_SECONDS_DEFAULT = 2
const MODES = { 'golooader, plain': 'plain', 'golooader, sealed': 'sealed', 'bare requests, plain': 'http' } as const

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    rate: { type: 'string' },
    'warm-up': { type: 'string' },
  },
})
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const seconds = Number(values.seconds ?? SECONDS_DEFAULT)
const rate = Number(values.rate ?? RATE_DEFAULT)
const warmUpSeconds = Number(values['warm-up'] ?? WARM_UP_SECONDS_DEFAULT)
const role = fileURLToPath(new URL('./roles/latency-sender.ts', import.meta.url))

interface Round {
  readonly samples: readonly LatencySample[]
  readonly usage: { readonly sender: Usage; readonly middle: Usage; readonly receiver: Usage }
}

await using world = await BenchWorld.start()
const taken = new Map<string, Round[]>(Object.keys(MODES).map((name) => [name, []]))
for (let round = 1; round <= rounds; round++) {
  for (const [name, mode] of Object.entries(MODES)) {
    const one = await measure(mode, round)
    taken.get(name)?.push(one)
    const p50 = percentile(
      one.samples.map(({ deliveredMs }) => deliveredMs),
      0.5,
    )
    process.stderr.write(`round ${round}: ${name}: p50 ${short(p50)} ms\n`)
  }
}
print()

async function measure(mode: string, round: number): Promise<Round> {
  const warmUpCount = warmUpSeconds * rate
  const folder = join(world.folder, `source-${round}-${mode}`)
  const files = await makeFileSet(folder, warmUpCount + seconds * rate, SIZE_BYTES)
  const before = await world.usage()
  const sender = await mustRun(process.execPath, [role, mode, String(rate), files.folder], { env: world.env('alice') })
  const after = await world.usage()
  await mustHold(world.inbox('bob'), files)
  await empty(world.inbox('bob'))
  const samples: LatencySample[] = JSON.parse(sender.output)
  const middle = usedSince(before.portal, after.portal)
  return {
    samples: samples.slice(warmUpCount),
    usage: { sender, middle, receiver: usedSince(before.receiver, after.receiver) },
  }
}

function print(): void {
  const what = `${rate} a second for ${seconds} s, ${rounds} rounds`
  const head = [
    what,
    'p50 ms (rounds)',
    'p90',
    'p99',
    'max',
    'to `stored`: p50',
    'whole call: p50, p99',
    'CPU ms a file: sender, middle, receiver',
    'peak MiB',
  ]
  const rows = [...taken].map(([name, own]) => {
    const samples = own.flatMap((one) => one.samples)
    const delivered = samples.map(({ deliveredMs }) => deliveredMs)
    const calls = samples.map(({ callMs }) => callMs)
    const halves = own.map((one) =>
      percentile(
        one.samples.map(({ deliveredMs }) => deliveredMs),
        0.5,
      ),
    )
    const usages = (['sender', 'middle', 'receiver'] as const).map((part) => own.map(({ usage }) => usage[part]))
    const sentCount = (warmUpSeconds + seconds) * rate
    return [
      name,
      `${short(percentile(delivered, 0.5))} (${range(halves, short)})`,
      short(percentile(delivered, 0.9)),
      short(percentile(delivered, 0.99)),
      short(Math.max(...delivered)),
      short(
        percentile(
          samples.map(({ storedMs }) => storedMs),
          0.5,
        ),
      ),
      `${short(percentile(calls, 0.5))}, ${short(percentile(calls, 0.99))}`,
      usages.map((part) => short(median(part.map(({ cpuMs }) => cpuMs)) / sentCount)).join(', '),
      usages.map((part) => mebibytes(together(part).peakBytes)).join(', '),
    ]
  })
  process.stdout.write(`${circumstances()}\n\n${table(head, rows)}`)
}
