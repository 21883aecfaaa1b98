/** Which parts of an unfinished file a restarted receiver accepts. */
import { appendFile, link, mkdir, open, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { receivePart } from '../../src/parts/node-part-receiver.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { noTraits } from '../../src/receiver/incoming-file.ts'
import {
  openPartialFile,
  type PartialFile,
  type TransferPaths,
  transferPaths,
} from '../../src/receiver/node-partial-file.ts'
import { Publisher } from '../../src/receiver/node-publisher.ts'
import { testFolder } from '../suites/folder.ts'
import { type Content, contentOf, newContent } from './folders.ts'

const idle = new AbortController().signal

async function paths(): Promise<TransferPaths> {
  const folder = await testFolder()
  return { partial: join(folder, 'x.partial'), parts: join(folder, 'x.parts'), commit: join(folder, 'x.commit') }
}

async function take(file: PartialFile, { parts }: Content, partNumber: number): Promise<void> {
  const part = parts[partNumber - 1]
  if (part === undefined) throw new Error('no such part')
  const { bytes, digest } = part
  const expected = { partNumber, lengthBytes: bytes.length, digestAlgorithm: 'sha-256', digest } as const
  await receivePart(
    Readable.from([bytes.subarray(0, 3), bytes.subarray(3)]),
    expected,
    async () => file.sink(partNumber),
    {
      idleMs: 1000,
    },
  )
}

/** A transfer of five parts of which 5, 1 and 2 have arrived. */
async function begun() {
  const where = await paths()
  const content = newContent(4_500, 1_000)
  const file = await openPartialFile(where, content.layout, idle)
  for (const partNumber of [5, 1, 2]) await take(file, content, partNumber)
  expect(file.heldBytes).toBe(2_500)
  await file.close()
  return { where, content }
}

test('parts may arrive in any order, and make up the file', async () => {
  const { where, content } = await begun()
  const file = await openPartialFile(where, content.layout, idle)
  expect([...file.held.keys()].sort()).toEqual([1, 2, 5])
  await take(file, content, 4)
  await take(file, content, 3)
  await file.finish()
  expect((await readFile(where.partial)).equals(content.bytes)).toBe(true)
})

test('runs of zeros take no room, and what was written before is overwritten by them', async () => {
  const where = await paths()
  const partSizeBytes = 1024 * 1024
  const content = contentOf(Buffer.alloc(5 * partSizeBytes - 7), partSizeBytes)
  const file = await openPartialFile(where, content.layout, idle)
  // Something of part 2 has come, and was not right.
  const sink = file.sink(2)
  await sink.write([Buffer.alloc(partSizeBytes, 1)])
  await sink.discard()
  for (const partNumber of [4, 2, 1, 3]) await take(file, content, partNumber)
  await file.close()
  // Found again, and known as whole.
  const again = await openPartialFile(where, content.layout, idle)
  expect([...again.held.keys()].sort()).toEqual([1, 2, 3, 4])
  await take(again, content, 5)
  await again.finish()
  expect((await readFile(where.partial)).equals(content.bytes)).toBe(true)
  const { size, blocks } = await stat(where.partial)
  expect(size).toBe(5 * partSizeBytes - 7)
  // Part 2 and 5 were written, and a block at the end of each other part.
  expect(blocks * 512).toBeLessThan(2.5 * partSizeBytes)
})

test.each([
  ['by its link', true],
  ['by renaming', false],
])('a file has its time and its executable bit when it gets its name (%s)', async (_way, hasHonestLinks) => {
  const folder = await testFolder()
  await mkdir(join(folder, '.golooader'))
  const transferId = newTransferId()
  const where = transferPaths(folder, transferId)
  const content = newContent(4_500, 1_000)
  const mtimeNs = 1_732_950_000_123_456_789n
  const file = await openPartialFile(where, content.layout, idle, { ...noTraits, mtimeNs, isExecutable: true })
  for (const partNumber of [1, 2, 3, 4, 5]) await take(file, content, partNumber)
  const claims = { manifestDigest: content.manifestDigest, receipt: null }
  const publisher = new Publisher(folder, { hasHonestLinks })
  await publisher.finish(await publisher.publish(transferId, 'tool', claims, file.finish()))
  const stats = await stat(join(folder, 'tool'), { bigint: true })
  expect(Math.abs(Number(stats.mtimeNs - mtimeNs))).toBeLessThan(250)
  expect(stats.mode & 0o100n).toBe(0o100n)
})

test('a part that was damaged on the disk does not count; the good ones do', async () => {
  const { where, content } = await begun()
  const handle = await open(where.partial, 'r+')
  await handle.write(Buffer.from([(content.bytes[1_500] ?? 0) ^ 1]), 0, 1, 1_500)
  await handle.close()
  const file = await openPartialFile(where, content.layout, idle)
  expect([...file.held.keys()].sort()).toEqual([1, 5])
  expect(file.heldBytes).toBe(1_500)
  await file.close()
})

test('truncated content does not count', async () => {
  const { where, content } = await begun()
  await truncate(where.partial, 4_200)
  const file = await openPartialFile(where, content.layout, idle)
  expect([...file.held.keys()].sort()).toEqual([1, 2])
  await file.close()
})

test('a line that a crash cut off costs its part, and no later one', async () => {
  const { where, content } = await begun()
  await appendFile(where.parts, '3 abcdef')
  const file = await openPartialFile(where, content.layout, idle)
  await take(file, content, 4)
  await file.close()
  const again = await openPartialFile(where, content.layout, idle)
  expect([...again.held.keys()].sort()).toEqual([1, 2, 4, 5])
  await again.close()
})

test.each([
  ['another part size', { partSizeBytes: 500 }],
  ['another size', { sizeBytes: 4_600 }],
])('parts of %s are not used', async (_, difference) => {
  const { where, content } = await begun()
  const file = await openPartialFile(where, { ...content.layout, ...difference }, idle)
  expect(file.held.size).toBe(0)
  await file.close()
})

test('a file with a second name is not written to: it may be published already', async () => {
  const { where, content } = await begun()
  await link(where.partial, `${where.partial}.published`)
  const before = await readFile(`${where.partial}.published`)
  const file = await openPartialFile(where, content.layout, idle)
  expect(file.held.size).toBe(0)
  await take(file, content, 3)
  await file.close()
  expect((await readFile(`${where.partial}.published`)).equals(before)).toBe(true)
})

test('starting over discards everything', async () => {
  const { where, content } = await begun()
  const file = await openPartialFile(where, content.layout, idle)
  await file.startOver()
  expect([file.held.size, file.heldBytes]).toEqual([0, 0])
  await file.close()
  const again = await openPartialFile(where, content.layout, idle)
  expect(again.held.size).toBe(0)
  await again.close()
})

test('an empty file is a file', async () => {
  const where = await paths()
  const file = await openPartialFile(where, newContent(0, 1_000).layout, idle)
  await file.finish()
  expect((await stat(where.partial)).size).toBe(0)
})

test('a list without content, and content without a list, count as nothing', async () => {
  const where = await paths()
  const { layout } = newContent(10, 10)
  await writeFile(where.parts, `golooader-parts 1 10 10 sha-256\n1 ${'ab'.repeat(32)}\n`)
  await (await openPartialFile(where, layout, idle)).close()
  await writeFile(where.partial, 'something else')
  const file = await openPartialFile(where, layout, idle)
  expect(file.held.size).toBe(0)
  await file.close()
})
