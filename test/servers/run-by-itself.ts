/**
 * A process of a test run, for the tests of what runs do: `begin` is its own run, `join` belongs to that of its
 * environment. Prints a line of JSON when it has its database. Ends, and ends its run, when its input does.
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
