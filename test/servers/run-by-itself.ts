/**
 * A process of a test run, for the tests of runs. `begin` starts a run of its own, `join` joins the run of its
 * environment.
 * Prints a line of JSON when it has its database. When its input ends, it ends, and its own run with it.
 */
import { testDatabase } from './postgres.ts'
import { beginRun, endRun, runFolder } from './run.ts'

const isOwner = process.argv[2] === 'begin'
if (isOwner) beginRun()
process.stdin.resume().once('end', () => {
  if (isOwner) endRun(runFolder())
  process.exit()
})
console.log(JSON.stringify({ folder: runFolder(), ...(await testDatabase()) }))
