/** Streams of the system itself: long files in /proc, FIFOs, and the pipes that a shell names. */
import { mkdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { unsizedBytesMax } from '../../../src/sender/node-unsized.ts'
import { type Ended, sha256Of, World } from '../harness/world.ts'
import { MIB } from './requests.ts'

const NAME_BYTES = 240
/** 16,384 mounts, the list of which is longer than what the sender holds in memory. */
const DOUBLINGS = 14

async function worldOf(): Promise<World> {
  const world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  return world
}

test('a file in /proc that is longer than 32 MiB is sent as a stream, unchanged', async () => {
  await using world = await worldOf()
  // Each step mounts everything once more, for this process alone.
  const long = 'm'.repeat(NAME_BYTES)
  const base = world.path(long, long)
  await mkdir(base, { recursive: true })
  const script = `mount -t tmpfs -o size=1m tmpfs "$0"
for step in $(seq 10 ${9 + DOUBLINGS}); do mkdir "$0/${long}$step"; mount --rbind "$0" "$0/${long}$step"; done
cat /proc/self/mountinfo > copy
exec "$@"`
  const wrapper = ['unshare', '-r', '-m', 'sh', '-euc', script, base]
  const args = ['send', '/proc/self/mountinfo', '--to', 'bob', '--profile', 'alice', '--json']
  const sending = world.start(args, { wrapper })
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  const sized = sending.json.find((one) => one.phase === 'sized')
  expect(Number(sized?.sizeBytes)).toBeGreaterThan(unsizedBytesMax)
  expect(await world.received('bob')).toEqual(['mountinfo'])
  // Without the mounts of others, which can vanish meanwhile.
  const own = async (path: string) => (await readFile(path, 'utf8')).split('\n').filter((line) => line.includes(long))
  const sent = await own(world.path('copy'))
  expect(sent).toHaveLength(2 ** DOUBLINGS)
  expect((await own(world.path('inbox', 'bob', 'mountinfo'))).join('\n') === sent.join('\n')).toBe(true)
})

test('process substitution and a FIFO given by its path send more than 32 MiB, with the default part size', async () => {
  await using world = await worldOf()
  const path = await world.file('content', 40 * MIB + 11)
  const shell = (script: string): Promise<Ended> =>
    world.start([], { wrapper: ['bash', '-euc', `content=${path} to="--to bob --profile alice"; ${script}`, 'sh'] })
      .ended
  const ended = await Promise.all([
    shell('"$@" send <(cat "$content") --name substituted $to'),
    shell('mkfifo fifo; cat "$content" > fifo & "$@" send "$PWD/fifo" $to'),
  ])
  for (const { code, stdout, stderr } of ended) expect(code, stdout + stderr).toBe(0)
  expect(await world.received('bob')).toEqual(['fifo', 'substituted'])
  for (const name of ['fifo', 'substituted']) {
    expect(await sha256Of(world.path('inbox', 'bob', name)), name).toBe(await sha256Of(path))
  }
})

test('standard input that is a file is sent from where it stands', async () => {
  await using world = await worldOf()
  const path = await world.file('content', 40 * MIB + 11)
  const script = `{ dd bs=5 count=1 status=none > begin; "$@" send - --name rest --to bob --profile alice; } < ${path}`
  const { code, stderr } = await world.start([], { wrapper: ['bash', '-euc', script, 'sh'] }).ended
  expect(code, stderr).toBe(0)
  const both = Buffer.concat([await readFile(world.path('begin')), await readFile(world.path('inbox', 'bob', 'rest'))])
  expect(both.equals(await readFile(path))).toBe(true)
})

test('a program that still writes does not keep a sender alive that was refused', async () => {
  await using world = await worldOf()
  const sending = world.sendInput('nobody')
  sending.input.write('something')
  expect(await sending.ended).toMatchObject({ code: 4 })
})
