/**
 * The page beside the command line: the same file, sealed, from `golooader send` to a page in Chromium and to `golooader receive` in
 * turn, and from the page to the same receiver. From the start of sending until the sender knows that it was delivered.
 *
 *     npm run bench -- page [--rounds N] [--size MiB] [--chromium PATH] [--digests NAME,NAME]
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BareBrowser } from './bare-browser.ts'
import { makeFile, median } from './figures.ts'
import { program } from './portal-process.ts'
import { run } from './processes.ts'
import { BenchWorld } from './world.ts'

const ROUNDS_DEFAULT = 3
const SIZE_MIB_DEFAULT = 128

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    rounds: { type: 'string' },
    size: { type: 'string' },
    chromium: { type: 'string' },
    digests: { type: 'string' },
  },
})
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const sizeMib = Number(values.size ?? SIZE_MIB_DEFAULT)

process.stdout.write(
  `| ${sizeMib} MiB, ${rounds} rounds, MiB/s | cli -> page | page -> cli | cli -> cli |\n|---|---|---|---|\n`,
)
for (const digest of values.digests?.split(',') ?? ['blake3', 'sha-256']) await measure(digest)

async function measure(digest: string): Promise<void> {
  await using world = await BenchWorld.start({ flags: ['--digests', digest === 'blake3' ? 'blake3,sha-256' : digest] })
  const source = join(world.folder, 'source.bin')
  await makeFile(source, sizeMib)
  const executable = values.chromium ?? '/usr/bin/chromium'
  const profile = join(world.folder, 'chromium')
  await using page = await BareBrowser.open(executable, profile, await inviteOf(world, 'carol'))
  await page.click(/^Join$/)
  await page.click(/^Receive/)
  await page.click(/Accept all files automatically/)
  const rates = { toPage: [] as number[], fromPage: [] as number[], cli: [] as number[] }
  // The first round warms caches and compilers, and does not count.
  for (let round = 0; round <= rounds; round++) {
    const toPage = await rateOf(() => sent(world, source, 'carol'))
    const cli = await rateOf(() => sent(world, source, 'bob'))
    await rm(await world.takeDelivered())
    const fromPage = await rateOf(async () => {
      await page.click(/^Send$/)
      await page.choose('input[data-for="files"]', source)
      await page.fill('To', 'bob')
      await page.click(/^Add$/)
      await page.click(/^Send it/)
      await page.waitFor(/receipt verified/)
    })
    await rm(await world.takeDelivered())
    await page.click(/^Clear/)
    if (round === 0) continue
    rates.toPage.push(toPage)
    rates.fromPage.push(fromPage)
    rates.cli.push(cli)
  }
  const [toPage, fromPage, cli] = [rates.toPage, rates.fromPage, rates.cli].map((all) => median(all).toFixed(0))
  process.stdout.write(`| ${digest} | ${toPage} | ${fromPage} | ${cli} |\n`)
}

async function inviteOf(world: BenchWorld, name: string): Promise<string> {
  const command = [program, 'invite', name, '--data', join(world.folder, 'portal')]
  const { output } = await run(process.execPath, command, { env: process.env, cwd: world.folder })
  const secret = /gli_[A-Za-z0-9_-]{43}/.exec(output)?.[0]
  if (secret === undefined) throw new Error(`no invite:\n${output}`)
  return `${world.portal.url}/join#${secret}`
}

async function sent(world: BenchWorld, source: string, to: string): Promise<void> {
  const { code, output } = await world.send(source, [], { from: 'alice', to: [to] })
  if (code !== 0) throw new Error(`send ended with ${code}:\n${output}`)
}

async function rateOf(act: () => Promise<void>): Promise<number> {
  const startedAtMs = performance.now()
  await act()
  return (sizeMib * 1000) / (performance.now() - startedAtMs)
}
