/** curl or the portal is killed. No partial file is kept, every notification stays true, and no file arrives twice. */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { sha256Of, until } from '../harness/world.ts'
import { handWorld, MIB, outcome } from './curl.ts'

test('curl that is killed during the upload leaves nothing in the store, and the receiver deletes what it has', async () => {
  const { world, send } = await handWorld()
  const bob = await world.receiver('bob')
  const path = await world.file('report.pdf', 64 * MIB)
  const sending = send(path, 'bob/report.pdf', '--limit-rate', '8M')
  await bob.object((line) => line.type === 'fetching' && Number(line.heldBytes) >= 8 * MIB)
  await sending.stop('SIGKILL')
  expect(await bob.object((line) => line.type === 'withdrawn')).toMatchObject({ problem: { code: 'part-incomplete' } })
  await until(async () => (await world.stored()).length === 0, 'nothing of it lies in the store')
  expect(await world.received('bob')).toEqual([])
})

test('a pipe that breaks leaves nothing in the store', async () => {
  const { world, send } = await handWorld()
  const path = await world.file('report.pdf', 64 * MIB)
  const sending = send('-', 'bob/report.pdf', '--limit-rate', '8M')
  if (sending.child.stdin !== null) createReadStream(path).pipe(sending.child.stdin)
  await until(async () => (await world.stored()).length > 0, 'it is being taken in')
  await sending.stop('SIGKILL')
  await until(async () => (await world.stored()).length === 0, 'nothing of it lies in the store')
  expect((await (await world.client('alice')).transfers()).transfers).toEqual([])
})

test.each(['known', 'unknown'])(
  'a portal killed in the middle of a body of %s length holds nothing afterwards; the same request again delivers once',
  async (length) => {
    const { world, portal, send } = await handWorld()
    const path = await world.file('report.pdf', 40 * MIB)
    const key = ['-H', `Idempotency-Key: ${newTransferId()}`]
    const sendIt = (...more: string[]) => {
      const sending = send(length === 'known' ? path : '-', 'bob/report.pdf', ...key, ...more)
      if (length === 'unknown' && sending.child.stdin !== null) createReadStream(path).pipe(sending.child.stdin)
      return sending
    }
    const sending = sendIt('--limit-rate', '16M')
    await until(async () => (await world.stored()).length > 0, 'it is being taken in')
    await portal.stop('SIGKILL')
    expect((await sending.ended).code).not.toBe(0)
    expect((await world.stored()).length).toBeGreaterThan(0)

    await world.portal()
    await until(async () => (await world.stored()).length === 0, 'what is left of it is removed')
    await world.receiver('bob')
    expect((await outcome(sendIt())).lines.map((line) => line.split(' ', 1)[0])).toEqual(['stored', 'delivered'])
    const again = await outcome(sendIt())
    expect(again.lines.map((line) => line.split(' ', 1)[0])).toEqual(['stored', 'delivered'])
    expect(await world.received('bob')).toEqual(['report.pdf'])
    expect(await sha256Of(join(world.inbox('bob'), 'report.pdf'))).toBe(await sha256Of(path))
  },
)

test.each([
  ['small', 1000],
  ['large', 20 * MIB],
  ['piped', 20 * MIB],
])('a stored %s file survives a kill -9 of the portal, and is delivered once', async (kind, bytes) => {
  const { world, portal, send } = await handWorld()
  const path = await world.file('report.pdf', bytes)
  const sending = send(kind === 'piped' ? '-' : path, 'bob/report.pdf')
  if (kind === 'piped' && sending.child.stdin !== null) createReadStream(path).pipe(sending.child.stdin)
  await sending.line((line) => line.startsWith('stored '))
  await portal.stop('SIGKILL')
  await sending.ended

  await world.portal()
  const bob = await world.receiver('bob')
  await bob.object((line) => line.type === 'received')
  const client = await world.client('alice')
  await until(async () => (await client.events()).events.length === 2, 'it is told')
  expect((await client.events()).events.map(({ notification }) => notification)).toEqual(['stored', 'delivered'])
  expect(await world.received('bob')).toEqual(['report.pdf'])
  expect(await sha256Of(join(world.inbox('bob'), 'report.pdf'))).toBe(await sha256Of(path))
})

test('the file is delivered although curl is killed after it got `stored`', async () => {
  const { world, send } = await handWorld()
  const path = await world.file('report.pdf', 3 * MIB)
  const sending = send(path, 'bob/report.pdf')
  await sending.line((line) => line.startsWith('stored '))
  await sending.stop('SIGKILL')
  const bob = await world.receiver('bob')
  await bob.object((line) => line.type === 'received')
  expect(await world.received('bob')).toEqual(['report.pdf'])
})
