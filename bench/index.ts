/**
 * `npm run bench -- NAME [options]`: runs one of the measurements of this folder; `all` runs all of them; without a name, the table of
 * targets.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const names = [
  'big',
  'sealed',
  'small',
  'tree',
  'latency',
  'long',
  'many',
  'backlog',
  'growth',
  'nodes',
  'ledger',
  'page',
] as const
/** Judges, and is not part of `all`. */
const gate = 'gate'
/** Has the figures with a target, each measured in a short form. */
const table = 'table'
const [name = table, ...args] = process.argv.slice(2)
const chosen = name === 'all' ? names : [...names, gate, table].filter((one) => one === name)
if (chosen.length === 0) {
  process.stderr.write(`there is no measurement '${name}'. There is: ${['all', table, ...names, gate].join(', ')}\n`)
  process.exitCode = 2
}
if (chosen.length > 0 && !existsSync(new URL('./node_modules', import.meta.url))) {
  // What others make, to be measured against. Not part of the project itself.
  spawnSync('npm', ['ci'], { cwd: fileURLToPath(new URL('.', import.meta.url)), stdio: 'inherit' })
}
for (const one of chosen) {
  const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(`./${one}.ts`, import.meta.url)), ...args], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exitCode = 1
}
