/**
 * Many small files, from the start of the sending command to its end, the receiver waiting; beside `rclone copy` up to a
 * WebDAV server and down again. All take turns in every round, and every file that was delivered is compared with what was
 * sent. (rclone is slow, and gets a fifth of them.) One `golooader send` gets all files as its arguments; of 16 at once, each is an account of its own with a machine
 * of its own (journal, keys, receipts), and sends its share to the same receiver.
 *
 *     npm run bench -- small [--count N] [--size KiB] [--rounds N] [--only NAME,NAME]
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { circumstances, KIB, mebibytes, median, range, short, table } from './figures.ts'
import { empty, type FileSet, makeFileSet, mustHold, spanMs } from './file-set.ts'
import type { Usage } from './processes.ts'
import { ourSmall, type SmallContender, smallPeers } from './small-peers.ts'
import { BenchWorld } from './world.ts'

const ROUNDS_DEFAULT = 2
const SENDERS_MANY = 16
/** As many files as this warm caches and compilers. */
const WARM_UP_SHARE = 0.1
/** What the ratios are of. */
const OURS = 'golooader, plain'
const SETS_DEFAULT = [
  { count: 5_000, sizeKib: 4 },
  { count: 1_000, sizeKib: 100 },
] as const

interface Sample {
  readonly count: number
  readonly wallMs: number
  /** Between the first and the last file at the receiver. */
  readonly spanMs: number
  readonly usage: Record<string, Usage>
}

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    count: { type: 'string' },
    size: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
  },
})
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const only = values.only?.split(',')
const senders = Array.from({ length: SENDERS_MANY }, (_, index) => `sender-${index + 1}`)

await using world = await BenchWorld.start({ senders: ['alice', ...senders], receivers: ['bob'] })
await using stack = new AsyncDisposableStack()
const contenders: SmallContender[] = []
const all = [
  ourSmall(OURS, world, ['alice'], ['--plain']),
  ourSmall('golooader, sealed', world, ['alice'], []),
  ourSmall(`golooader, plain, ${SENDERS_MANY} senders`, world, senders, ['--plain']),
  ourSmall(`golooader, sealed, ${SENDERS_MANY} senders`, world, senders, []),
  ...(await smallPeers(join(world.folder, 'peers'))),
]
for (const one of all) {
  if ('why' in one) process.stdout.write(`Not measured: ${one.name}: ${one.why}.\n`)
  else if (one.name === OURS || only === undefined || only.some((part) => one.name.includes(part))) {
    contenders.push(stack.use(one))
  } else await one[Symbol.asyncDispose]()
}
process.stdout.write(`${circumstances()}\n\n`)
const sets =
  values.count === undefined && values.size === undefined
    ? SETS_DEFAULT
    : SETS_DEFAULT.slice(0, 1).map(({ count, sizeKib }) => ({
        count: Number(values.count ?? count),
        sizeKib: Number(values.size ?? sizeKib),
      }))
for (const set of sets) await measureSet(set)

async function measureSet({ count, sizeKib }: { count: number; sizeKib: number }): Promise<void> {
  const folder = join(world.folder, `source-${sizeKib}`)
  const warmUp = await makeFileSet(`${folder}-warm-up`, Math.ceil(count * WARM_UP_SHARE), sizeKib * KIB)
  for (const contender of contenders) await measure(contender, warmUp)
  const sets = new Map<number, FileSet>()
  for (const share of new Set(contenders.map((one) => one.share))) {
    sets.set(share, await makeFileSet(`${folder}-${share}`, Math.ceil(count * share), sizeKib * KIB))
  }
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const contender of contenders) {
      const files = sets.get(contender.share)
      if (files === undefined) throw new Error('there are no files')
      const sample = await measure(contender, files)
      samples.get(contender.name)?.push(sample)
      const pace = short(paceOf(sample))
      process.stderr.write(`${count} x ${sizeKib} KiB, round ${round}: ${contender.name}: ${pace} files a second\n`)
    }
  }
  print(`${count} x ${sizeKib} KiB, ${rounds} rounds`, samples)
}

async function measure(contender: SmallContender, files: FileSet): Promise<Sample> {
  const startedAtMs = performance.now()
  const { folder, usage } = await contender.deliver(files)
  const wallMs = performance.now() - startedAtMs
  await mustHold(folder, files).catch((cause: unknown) => {
    throw new Error(`${contender.name}: what was delivered is not what was sent`, { cause })
  })
  const sample = { count: files.paths.length, wallMs, usage, spanMs: await spanMs(folder) }
  await empty(folder)
  return sample
}

/** Files a second. */
function paceOf({ count, wallMs }: Sample): number {
  return (count * 1000) / wallMs
}

function print(what: string, samples: ReadonlyMap<string, readonly Sample[]>): void {
  const head = [
    what,
    'files a second',
    'min-max',
    'between the first and the last file',
    'CPU ms a file: sender, middle, receiver',
    'peak MiB',
    `pace / that of ${OURS}`,
  ]
  const base = samples.get(OURS) ?? []
  const rows = [...samples].map(([name, own]) => {
    const paces = own.map(paceOf)
    const steady = own.map((one) => ((one.count - 1) * 1000) / one.spanMs)
    const ratios = own.map((one, round) => paceOf(one) / (base[round] === undefined ? Number.NaN : paceOf(base[round])))
    const roles = ['sender', 'middle', 'receiver']
    const cpu = roles.map((role) =>
      short(median(own.map(({ usage, count }) => (usage[role]?.cpuMs ?? Number.NaN) / count))),
    )
    const peaks = roles.map((role) => mebibytes(Math.max(...own.map(({ usage }) => usage[role]?.peakBytes ?? 0))))
    const ratio = `${short(median(ratios))} (${range(ratios, short)})`
    const isOurs = name.startsWith('golooader')
    return [
      name,
      short(median(paces)),
      range(paces, short),
      isOurs ? short(median(steady)) : '',
      cpu.join(', '),
      peaks.join(', '),
      ratio,
    ]
  })
  process.stdout.write(`${table(head, rows)}\n`)
}
