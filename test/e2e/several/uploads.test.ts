/** An upload that later requests continue, at another node than the one before. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Exchange, type ExchangeAnswer, exchange } from '../../portal/uploads/exchange.ts'
import { Cluster } from '../harness/cluster.ts'
import { sha256Of, until } from '../harness/world.ts'
import { uploadResuming } from '../one-request/resuming.ts'
import { expectEmptied, MIB } from './scene.ts'

const SIZE_BYTES = 30 * MIB

async function begin() {
  const cluster = await Cluster.create({ nodes: 2 })
  const { world } = cluster
  await world.join(['alice'], {}, { hasKeys: false })
  await world.join(['bob'])
  const path = await world.file('film', SIZE_BYTES)
  const content = await readFile(path)
  const token = await world.token('alice')
  const at = (index: number, headers: Record<string, string> = {}) => ({ url: cluster.node(index).url, token, headers })
  const created = await exchange(
    'POST',
    '/v1/to/bob/film',
    at(0, { 'upload-complete': '?0', 'upload-length': `${SIZE_BYTES}` }),
  )
  expect(created.status, created.text).toBe(201)
  const location = String(created.headers.location)
  const append = (index: number, offset: number): Exchange => {
    const headers = {
      'content-type': 'application/partial-upload',
      'content-length': `${SIZE_BYTES - offset}`,
      'upload-draft-interop-version': '9',
      'upload-offset': `${offset}`,
      'upload-complete': '?1',
    }
    return new Exchange('PATCH', location, at(index, headers))
  }
  const offsetAt = async (index: number): Promise<number> => {
    const { status, headers } = await exchange('HEAD', location, at(index))
    expect(status).toBe(204)
    return Number(headers['upload-offset'])
  }
  const expectDelivered = async (answer: ExchangeAnswer): Promise<void> => {
    expect(answer.status, answer.text).toBe(200)
    expect(answer.text).toMatch(/^stored .* film, 30\.0 MiB, waiting for bob\n+delivered bob\n+$/)
    expect(await world.received('bob')).toEqual(['film'])
    expect(await sha256Of(join(world.inbox('bob'), 'film'))).toBe(await sha256Of(path))
    await expectEmptied(cluster.bucket)
  }
  return { cluster, world, content, token, append, offsetAt, expectDelivered }
}

test('a request to another node ends the one that still runs, and continues behind what that has stored', async () => {
  const { world, content, append, offsetAt, expectDelivered } = await begin()
  await world.receiver('bob')
  let offset = 0
  for (const turn of [0, 1, 0]) {
    const running = append(turn, offset)
    await running.write(content.subarray(offset, offset + 9 * MIB))
    await running.told('upload-offset')
    const told = await offsetAt(1 - turn)
    expect(told).toBeGreaterThanOrEqual(offset + 8 * MIB - (offset % (8 * MIB)))
    await expect(running.answer).rejects.toThrow()
    offset = told
  }
  await expectDelivered(await append(1, offset).end(content.subarray(offset)))
})

test('a node that is paused in the middle of a request stores nothing that counts once another one continues', async () => {
  const { cluster, world, content, append, offsetAt, expectDelivered } = await begin()
  await world.receiver('bob')
  const running = append(0, 0)
  await running.write(content.subarray(0, 12 * MIB))
  await running.told('upload-offset')
  const paused = cluster.node(0)
  paused.running.signal('SIGSTOP')
  // These bytes wait in the buffers of the paused node.
  running.write(content.subarray(12 * MIB, 20 * MIB)).catch(() => {})
  const offset = await offsetAt(1)
  expect(offset).toBe(8 * MIB)
  const other = append(1, offset)
  await other.write(content.subarray(offset, 20 * MIB))
  await other.told('upload-offset')
  paused.running.signal('SIGCONT')
  await until(async () => (await fetch(`${paused.url}/readyz`)).ok, 'the paused node serves again')
  await expectDelivered(await other.end(content.subarray(20 * MIB)))
  running.cut()
})

test('nodes that are killed in turn take every offset that any of them told', async () => {
  const { cluster, world, content, token } = await begin()
  await world.receiver('bob')
  let turn = 0
  let killing: Promise<void> | null = null
  const kill = async (): Promise<void> => {
    const index = turn
    turn = 1 - turn
    await cluster.node(index).running.stop('SIGKILL')
    await cluster.restart(index)
    killing = null
  }
  let killAtBytes = 8 * MIB
  const { answer, offsets } = await uploadResuming({
    url: () => cluster.node(turn).url,
    token,
    content,
    to: 'bob/other',
    sliceMs: 10,
    onSlice: (_sentBytes, toldBytes) => {
      if (killing !== null || toldBytes < killAtBytes) return
      killAtBytes = toldBytes + 8 * MIB
      killing = kill()
    },
  })
  await killing
  expect(answer.status, answer.text).toBe(200)
  expect(answer.text).toMatch(/^stored .* other, 30\.0 MiB, waiting for bob\n+delivered bob\n+$/)
  expect(new Set(offsets).size, `${offsets}`).toBeGreaterThan(1)
})
