/**
 * Whether a big file costs more than it did: processor time of all processes beside that of the floor and of nginx, in rounds in turn. A
 * ratio says about the same on a slow machine and on a busy one; of each program the cheapest round counts, which other processes disturbed
 * least.
 *
 *     npm run bench -- gate [--rounds N] [--size MiB] [--recorded FILE] [--record]
 *
 * It ends with 1 when a ratio is worse than the recorded one by more than a quarter. `--record` writes the ratios down instead. The floor needs
 * nothing but Node; where there is no nginx, the gate says so.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeContent, measured, ours } from './deliveries.ts'
import { table } from './figures.ts'
import { floor } from './floor.ts'
import { nginx } from './peers.ts'
import { isInstalled } from './processes.ts'
import { BenchWorld } from './world.ts'

const ROUNDS_DEFAULT = 4
const SIZE_MIB_DEFAULT = 256
const WORSE_MAX = 1.25

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    rounds: { type: 'string' },
    size: { type: 'string' },
    recorded: { type: 'string' },
    record: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const recordedPath = values.recorded ?? fileURLToPath(new URL('gate.json', import.meta.url))

await using world = await BenchWorld.start()
await using stack = new AsyncDisposableStack()
const content = await makeContent(world.folder, Number(values.size ?? SIZE_MIB_DEFAULT))
const folder = join(world.folder, 'peers')
await mkdir(folder)

const own = [ours('plain', world, ['--plain']), ours('sealed', world)]
const others = [stack.use(await floor(join(folder, 'floor')))]
if ((await isInstalled('nginx')) && (await isInstalled('curl')))
  others.push(stack.use(await nginx(join(folder, 'nginx'))))
else process.stdout.write('Not measured: nginx PUT + GET: not installed: apt-get install curl nginx.\n')

const cheapestMs = new Map<string, number>()
// The first round warms caches and compilers, and does not count.
for (let round = 0; round <= rounds; round++) {
  for (const contender of [...own, ...others]) {
    const { usage } = await measured(contender, content)
    const cpuMs = Object.values(usage).reduce((sum, one) => sum + one.cpuMs, 0)
    const before = cheapestMs.get(contender.name) ?? Number.POSITIVE_INFINITY
    if (round > 0) cheapestMs.set(contender.name, Math.min(before, cpuMs))
  }
}

const ratios: Record<string, number> = {}
for (const one of own) {
  for (const other of others) {
    const ratio = (cheapestMs.get(one.name) ?? Number.NaN) / (cheapestMs.get(other.name) ?? Number.NaN)
    ratios[`${one.name} / ${other.name}`] = Number(ratio.toFixed(2))
  }
}

if (values.record) {
  await writeFile(recordedPath, `${JSON.stringify(ratios, null, 2)}\n`)
  process.stdout.write(`recorded in ${recordedPath}\n`)
} else {
  const recorded: Record<string, number> = JSON.parse(await readFile(recordedPath, 'utf8'))
  const rows = Object.entries(ratios).map(([name, ratio]) => {
    const before = recorded[name]
    if (before === undefined) throw new Error(`${recordedPath} has no ratio for ${name}: record it`)
    const isWorse = !(ratio <= before * WORSE_MAX)
    if (isWorse) process.exitCode = 1
    return [name, ratio.toFixed(2), before.toFixed(2), isWorse ? 'worse by more than a quarter' : 'holds']
  })
  process.stdout.write(table(['processor time', 'now', 'recorded', ''], rows))
}
