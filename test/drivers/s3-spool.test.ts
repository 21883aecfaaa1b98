/** The spool: parts are kept in bounded memory, and beyond that in unlinked files. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, rm } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { Spool } from '../../src/portal/store/s3/spool.ts'
import { testFolder } from '../suites/folder.ts'
import { randomBytes, randomInt } from '../suites/random.ts'

const KIB = 1024
const SLAB_BYTES = 256 * KIB

/** Writes in portions of random size, and overwrites each buffer afterwards, because its owner may do that. */
async function written(spool: Spool, bytes: Buffer) {
  const part = spool.open()
  for (let at = 0; at < bytes.length; ) {
    const portions = Array.from({ length: 1 + randomInt(3) }, () => {
      const portion = Buffer.from(bytes.subarray(at, at + 1 + randomInt(200 * KIB)))
      at += portion.length
      return portion
    })
    await part.write(portions)
    for (const portion of portions) portion.fill(0)
  }
  return part
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('parts are read back unchanged, repeatedly, in any order, from memory or file', async () => {
  const folder = await testFolder()
  const spool = new Spool({ bytesMax: 5 * SLAB_BYTES, folder })
  for (let round = 0; round < 3; round++) {
    const contents = [1, SLAB_BYTES - 1, SLAB_BYTES, SLAB_BYTES + 1, 3 * SLAB_BYTES, 5 * SLAB_BYTES + 7].map(
      randomBytes,
    )
    const parts = await Promise.all(contents.map((bytes) => written(spool, bytes)))
    for (const [index, part] of parts.entries()) {
      expect(part.lengthBytes).toBe(contents[index]?.length)
      for (const again of [await buffer(part.content()), await buffer(part.content())]) {
        expect(hashOf(again)).toBe(hashOf(contents[index] ?? Buffer.alloc(0)))
      }
    }
    // The files are unlinked, so that they end with the process.
    expect(await readdir(folder)).toEqual([])
    for (const part of parts) await part.discard()
    for (const part of parts) await part.discard()
  }
})

test('memory is freed, and never exceeds its bound', async () => {
  const spool = new Spool({ bytesMax: 4 * SLAB_BYTES, folder: await testFolder() })
  const taken = Array.from({ length: 6 }, () => spool.take())
  expect(taken.filter((slab) => slab !== null)).toHaveLength(4)
  for (const slab of taken) if (slab !== null) spool.give(slab)
  const part = await written(spool, randomBytes(3 * SLAB_BYTES))
  expect(Array.from({ length: 3 }, () => spool.take()).filter((slab) => slab !== null)).toHaveLength(1)
  await part.discard()
  expect(Array.from({ length: 6 }, () => spool.take()).filter((slab) => slab !== null)).toHaveLength(3)
})

test('a machine without space for a part does not count as broken storage', async () => {
  const folder = await testFolder()
  const spool = new Spool({ bytesMax: 0, folder })
  await rm(folder, { recursive: true })
  await expect(spool.open().write([Buffer.from('a')])).rejects.toMatchObject({ code: 'unavailable' })
})

test('content that was partly read can be read again from its beginning', async () => {
  const spool = new Spool({ bytesMax: SLAB_BYTES, folder: await testFolder() })
  const bytes = randomBytes(3 * SLAB_BYTES)
  const part = await written(spool, bytes)
  for (let times = 1; times <= 5; times++) {
    const content = part.content()
    const closed = once(content, 'close')
    // While the stream flows, a read of the file is running.
    content.once('data', () => setImmediate(() => content.destroy()))
    await closed
  }
  expect(hashOf(await buffer(part.content()))).toBe(hashOf(bytes))
  await part.discard()
})
