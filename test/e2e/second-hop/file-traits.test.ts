/** What belongs to a file besides its name and content: its media type, its time, the executable bit. */
// @tier fast
import { execFileSync } from 'node:child_process'
import { chmod, stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Running, World } from '../harness/world.ts'
import { curl } from '../one-request/curl.ts'

const MIB = 1024 * 1024
/** How exactly Node sets times of today. */
const NS_OFF_MAX = 250

interface Given {
  readonly name: string
  readonly sizeBytes: number
  readonly mode: number
  /** Seconds since 1970, as `touch` reads them. */
  readonly mtime: string
}

const files: readonly Given[] = [
  { name: 'notes.txt', sizeBytes: 100, mode: 0o640, mtime: '1732950000.123456789' },
  { name: 'tool.sh', sizeBytes: 100, mode: 0o711, mtime: '-86400.5' },
  { name: 'film.mp4', sizeBytes: 3 * MIB, mode: 0o644, mtime: '1000000000.5' },
  { name: 'runner', sizeBytes: 3 * MIB, mode: 0o755, mtime: '4000000000' },
]

async function make(world: World, { name, sizeBytes, mode, mtime }: Given): Promise<string> {
  const path = await world.file(name, sizeBytes)
  await chmod(path, mode)
  // Node cannot set the last digits.
  execFileSync('touch', ['-d', `@${mtime}`, path])
  return path
}

async function received(receiver: Running, name: string) {
  const { mediaType, modifiedAt, isExecutable, path } = await receiver.object(
    (event) => event.type === 'received' && event.name === name,
  )
  const { mtimeNs, mode } = await stat(String(path), { bigint: true })
  return { mediaType, modifiedAt, isExecutable, mtimeNs, mode: Number(mode & 0o777n) }
}

test.each([
  ['sealed', []],
  ['plain', ['--plain']],
])('files arrive with their time and executable bit, and their media type is told (%s)', async (_how, args) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const wrapper = ['sh', '-c', 'umask 027; exec "$@"', 'sh']
  const bob = await world.receiver('bob', [], { wrapper })
  const paths = await Promise.all(files.map((file) => make(world, file)))
  expect((await world.send(paths, 'bob', '--part-size', '1MiB', ...args).ended).code).toBe(0)
  const found = await Promise.all(files.map(({ name }) => received(bob, name)))
  expect(found.map(({ mtimeNs: _, ...rest }) => rest)).toEqual([
    { mediaType: 'text/plain', modifiedAt: '2024-11-30T07:00:00.123456789Z', isExecutable: false, mode: 0o640 },
    { mediaType: 'application/x-sh', modifiedAt: '1969-12-30T23:59:59.5Z', isExecutable: true, mode: 0o750 },
    { mediaType: 'video/mp4', modifiedAt: '2001-09-09T01:46:40.5Z', isExecutable: false, mode: 0o640 },
    { mediaType: 'application/octet-stream', modifiedAt: '2096-10-02T07:06:40Z', isExecutable: true, mode: 0o750 },
  ])
  for (const [index, path] of paths.entries()) {
    const { mtimeNs } = await stat(path, { bigint: true })
    expect(Math.abs(Number((found[index]?.mtimeNs ?? 0n) - mtimeNs))).toBeLessThan(NS_OFF_MAX)
  }
})

test('with --no-times the sender does not tell the time, and the receiver does not set it', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  const [bob, carol] = [await world.receiver('bob'), await world.receiver('carol', ['--no-times'])]
  const startMs = Date.now()
  const old = { name: 'tool.sh', sizeBytes: 100, mode: 0o755, mtime: '1000000000' }
  const path = await make(world, old)
  expect((await world.send(path, 'bob', '--no-times').ended).code).toBe(0)
  const large = await make(world, { ...old, name: 'large.sh', sizeBytes: 3 * MIB })
  expect((await world.send([path, large], 'carol').ended).code).toBe(0)
  const atBob = await received(bob, 'tool.sh')
  expect(atBob).toMatchObject({ modifiedAt: null, isExecutable: true })
  const atCarol = [await received(carol, 'tool.sh'), await received(carol, 'large.sh')]
  for (const one of atCarol) expect(one).toMatchObject({ modifiedAt: '2001-09-09T01:46:40Z', isExecutable: true })
  for (const { mtimeNs, mode } of [atBob, ...atCarol]) {
    expect(Number(mtimeNs / 1_000_000n)).toBeGreaterThan(startMs - 5_000)
    expect(mode & 0o100).toBe(0o100)
  }
})

test('what curl sends has the type that it says, and nothing else is made up', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'], {}, { hasKeys: false })
  await world.join(['bob'])
  const bob = await world.receiver('bob')
  const authorization = `Authorization: Bearer ${await world.token('alice')}`
  const types = { 'a.csv': 'Text/CSV; charset=utf-8; mtime=1; executable=1', 'b.csv': '' }
  for (const [name, type] of Object.entries(types)) {
    const url = `${world.portalUrl}/v1/to/bob/${name}`
    const headers = ['--header', authorization, '--header', `Content-Type:${type}`]
    await curl('--upload-file', await world.file(name, 100), ...headers, url).ended
  }
  expect(await received(bob, 'a.csv')).toMatchObject({ mediaType: 'text/csv', modifiedAt: null, isExecutable: false })
  expect(await received(bob, 'b.csv')).toMatchObject({ mediaType: null, modifiedAt: null, isExecutable: false })
})
