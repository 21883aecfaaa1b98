// @tier stress
/**
 * Sender and receiver with a very low limit of open files (`ulimit -n`): they are slower, and no file is lost or
 * refused.
 */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { World } from '../harness/world.ts'

function limitedTo(descriptors: number): { wrapper: readonly string[] } {
  return { wrapper: ['sh', '-c', `ulimit -n ${descriptors}; exec "$0" "$@"`] }
}

test.each([
  [64, 80],
  [40, 20],
])('with %s descriptors each, %s files are sent and received', async (descriptors, fileCount) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const files = [await world.file('large.bin', 12 * 1024 * 1024)]
  while (files.length < fileCount) files.push(await world.file(`${files.length}.bin`, files.length * 100))
  const bob = await world.receiver('bob', [], limitedTo(descriptors))
  const args = ['--to', 'bob', '--profile', 'alice', '--part-size', '1MiB']
  const { code, stderr } = await world.start(['send', ...files, ...args], limitedTo(descriptors)).ended
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(await world.received('bob')).toHaveLength(fileCount)
  const troubles = bob.json.filter(({ type }) => ['given-up', 'refused', 'waiting', 'disconnected'].includes(type))
  expect(troubles).toEqual([])
})

test('where not even one file can be sent, the error is one plain sentence', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('a.bin', 100)
  // Node itself needs some descriptors. The rest does not suffice for a file, its journal and a connection.
  const { code, stdout, stderr } = await world.start(
    ['send', path, '--to', 'bob', '--profile', 'alice', '--no-wait', '--answer-timeout', '3s'],
    limitedTo(25),
  ).ended
  expect(code).not.toBe(0)
  expect(`${stdout}${stderr}`).toMatch(/open no more files/)
  expect(stderr).not.toContain('bug')
})

test('a receiver that runs out of descriptors reports it once, and the files wait', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob')
  const limit = (descriptors: number) =>
    promisify(execFile)('prlimit', ['--pid', String(bob.child.pid), `--nofile=${descriptors}:`])
  const { length: used } = await readdir(`/proc/${bob.child.pid}/fd`)
  // Enough for its connections, but not for a file.
  await limit(used)
  const files = await Promise.all([1, 2, 3].map((number) => world.file(`${number}.bin`, 400_000)))
  const sending = world.send(files, 'bob')
  const waiting = await bob.object(({ type }) => type === 'waiting')
  expect(waiting.reason).toContain('open no more files')
  await sending.notification('stored')
  await limit(used + 100)
  expect((await sending.ended).code).toBe(0)
  expect(await world.received('bob')).toHaveLength(3)
  expect(bob.json.filter(({ type }) => ['waiting', 'given-up', 'refused'].includes(type))).toEqual([waiting])
})
