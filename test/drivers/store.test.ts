/** The stores in a folder and in memory under the suite of the contract, and tests of the folder alone. */
import { mkdir, mkdtemp, readdir, rename, rm, rmdir, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fsStore } from '../../src/portal/store/fs.ts'
import { recentParts } from '../../src/portal/store/recent.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { testFolder } from '../suites/folder.ts'
import { memoryStore } from '../suites/memory-store.ts'
import { first, put, somePart, testStore } from '../suites/store.ts'

testStore('memory', async () => ({ store: memoryStore(), cleanUp: async () => {} }))

testStore('fs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'golooader-store-'))
  return { store: await fsStore(folder), cleanUp: () => rm(folder, { recursive: true }) }
})

for (const bytesMax of [0, 150_000, 10_000_000]) {
  testStore(`${bytesMax} bytes of memory before fs`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'golooader-store-'))
    const store = recentParts(await fsStore(folder), { bytesMax, keepMs: 1000 })
    return { store, cleanUp: () => rm(folder, { recursive: true }) }
  })
}

/** Every file below a folder, by name. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

describe('memory store with a capacity', () => {
  test('a part that does not fit is refused with storage-full, and its space is free again', async () => {
    const store = memoryStore({ capacityBytes: 1000 })
    const transferId = newTransferId()
    await put(store, somePart(transferId, 1, 600))
    const tooLarge = somePart(transferId, 2, 401)
    const sink = await store.openPart(tooLarge.key)
    await sink.write([tooLarge.bytes.subarray(0, 300)])
    await expect(sink.write([tooLarge.bytes.subarray(300)])).rejects.toMatchObject({ code: 'storage-full' })
    await sink.discard()
    await put(store, somePart(transferId, 2, 400))
    expect(await store.freeBytes()).toBe(0)
    await put(store, somePart(newTransferId(), 1, 1)).catch(() => {})
    await store.remove(transferId)
    expect(await store.freeBytes()).toBe(1000)
  })

  test('putting a part again does not count it twice', async () => {
    const store = memoryStore({ capacityBytes: 1000 })
    const part = somePart(newTransferId(), 1, 300)
    for (let i = 0; i < 5; i++) await put(store, part)
    expect(await store.freeBytes()).toBe(700)
  })
})

describe('fs store', () => {
  test('reopened, it holds what was committed', async () => {
    const folder = await testFolder()
    const transferId = newTransferId()
    const parts = [1, 2, 10_000].map((partNumber) => somePart(transferId, partNumber))
    const before = await fsStore(folder)
    for (const part of parts) await put(before, part)
    const after = await fsStore(folder)
    expect(await after.list(first(transferId))).toEqual(await before.list(first(transferId)))
    expect((await after.list(first(transferId))).size).toBe(3)
  })

  test('a part that a crash cut off does not count, and is removed with its transfer', async () => {
    const folder = await testFolder()
    const transferId = newTransferId()
    const { key, bytes } = somePart(transferId, 1)
    const crashed = await fsStore(folder)
    const sink = await crashed.openPart(key)
    await sink.write([bytes])
    onTestFinished(() => sink.discard())

    const store = await fsStore(folder)
    expect([...(await store.list(first(transferId)))]).toEqual([])
    expect(await store.read(key)).toBeNull()
    const ids: string[] = []
    for await (const held of store.held()) ids.push(held.transferId)
    expect(ids, 'the sweeper finds it').toEqual([transferId])
    await store.remove(transferId)
    expect(await filesIn(folder)).toEqual([])
  })

  test('a part that has vanished is no longer found after a failed read', async () => {
    const folder = await testFolder()
    const store = await fsStore(folder)
    const { key, bytes } = somePart(newTransferId(), 1)
    await put(store, { key, bytes })
    await rm(join(folder, key.transferId.slice(-2), key.transferId), { recursive: true })
    expect(await store.read(key)).toBeNull()
    expect(await store.find(key)).toBeNull()
    await put(store, { key, bytes })
    expect(await store.find(key)).toBe(key.digest)
  })

  test('discarding leaves no file behind', async () => {
    const folder = await testFolder()
    const store = await fsStore(folder)
    const { key, bytes } = somePart(newTransferId(), 1)
    const sink = await store.openPart(key)
    await sink.write([bytes])
    expect(await filesIn(folder)).toHaveLength(1)
    await sink.discard()
    expect(await filesIn(folder)).toEqual([])
  })

  test('what is committed for a transfer that was removed meanwhile leaves neither a file nor a folder', async () => {
    const folder = await testFolder()
    const store = await fsStore(folder)
    const part = somePart(newTransferId(), 1)
    const sink = await store.openPart(part.key)
    await sink.write([part.bytes])
    await store.remove(part.key.transferId)
    const tail = { ...part.key, generation: 'tail1' }
    await expect(sink.commitAs(tail, part.key.digest)).rejects.toMatchObject({ code: 'part-incomplete' })
    await expect(store.movePart(part.key, 'tail1')).rejects.toMatchObject({ code: 'part-incomplete' })
    expect(await readdir(join(folder, part.key.transferId.slice(-2)))).toEqual([])
  })

  test('after a restart, a held part is still not replaced', async () => {
    const folder = await testFolder()
    const transferId = newTransferId()
    const [held, late] = [somePart(transferId, 1), somePart(transferId, 1)]
    await put(await fsStore(folder), held)
    const store = await fsStore(folder)
    const sink = await store.openPart(late.key)
    await sink.write([late.bytes])
    await expect(sink.commit(late.key.digest)).rejects.toMatchObject({ code: 'part-conflict' })
    await sink.discard()
    expect(await filesIn(folder)).toEqual([`1.${held.key.digest}`])
  })

  test('foreign files are neither listed nor an error', async () => {
    const folder = await testFolder()
    const store = await fsStore(folder)
    const part = somePart(newTransferId(), 1)
    await put(store, part)
    const { transferId } = part.key
    await writeFile(join(folder, 'README'), '')
    await writeFile(join(folder, transferId.slice(-2), 'note'), '')
    await writeFile(join(folder, transferId.slice(-2), transferId, 'note'), '')
    const reopened = await fsStore(folder)
    expect([...(await reopened.list(first(transferId)))]).toEqual([[1, part.key.digest]])
    const ids: string[] = []
    for await (const held of reopened.held()) ids.push(held.transferId)
    expect(ids).toEqual([transferId])
  })

  test('a file that was truncated on disk reports its true length', async () => {
    const folder = await testFolder()
    const store = await fsStore(folder)
    const part = somePart(newTransferId(), 1, 1000)
    await put(store, part)
    const { transferId, digest } = part.key
    await truncate(join(folder, transferId.slice(-2), transferId, `1.${digest}`), 500)
    const content = await store.read(part.key)
    content?.stream.destroy()
    expect(content?.lengthBytes).toBe(500)
  })

  test.each([
    ['was moved', null],
    ['is not mounted, so that an empty one is in its place', 'empty'],
  ])(
    'while its folder %s no part counts as missing, and nothing is created in its place',
    async (_what, inItsPlace) => {
      const [folder, moved] = [join(await testFolder(), 'store'), join(await testFolder(), 'moved')]
      const store = await fsStore(folder)
      const [held, other] = [somePart(newTransferId(), 1), somePart(newTransferId(), 1)]
      await put(store, held)
      const { transferId } = held.key
      // A new store has no cache, as after a restart.
      const restarted = await fsStore(folder)
      await rename(folder, moved)
      if (inItsPlace !== null) await mkdir(folder)
      const calls: (() => Promise<unknown>)[] = [
        () => store.openPart(other.key),
        () => store.read(held.key),
        () => store.list(first(transferId)),
        () => store.seal(first(transferId)),
        () => store.removePart(held.key),
        () => store.removeParts(first(transferId)),
        () => store.remove(transferId),
        () => store.freeBytes(),
        () => restarted.find(held.key),
        () => restarted.findBeforePut(held.key),
      ]
      for (const call of calls) {
        await expect(call(), String(call)).rejects.toMatchObject({
          code: 'unavailable',
          cause: { message: expect.stringContaining(folder) },
        })
      }
      // `rmdir` succeeds only for an existing, empty folder, so nothing was created in it.
      if (inItsPlace !== null) await rmdir(folder)
      await expect(rmdir(folder)).rejects.toMatchObject({ code: 'ENOENT' })
      await rename(moved, folder)
      await put(store, other)
      for (const { key, bytes } of [held, other]) {
        const content = await store.read(key)
        expect(content === null ? null : bytes.equals(await buffer(content.stream))).toBe(true)
        expect(await restarted.find(key)).toBe(key.digest)
      }
    },
  )
})

describe('what has just been stored', () => {
  /** A store whose files the test can remove behind its back. */
  async function stored(keepMs: number) {
    const behind = memoryStore()
    const store = recentParts(behind, { bytesMax: 1_000_000, keepMs })
    const part = somePart(newTransferId(), 1, 200_000)
    const { key } = part
    const sink = await store.openPart(key)
    await sink.write([Buffer.from(part.bytes)])
    await sink.commit(key.digest)
    return { behind, store, part }
  }

  test('is read from memory once, and from the store afterwards', async () => {
    const { behind, store, part } = await stored(10_000)
    await behind.removePart(part.key)
    const content = await store.read(part.key)
    expect(content === null ? null : part.bytes.equals(await buffer(content.stream))).toBe(true)
    expect(await store.read(part.key)).toBe(null)
  })

  test('is forgotten with its transfer', async () => {
    const { store, part } = await stored(10_000)
    await store.remove(part.key.transferId)
    expect(await store.read(part.key)).toBe(null)
  })

  test('is forgotten after a moment', async () => {
    const { behind, store, part } = await stored(20)
    await behind.removePart(part.key)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(await store.read(part.key)).toBe(null)
  })

  test('is not in memory before it is durable', async () => {
    const behind = memoryStore()
    const store = recentParts(behind, { bytesMax: 1_000_000, keepMs: 10_000 })
    const { key, bytes } = somePart(newTransferId(), 1, 1000)
    const sink = await store.openPart(key)
    await sink.write([Buffer.from(bytes)])
    expect(await store.read(key)).toBe(null)
    await sink.discard()
    expect(await store.read(key)).toBe(null)
  })
})
