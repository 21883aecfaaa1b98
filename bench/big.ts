/**
 * One big file, beside what others take for it: from the start of the sending command to the end of the last one, the
 * receiver waiting. All take turns in every round, and what was delivered is compared with what was sent.
 *
 *     npm run bench -- big [--rounds N] [--size MiB] [--only NAME,NAME]
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeContent, measured, ours, oursStreamed, type Sample } from './deliveries.ts'
import { median, range, seconds } from './figures.ts'
import { floor } from './floor.ts'
import { type Contender, type Missing, peers, pipedStream } from './peers.ts'
import { BenchWorld } from './world.ts'

const MIB = 1024 * 1024
const MIB_PER_GIB = 1024
const ROUNDS_DEFAULT = 5
const SIZE_MIB_DEFAULT = 1024
/** What the ratios are of. */
const OURS = 'golooader, plain'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { rounds: { type: 'string' }, size: { type: 'string' }, only: { type: 'string' } },
})
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const sizeMib = Number(values.size ?? SIZE_MIB_DEFAULT)
const only = values.only?.split(',')

await using world = await BenchWorld.start()
// What a digest algorithm costs: the same with the one that everybody has.
await using sha256World = await BenchWorld.start({ flags: ['--digests', 'sha-256'] })
// Where nothing receives but the commands that are measured.
await using streamWorld = await BenchWorld.start({ senders: ['alice', 'bob'], receivers: [] })
await using stack = new AsyncDisposableStack()
const content = await makeContent(world.folder, sizeMib)
const peerFolder = join(world.folder, 'peers')
await mkdir(peerFolder)

const all: (Contender | Missing)[] = [
  ours(OURS, world, ['--plain']),
  ours('golooader, sealed', world),
  ours('golooader, plain, sha-256', sha256World, ['--plain']),
  ours('golooader, sealed, sha-256', sha256World),
  oursStreamed('stream, plain', streamWorld, ['--plain']),
  oursStreamed('stream, sealed', streamWorld),
  await pipedStream(),
  await floor(join(peerFolder, 'floor')),
  ...(await peers(peerFolder)),
]
const contenders: Contender[] = []
for (const one of all) {
  if ('why' in one) process.stdout.write(`Not measured: ${one.name}: ${one.why}.\n`)
  else if (
    one.name === OURS ||
    only === undefined ||
    only.some((part) => one.name === part || one.name.split(/[ ,]/)[0] === part)
  ) {
    contenders.push(stack.use(one))
  } else await one[Symbol.asyncDispose]()
}
const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]))

// The first round warms caches and compilers, and does not count.
for (let round = 0; round <= rounds; round++) {
  for (const contender of contenders) {
    const sample = await measured(contender, content)
    if (round > 0) samples.get(contender.name)?.push(sample)
    process.stderr.write(`round ${round}: ${contender.name}: ${seconds(sample.wallMs)} s\n`)
  }
}
print()

function print(): void {
  const head = `| ${sizeMib} MiB, ${rounds} rounds | median s | min-max s | CPU s a GiB: sender, middle, receiver | peak MiB | ${OURS} / this |`
  process.stdout.write(`${head}\n|---|---|---|---|---|---|\n`)
  const base = samples.get(OURS) ?? []
  for (const [name, own] of samples) {
    const walls = own.map(({ wallMs }) => wallMs)
    const ratios = own.map(({ wallMs }, round) => (base[round]?.wallMs ?? Number.NaN) / wallMs)
    const roles = ['sender', 'middle', 'receiver']
    const cpu = roles.map((role) => {
      const cpuMs = median(own.map(({ usage }) => usage[role]?.cpuMs ?? Number.NaN))
      return seconds((cpuMs * MIB_PER_GIB) / sizeMib)
    })
    const peaks = roles.map((role) => {
      const bytes = Math.max(...own.map(({ usage }) => usage[role]?.peakBytes ?? Number.NaN))
      return (bytes / MIB).toFixed(0)
    })
    const two = (value: number): string => value.toFixed(2)
    process.stdout.write(
      `| ${name} | ${seconds(median(walls))} | ${range(walls, seconds)} | ${cpu.join(', ')} | ${peaks.join(', ')} | ` +
        `${two(median(ratios))} (${range(ratios, two)}) |\n`,
    )
  }
}
