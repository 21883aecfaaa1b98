/** Each benchmark of this repository still runs. The test runs each of them at its smallest size. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { rows as tableRows } from '../../bench/table-rows.ts'
import { root } from '../structure/sources.ts'

/** Each benchmark starts several processes, and the machine may be busy. */
const TIMEOUT_MS = 120_000

/** @returns the output of a benchmark */
async function bench(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'bench', `${name}.ts`), ...args])
  return stdout
}

test.concurrent(
  'many small files are delivered, plain and sealed, and shown in a table',
  async () => {
    const told = await bench('small', '--count', '2', '--size', '1', '--rounds', '1', '--only', 'golooader, sealed')
    expect(told).toMatch(/^\| golooader, plain \| [\d.]+ /m)
    expect(told).toMatch(/^\| golooader, sealed \| [\d.]+ /m)
    expect(told).toMatch(/^\| golooader, sealed, 16 senders \| [\d.]+ /m)
  },
  TIMEOUT_MS,
)

test.concurrent(
  'a folder is delivered, plain and sealed, and shown in a table',
  async () => {
    const told = await bench('tree', '--count', '2', '--size', '1', '--rounds', '1', '--only', 'golooader')
    expect(told).toMatch(/^\| golooader, plain \| [\d.]+ /m)
    expect(told).toMatch(/^\| golooader, sealed \| [\d.]+ /m)
  },
  TIMEOUT_MS,
)

test.concurrent(
  'the table of targets has a row for each, with what was measured',
  async () => {
    const least = [
      '--mib',
      '1',
      '--rounds',
      '1',
      '--files',
      '10',
      '--seconds',
      '0.2',
      '--gib',
      '0.01',
      '--receivers',
      '10',
    ]
    const told = await bench('table', '--only', 'starts,small,idle,memory', ...least)
    expect(told).toMatch(/^\| `--version`.* \| [\d.]+ \|$/m)
    expect(told).toMatch(/^\| 5,000 × 4 KiB in one `send`, plain.* \| [\d.]+ \|$/m)
    expect(told).toMatch(/^\| one file of 10 GiB.* \| \d+ \/ \d+ \/ \d+ \|$/m)
    expect(told).toMatch(/^\| 10,000 idle receivers.* \| \d+ \|$/m)
    const rows = readFileSync(join(root, 'bench/RESULTS.md'), 'utf8').split('\n')
    for (const { what, target, before } of tableRows) {
      expect(
        rows.some((row) => row.startsWith(`| ${what} | ${target} | ${before} |`)),
        what,
      ).toBe(true)
    }
  },
  // It starts dozens of commands.
  4 * TIMEOUT_MS,
)

test.concurrent(
  'the latency of each way to send is printed',
  async () => {
    const told = await bench('latency', '--seconds', '0.2', '--warm-up', '0', '--rounds', '1')
    for (const way of ['golooader, plain', 'golooader, sealed', 'bare requests, plain']) {
      expect(told).toMatch(new RegExp(`^\\| ${way} \\| [\\d.]+ `, 'm'))
    }
  },
  TIMEOUT_MS,
)

test.concurrent(
  'each of many receivers gets its own offers',
  async () => {
    const told = await bench('many', '--receivers', '20', '--idle', '0.1', '--offers', '4')
    expect(told).toContain('| offers that reached another, or came twice | 0 |')
  },
  TIMEOUT_MS,
)

test.concurrent(
  'the costs of a backlog are printed and plotted',
  async () => {
    const plots = await mkdtemp(join(tmpdir(), 'golooader-test-'))
    const told = await bench('backlog', '--sizes', '2,4', '--rounds', '1', '--samples', '2', '--plots', plots)
    expect(told).toMatch(/^\| 4 \| [\d.]+ /m)
    const files = (await readdir(plots)).sort()
    await rm(plots, { recursive: true })
    expect(files).toEqual(['elsewhere', 'own'].flatMap((kind) => [`backlog-${kind}.json`, `backlog-${kind}.svg`]))
  },
  TIMEOUT_MS,
)

test.concurrent(
  'the costs of several portals are printed beside those of the default one, with the load on database and store',
  async () => {
    const redirected = '2 portals, downloads redirected'
    const least = ['--nodes', '2', '--rounds', '1', '--large', '9', '--small', '4', '--only', redirected]
    const told = await bench('nodes', ...least)
    for (const kind of ['SQLite and a folder', redirected]) {
      // One table has the cost for each kind of file, another the requests.
      expect(told.match(new RegExp(`^\\| ${kind} \\| [\\d.]+ `, 'gm'))).toHaveLength(4)
    }
  },
  // This benchmark starts its own servers.
  2 * TIMEOUT_MS,
)

test.concurrent(
  'the ingest rate of the ledger is printed for SQLite and PostgreSQL, with one sender and many',
  async () => {
    const told = await bench('ledger', '--seconds', '0.2', '--rounds', '1', '--remembered', '40')
    for (const ledger of ['SQLite', 'PostgreSQL, 1 portal', 'PostgreSQL, 3 portals']) {
      expect(told.match(new RegExp(`^\\| ${ledger} \\| \\d+ \\| \\d+ \\| [\\d.]+ `, 'gm'))).toHaveLength(3)
    }
    expect(told).toMatch(/^Remembered of a delivered file: [\d.]+ KiB$/m)
  },
  TIMEOUT_MS,
)
