/** Many small files travel in few requests. After any failed request, each file is delivered once. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Limits } from '../../../src/protocol/index.ts'
import type { FaultyNetwork, Seen } from '../harness/proxy.ts'
import type { World } from '../harness/world.ts'
import { aliceBehindNetwork } from './scene.ts'

const FILES = 40
const PATIENT = ['--answer-timeout', '40s'] as const
const isBatch = ({ method, path }: Seen): boolean => method === 'POST' && path.endsWith('/transfers/batch')
const isWhole = ({ method, path }: Seen): boolean => method === 'PUT' && path.endsWith('/whole')

interface Scene {
  readonly world: World
  readonly network: FaultyNetwork
  readonly paths: readonly string[]
}

/** A portal, alice behind a faulty network, bob, and small files that alice sends. */
async function scene(): Promise<Scene> {
  const { world, network } = await aliceBehindNetwork()
  const paths: string[] = []
  for (let index = 0; index < FILES; index++) paths.push(await world.file(`file-${index}.bin`, 100 + index))
  return { world, network, paths }
}

/** Sends all files, and checks that each arrived once and has its own two notifications. */
async function expectEachOnce({ world, paths }: Scene, ...args: string[]): Promise<void> {
  const sending = world.send(paths, 'bob', ...PATIENT, ...args)
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  const alice = await world.client('alice')
  const transfers = new Set((await alice.transfers({ limit: 100 })).transfers.map(({ transferId }) => transferId))
  expect(transfers.size).toBe(FILES)
  const { events } = await alice.events({ after: '0', limit: 500 })
  for (const transferId of transfers) {
    const own = events.filter((one) => one.transferId === transferId)
    expect(own.map(({ notification }) => notification)).toEqual(['stored', 'delivered'])
  }
  expect((await world.received('bob')).sort()).toEqual(paths.map((path) => path.split('/').at(-1) ?? '').sort())
  for (const path of paths) {
    const received = await readFile(join(world.inbox('bob'), path.split('/').at(-1) ?? ''))
    expect(received.equals(await readFile(path))).toBe(true)
  }
}

test.each([
  ['sealed', []],
  ['plain', ['--plain']],
])('files that are sent together, %s, take few requests', async (_, args) => {
  const all = await scene()
  await all.world.receiver('bob')
  await expectEachOnce(all, ...args)
  expect(all.network.seen.filter((seen) => isBatch(seen) || isWhole(seen)).length).toBeLessThan(FILES / 2)
  expect(all.network.seen.filter(isBatch).length).toBeGreaterThan(0)
})

test.each([
  ['is lost', { loseAnswer: true }],
  ['is damaged', { corruptAnswer: true }],
])('the answer to a batch is %s: no file is sent twice, and each arrives once', async (_, fault) => {
  const all = await scene()
  await all.world.receiver('bob')
  all.network.rule = (seen) => {
    if (!isBatch(seen)) return null
    all.network.rule = () => null
    return fault
  }
  await expectEachOnce(all)
})

test('one batch is cut off and another is damaged: each file is delivered once', async () => {
  const all = await scene()
  await all.world.receiver('bob')
  let faults = 0
  all.network.rule = (seen) => {
    if (!isBatch(seen) || ++faults > 2) return null
    return faults === 1 ? { cutRequestAfterBytes: 1000 } : { corruptRequest: true }
  }
  await expectEachOnce(all)
})

test('a proxy refuses the body of a batch: each file is sent in a request of its own', async () => {
  const all = await scene()
  await all.world.receiver('bob')
  all.network.rule = (seen) => (isBatch(seen) ? { answer: { status: 413, body: '' } } : null)
  await expectEachOnce(all)
  expect(all.network.seen.filter(isBatch).length).toBeLessThanOrEqual(2)
  expect(all.network.seen.filter(isWhole)).toHaveLength(FILES)
})

test('a portal without support for batches is sent none', async () => {
  const all = await scene()
  await all.world.receiver('bob')
  const asked = await fetch(`${all.world.portalUrl}/v1/limits`)
  const { batchItemsMax, batchBytesMax, ...limits } = (await asked.json()) as Limits
  expect([batchItemsMax, batchBytesMax]).toEqual([64, 1024 * 1024])
  const answer = { status: 200, body: JSON.stringify(limits) }
  all.network.rule = ({ path }) => (path.endsWith('/v1/limits') ? { answer } : null)
  await expectEachOnce(all)
  expect(all.network.seen.filter(isBatch)).toEqual([])
  expect(all.network.seen.filter(isWhole)).toHaveLength(FILES)
})
