/**
 * `npm run test:all`: every test, in the runs of Vitest that `tiers.ts` lists. `--rest` leaves out what `npm test` runs. `--reports FOLDER`
 * writes a JSON report of each run into the folder.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildPage } from './page/built.ts'
import { type Project, runs } from './tiers.ts'

const vitest = join(import.meta.dirname, '../node_modules/vitest/vitest.mjs')
const { values } = parseArgs({ options: { rest: { type: 'boolean', default: false }, reports: { type: 'string' } } })

const running = new Set<ChildProcess>()
// A terminal sends Ctrl-C to all of its processes. This one waits for the others.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    for (const child of running) child.kill(signal)
  })
}

// Built first, because concurrent runs would build it at the same time.
await buildPage()
for (const atOnce of runs) {
  const codes = await Promise.all(atOnce.map(run))
  if (codes.some((code) => code !== 0)) process.exitCode = 1
}

/** @returns the exit code */
function run(projects: readonly Project[]): Promise<number> {
  const names = projects.filter((name) => !(values.rest && name === 'fast'))
  const args = ['run', ...names.flatMap((name) => ['--project', name])]
  if (values.reports !== undefined) {
    const path = join(values.reports, `${names.join('-')}.json`)
    args.push('--reporter=default', '--reporter=./test/reporter.ts', '--reporter=json', `--outputFile.json=${path}`)
  }
  // Without a terminal each run prints whole lines. Colours stay.
  const env = process.stdout.isTTY ? { ...process.env, FORCE_COLOR: '1' } : process.env
  const child = spawn(process.execPath, [vitest, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.stdout.pipe(process.stdout, { end: false })
  child.stderr.pipe(process.stderr, { end: false })
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code) => {
      running.delete(child)
      resolve(code ?? 1)
    })
  })
}
