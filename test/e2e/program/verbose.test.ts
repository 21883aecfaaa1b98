/** `send --verbose` and `receive --verbose` print a line for each request, which can be pasted into a bug report. */
import { expect, test } from 'vitest'
import { World } from '../harness/world.ts'

/** Method, path, result, time, and the number of the try. */
const REQUEST = /^· (?:GET|PUT|POST|DELETE) \/v1\/[^ ?#]+ (?:\d{3}|no response: .+|given up), \d+ ms(?:, try \d+)?$/

const requestsIn = (stderr: string): string[] => stderr.split('\n').filter((line) => line.startsWith('· '))

test('send and receive print their requests, and no secret', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('salaries of the board.bin', 3_000_000)
  const receiver = world.start([
    ...['receive', '--into', world.inbox('bob'), '--create', '--once', '--profile', 'bob', '--verbose'],
  ])
  const sent = await world.send(path, 'bob', '--verbose', '--part-size', '1MiB').ended
  expect(sent.code, sent.stderr).toBe(0)
  const received = await receiver.ended
  expect(received.code, received.stderr).toBe(0)

  for (const { stderr } of [sent, received]) {
    expect(requestsIn(stderr).length).toBeGreaterThan(5)
    for (const line of requestsIn(stderr)) expect(line).toMatch(REQUEST)
    expect(stderr).not.toMatch(/gl[ti]_|glk_|Bearer|salaries|127\.0\.0\.1/)
  }
  expect(sent.stderr).toMatch(/^· PUT \/v1\/transfers\/[0-9a-f-]+\/parts\/3 20\d, \d+ ms$/m)
  expect(received.stderr).toMatch(/^· GET \/v1\/inbox\/[^ ]+\/parts\/3 200, \d+ ms$/m)
  expect(received.stderr).toMatch(/^· GET \/v1\/inbox 200, \d+ ms$/m)

  const quiet = await world.send(path, 'bob', '--no-wait').ended
  expect(requestsIn(quiet.stderr)).toEqual([])
})

test('a repeated request says why, and the number of the try', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  await portal.stop()
  const sending = world.send(await world.file('a.bin', 1000), 'bob', '--no-wait', '--verbose')
  await expect.poll(() => sending.stderr, { timeout: 60_000 }).toMatch(/no response: .*ECONNREFUSED.*, \d+ ms, try 2$/m)
  await world.portal()
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  expect(stderr).toMatch(/^· .* 20\d, \d+ ms, try \d+$/m)
  for (const line of requestsIn(stderr)) expect(line).toMatch(REQUEST)
})
