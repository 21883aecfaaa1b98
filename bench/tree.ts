/**
 * A folder of many small files as one delivery, from the start of the sending command to its end, the receiver waiting; beside
 * `tar c | curl → piping-server → curl | tar x`, which stores nothing, proves nothing and syncs nothing. All take turns in every round, and every
 * file that was delivered is compared with what was sent.
 *
 *     npm run bench -- tree [--count N] [--size KiB] [--rounds N] [--only NAME,NAME]
 */
import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { circumstances, KIB, mebibytes, median, range, short, table } from './figures.ts'
import { empty, type FileSet, makeFileSet, mustHold } from './file-set.ts'
import { type Missing, pipingServer } from './peers.ts'
import { end, mustRun, type Usage, usageOf, usedSince } from './processes.ts'
import { BenchWorld } from './world.ts'

/** One way to get a folder there. */
interface TreeContender extends AsyncDisposable {
  readonly name: string
  /** Brings the folder. @returns where it arrived, and what each part in it used */
  deliver(files: FileSet): Promise<{ folder: string; usage: Record<string, Usage> }>
}

interface Sample {
  readonly wallMs: number
  readonly usage: Record<string, Usage>
}

const ROUNDS_DEFAULT = '3'
const COUNT_DEFAULT = '20000'
const SIZE_KIB_DEFAULT = '4'
/** As many files as this warm caches and compilers. */
const WARM_UP_SHARE = 0.1
const PEER = 'tar, curl → piping-server → curl, tar'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    count: { type: 'string', default: COUNT_DEFAULT },
    size: { type: 'string', default: SIZE_KIB_DEFAULT },
    rounds: { type: 'string', default: ROUNDS_DEFAULT },
    only: { type: 'string' },
  },
})
const [count, sizeKib, rounds] = [values.count, values.size, values.rounds].map(Number) as [number, number, number]
const only = values.only?.split(',')

await using world = await BenchWorld.start()
await using stack = new AsyncDisposableStack()
const contenders: TreeContender[] = []
for (const one of [ours('golooader, plain', ['--plain']), ours('golooader, sealed', []), await piped()]) {
  if ('why' in one) process.stdout.write(`Not measured: ${one.name}: ${one.why}.\n`)
  else if (only === undefined || only.some((part) => one.name.includes(part))) contenders.push(stack.use(one))
  else await one[Symbol.asyncDispose]()
}
process.stdout.write(`${circumstances()}\n\n`)
await measure()

async function measure(): Promise<void> {
  const source = join(world.folder, 'source')
  const warmUp = await makeFileSet(join(source, 'warm-up'), Math.ceil(count * WARM_UP_SHARE), sizeKib * KIB)
  for (const contender of contenders) await sampleOf(contender, warmUp)
  const files = await makeFileSet(join(source, 'photos'), count, sizeKib * KIB)
  const samples = new Map(contenders.map((contender) => [contender, [] as Sample[]]))
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) samples.get(contender)?.push(await sampleOf(contender, files))
  }
  process.stdout.write(`A folder of ${count} files of ${sizeKib} KiB\n\n${tableOf(samples)}\n`)
}

async function sampleOf(contender: TreeContender, files: FileSet): Promise<Sample> {
  const startedAtMs = performance.now()
  const { folder, usage } = await contender.deliver(files)
  const wallMs = performance.now() - startedAtMs
  await mustHold(folder, files)
  await empty(dirname(folder))
  return { wallMs, usage }
}

function tableOf(samples: ReadonlyMap<TreeContender, readonly Sample[]>): string {
  const wallOf = (name: string) => {
    const found = [...samples].find(([contender]) => contender.name === name)?.[1]
    return found === undefined ? null : median(found.map(({ wallMs }) => wallMs))
  }
  const peerMs = wallOf(PEER)
  const head = ['', 'files a second', 'seconds', 'CPU seconds: sender, middle, receiver', 'MiB at most', 'x the pipe']
  const rows = [...samples].map(([{ name }, taken]) => {
    const parts = ['sender', 'middle', 'receiver'].map((part) => taken.map(({ usage }) => usage[part] as Usage))
    const wallMs = median(taken.map((one) => one.wallMs))
    return [
      name,
      short((count / wallMs) * 1000),
      range(
        taken.map((one) => one.wallMs),
        (ms) => short(ms / 1000),
      ),
      parts.map((used) => short(median(used.map(({ cpuMs }) => cpuMs)) / 1000)).join(', '),
      parts.map((used) => mebibytes(median(used.map(({ peakBytes }) => peakBytes)))).join(', '),
      peerMs === null ? '' : short(wallMs / peerMs),
    ]
  })
  return table(head, rows)
}

function ours(name: string, args: readonly string[]): TreeContender {
  return {
    name,
    async deliver(files) {
      const before = await world.usage()
      const sent = await world.send(files.folder, args)
      if (sent.code !== 0) throw new Error(`send ended with ${sent.code}:\n${sent.output}`)
      const after = await world.usage()
      const [middle, receiver] = [usedSince(before.portal, after.portal), usedSince(before.receiver, after.receiver)]
      return { folder: join(world.inbox('bob'), basename(files.folder)), usage: { sender: sent, middle, receiver } }
    },
    async [Symbol.asyncDispose]() {},
  }
}

async function piped(): Promise<TreeContender | Missing> {
  const piping = await pipingServer()
  if (piping === null) return { name: PEER, why: 'piping-server is not installed: npm ci in bench/' }
  const { server, url } = piping
  const inbox = join(world.folder, 'piped')
  return {
    name: PEER,
    async deliver({ folder }) {
      await rm(inbox, { recursive: true, force: true })
      await mkdir(inbox)
      const before = await usageOf(server.pid)
      const shell = (command: string, ...args: string[]) => mustRun('sh', ['-c', command, 'sh', url, ...args])
      const [sender, receiver] = await Promise.all([
        shell('tar -c --format=pax -C "$2" "$3" | curl -sfT - "$1"', dirname(folder), basename(folder)),
        shell('curl -sf "$1" | tar -x -C "$2"', inbox),
      ])
      const middle = usedSince(before, await usageOf(server.pid))
      return { folder: join(inbox, basename(folder)), usage: { sender, middle, receiver } }
    },
    [Symbol.asyncDispose]: () => end(server),
  }
}
