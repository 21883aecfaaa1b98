/**
 * How many parts in flight a path needs: the same file up and down, over loopback and over 100 ms and 1 Gbit/s, with fixed numbers
 * and with the one that is found out by trying. All take turns in every round; times are those of whole processes.
 *
 *     npm run bench -- long [--rounds N] [--size MiB] [--counts N,N,N] [--only loopback|long]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeFile, median, range, seconds, sha256Of } from './figures.ts'
import { longPath, loopback, type Path } from './long-path.ts'
import { cacheFolder, end, mustRun } from './processes.ts'

const ROUNDS_DEFAULT = 3
const SIZE_MIB_DEFAULT = 512
/** The sender's memory is enough for eleven of twelve. */
const COUNTS_DEFAULT = '1,2,3,4,6,8,12'
const FOUND = 'found out'

const program = fileURLToPath(new URL('../bin/golooader.js', import.meta.url))
const receiver = fileURLToPath(new URL('roles/one-file-receiver.ts', import.meta.url))

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    rounds: { type: 'string' },
    size: { type: 'string' },
    counts: { type: 'string' },
    only: { type: 'string' },
  },
})
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const sizeMib = Number(values.size ?? SIZE_MIB_DEFAULT)
const fixedCounts = (values.counts ?? COUNTS_DEFAULT).split(',')
const counts = [...fixedCounts, FOUND]

/** A portal at the far end of a path, ada and bob at the near one, and carol beside the portal. */
class Ends implements AsyncDisposable {
  readonly path: Path
  readonly #folder: string
  readonly #env: NodeJS.ProcessEnv
  #portal: ChildProcess | null = null
  #profiles = new Map<string, { portalUrl: string; token: string }>()

  private constructor(path: Path, folder: string) {
    this.path = path
    this.#folder = folder
    this.#env = { PATH: process.env.PATH, HOME: folder, XDG_CACHE_HOME: cacheFolder }
  }

  static async open(path: Path, folder: string): Promise<Ends> {
    const ends = new Ends(path, folder)
    await mkdir(folder)
    const portalUrl = await ends.#startPortal()
    const nearUrl = await path.url(portalUrl)
    await ends.#join('ada', path.near, nearUrl)
    await ends.#join('bob', path.near, nearUrl)
    await ends.#join('carol', path.far, portalUrl)
    return ends
  }

