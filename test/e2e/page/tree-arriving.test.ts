/** A folder sent on the command line arrives in the page: as a tree in the chosen folder, exactly once, or as a tar. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { until } from '../harness/world.ts'
import { notifiedOf, recordOf } from '../second-hop/scene.ts'
import { type PageReceiver, scene } from './scene.ts'

type Sending = ReturnType<Awaited<ReturnType<typeof scene>>['world']['send']>

const FILES = { 'a.bin': 3_000_000, 'deep/b.bin': 70_000, 'deep/c.txt': 5, 'deep/er/d.bin': 2_000_000, 'z.txt': 0 }

/** @returns the folder, and what the page should have of it */
async function photos(world: Awaited<ReturnType<typeof scene>>['world'], name = 'photos') {
  const path = world.path('files', name)
  await mkdir(join(path, 'deep', 'er'), { recursive: true })
  await mkdir(join(path, 'empty'))
  const expected: Record<string, object | null> = { [name]: null }
  for (const folder of ['deep', 'deep/er', 'empty']) expected[`${name}/${folder}`] = null
  for (const [file, sizeBytes] of Object.entries(FILES)) {
    const made = await world.file(`${name}/${file}`, sizeBytes)
    const digest = createHash('sha256')
      .update(await readFile(made))
      .digest('hex')
    expected[`${name}/${file}`] = { sizeBytes, digest }
  }
  await symlink('a.bin', join(path, 'link'))
  return { path, expected }
}

const tree = (page: PageReceiver) => page.run<Record<string, { sizeBytes: number } | null>>('folderTree')

async function expectDelivered(sending: Sending): Promise<string> {
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
  return String(sending.json.find((line) => line.phase === 'started')?.transferId)
}

test('a folder goes into the chosen folder as a tree, and nothing of it stays in the browser', async () => {
  const { world, page } = await scene()
  const { path, expected } = await photos(world)
  await page.open()
  await page.run('chooseFolder')
  const transferId = await expectDelivered(world.send(path, 'bob', '--part-size', '1MiB'))
  expect(await tree(page)).toMatchObject(expected)
  expect(Object.keys(await tree(page)).sort()).toEqual(Object.keys(expected).sort())
  expect(await page.run('unpacked', transferId)).toEqual({ linkCount: 1, renamedCount: 0, renamed: [] })
  expect(await page.kept()).toEqual([])
  expect(await page.run('stagedFiles')).toEqual([])
  // The same folder once more is another delivery, and nothing is overwritten.
  await writeFile(join(path, 'z.txt'), 'new')
  await expectDelivered(world.send(path, 'bob'))
  const both = await tree(page)
  expect(both['photos/z.txt']?.sizeBytes).toBe(0)
  expect(both['photos (1)/z.txt']?.sizeBytes).toBe(3)
})

test('a browser that is killed while it writes a tree completes it: one tree, one answer', async () => {
  const { world, page } = await scene()
  const { path, expected } = await photos(world)
  await page.open()
  await page.run('chooseFolder')
  await page.run('stallAfter', 2)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await sending.notification('stored')
  await page.event('fetching')
  await until(async () => (await page.run('writtenCount', 'photos')) === 2, 'two files are written')
  await page.kill()
  expect(notifiedOf(sending)).toEqual(['stored'])
  await page.open()
  const transferId = await expectDelivered(sending)
  expect(await tree(page)).toMatchObject(expected)
  expect(Object.keys(await tree(page)).sort()).toEqual(Object.keys(expected).sort())
  expect(await page.run('stagedFiles')).toEqual([])
  expect((await recordOf(world, transferId)).deliveries).toMatchObject([{ state: 'delivered' }])
})

test('a page that is reloaded while a tree arrives continues with the missing parts', async () => {
  const { world, page, network } = await scene()
  const { path, expected } = await photos(world)
  await page.open()
  await page.run('chooseFolder')
  const gate = Promise.withResolvers<void>()
  const isPart = /\/deliveries\/[^/]+\/parts\/(\d+)$/
  network.rule = ({ method, path: asked }) => {
    const [, partNumber] = isPart.exec(asked) ?? []
    return method === 'GET' && Number(partNumber ?? 0) > 2 ? { heldUntil: gate.promise } : null
  }
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await page.event('fetching', ({ heldBytes }) => heldBytes >= 2 * 1024 * 1024)
  await page.reload()
  network.rule = () => null
  gate.resolve()
  await expectDelivered(sending)
  expect(await tree(page)).toMatchObject(expected)
  expect(network.seen.filter(({ method, path: asked }) => method === 'GET' && asked.endsWith('/parts/1'))).toHaveLength(
    1,
  )
})

test('when the browser takes its permission back in the middle, the tree is completed once it is given again', async () => {
  const { world, page } = await scene()
  const { path, expected } = await photos(world)
  await page.open()
  await page.run('chooseFolder')
  await page.run('refuseAfter', 1)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await expect.poll(() => page.run('folderLapses'), { timeout: 90_000 }).toEqual(['permission'])
  expect(notifiedOf(sending)).not.toContain('delivered')
  await page.run('askAgainForFolder')
  await expectDelivered(sending)
  expect(await tree(page)).toMatchObject(expected)
  expect(Object.keys(await tree(page)).sort()).toEqual(Object.keys(expected).sort())
})

test('without a chosen folder a folder is kept as a tar, which other programs can read', async () => {
  const { world, page } = await scene()
  const { path } = await photos(world)
  await page.open()
  await expectDelivered(world.send(path, 'bob', '--part-size', '1MiB'))
  expect(await page.kept()).toMatchObject([{ name: 'photos.tar' }])
  expect(await tree(page)).toEqual({})
})