  /** @returns how long the file took to the portal */
  async up(source: string, count: string): Promise<number> {
    const args = count === FOUND ? [] : ['--parts-in-flight', count]
    const { ms, output } = await this.#timed(this.path.near, this.#send('ada', source, args))
    const transferId = /"transferId":"([^"]+)"/.exec(output)?.[1] ?? ''
    await this.#run(this.path.near, [program, 'cancel', transferId, '--profile', 'ada', '--insecure'])
    return ms
  }

  /** @returns how long the file took from the portal, which has it already */
  async down(source: string, count: string, digest: string): Promise<number> {
    await this.#run(this.path.far, this.#send('carol', source, []))
    const bob = this.#profiles.get('bob')
    const inbox = join(this.#folder, 'in')
    const env = { GOLOOADER_PORTAL: bob?.portalUrl, GOLOOADER_TOKEN: bob?.token }
    const { ms } = await this.#timed(this.path.near, [receiver, inbox, ...(count === FOUND ? [] : [count])], env)
    const [name = ''] = (await readdir(inbox)).filter((one) => !one.startsWith('.'))
    if ((await sha256Of(join(inbox, name))) !== digest) throw new Error('what was received is not what was sent')
    await rm(join(inbox, name))
    return ms
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#portal !== null) await end(this.#portal)
  }

  #send(profile: string, source: string, args: readonly string[]): string[] {
    return [program, 'send', source, '--to=bob', '--plain', '--no-wait', '--json', ...this.#as(profile), ...args]
  }

  #as(profile: string): string[] {
    return ['--profile', profile, '--insecure']
  }

  async #startPortal(): Promise<string> {
    const { far, listen } = this.path
    const args = [program, 'portal', '--listen', listen, '--data', 'portal', '--log-level', 'silent']
    const [command = '', ...rest] = [...far, process.execPath, ...args]
    const child = spawn(command, rest, { env: this.#env, cwd: this.#folder, stdio: ['ignore', 'pipe', 'ignore'] })
    this.#portal = child
    for await (const line of createInterface({ input: child.stdout })) {
      const port = /listening on \S+:(\d+)/.exec(line)?.[1]
      child.stdout.resume()
      if (port !== undefined) return `http://127.0.0.1:${port}`
    }
    throw new Error('the portal ended')
  }

  async #join(name: string, where: readonly string[], url: string): Promise<void> {
    const invite = [program, 'invite', name, '--data', 'portal', '--public-url', url]
    const { output } = await this.#run(this.path.far, invite)
    await this.#run(where, [program, 'join', output.trim().split('\n')[0] ?? '', '--insecure'])
    const profile = join(this.#folder, '.config', 'golooader', 'profiles', `${name}.json`)
    this.#profiles.set(name, JSON.parse(await readFile(profile, 'utf8')))
  }

  #run(where: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const [command = '', ...rest] = [...where, process.execPath, ...args]
    return mustRun(command, rest, { env: { ...this.#env, ...env }, cwd: this.#folder })
  }

  async #timed(where: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const startedAtMs = performance.now()
    const { output } = await this.#run(where, args, env)
    return { ms: performance.now() - startedAtMs, output }
  }
}

await using stack = new AsyncDisposableStack()
const folder = await mkdtemp(join(tmpdir(), 'golooader-bench-'))
stack.defer(() => rm(folder, { recursive: true, force: true }))
const source = join(folder, 'source.bin')
await makeFile(source, sizeMib)
const digest = await sha256Of(source)

const paths: Path[] = []
if (values.only !== 'long') paths.push(loopback)
if (values.only !== 'loopback') {
  const why = (reason: string) =>
    process.stdout.write(`No network namespaces with netem here, so a proxy delays: ${reason}\n\n`)
  paths.push(stack.use(await longPath(why)))
}
process.stdout.write(
  `| ${sizeMib} MiB, ${rounds} rounds: median s | ${fixedCounts.join(' | ')} | ${FOUND} | best / ${FOUND} |\n` +
    `${'|---'.repeat(counts.length + 2)}|\n`,
)
for (const [index, path] of paths.entries()) {
  await using ends = await Ends.open(path, join(folder, String(index)))
  for (const way of ['up', 'down'] as const) {
    const times = new Map<string, number[]>(counts.map((count) => [count, []]))
    // The first round warms caches and compilers, and does not count.
    for (let round = 0; round <= rounds; round++) {
      for (const count of counts) {
        const ms = await (way === 'up' ? ends.up(source, count) : ends.down(source, count, digest))
        if (round > 0) times.get(count)?.push(ms)
        process.stderr.write(`round ${round}: ${path.name}, ${way}, ${count}: ${seconds(ms)} s\n`)
      }
    }
    print(`${path.name}, ${way}`, times)
  }
}

function print(name: string, times: ReadonlyMap<string, readonly number[]>): void {
  const of = (count: string): readonly number[] => times.get(count) ?? []
  const cells = counts.map((count) => `${seconds(median(of(count)))} (${range(of(count), seconds)})`)
  // Which fixed number is the best is said by all rounds together; how much better, by each round for itself.
  const best = fixedCounts.reduce((one, other) => (median(of(other)) < median(of(one)) ? other : one))
  const ratios = of(FOUND).map((ms, round) => (of(best)[round] ?? Number.NaN) / ms)
  process.stdout.write(`| ${name} | ${cells.join(' | ')} | ${best}: ${median(ratios).toFixed(2)} |\n`)
}
