/** A folder chosen or dropped in the page is one delivery, however it was chosen, and continues after a reload. */
import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { inChromiumOnly } from '../../page/harness/engine.ts'
import type { Visitor } from '../../page/harness/visitor.ts'
import { receivedTree } from '../../page/received-tree.ts'
import type { World } from '../harness/world.ts'
import { eventually, holdPartsAfter, MIB, PART_BYTES, sceneWith, timesSent, transfersOf } from './visit.ts'

const WHY = 'WebDriver BiDi drops no files, and Playwright chooses no folders by it'

/** A folder of 20 MiB, two files and an empty folder. */
async function photos(world: World): Promise<string> {
  const path = world.path('files', 'photos')
  await mkdir(world.path('files', 'photos', 'empty'), { recursive: true })
  await world.file('photos/one.jpg', 20 * MIB)
  await writeFile(world.path('files', 'photos', 'two.txt'), 'two')
  await utimes(world.path('files', 'photos', 'two.txt'), 1_700_000_000, 1_700_000_000)
  return path
}

/** Reloads the page once the portal has the first part of the folder. */
async function reloadedAfterOnePart(visitor: Visitor, scene: Awaited<ReturnType<typeof sceneWith>>): Promise<void> {
  const release = holdPartsAfter(scene.network, 1)
  await visitor.addReceiver('bob')
  await visitor.pressSend()
  await visitor.card('photos').says(/^The portal has 8\.0 MiB of 20\.0 MiB · .*0 of 2 files/)
  await visitor.card('photos').says('photos/one.jpg')
  await visitor.page.reload()
  release()
}

test('after a reload the same folder, chosen again, continues the one transfer', async (context) => {
  inChromiumOnly(context, WHY)
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  const visitor = await scene.visit('carol')
  const { page } = visitor
  const path = await photos(world)
  await visitor.chooseFolder(path)
  await reloadedAfterOnePart(visitor, scene)
  const unfinished = page.getByRole('region', { name: 'Unfinished' })
  await unfinished.getByText(/Choose the same folder again to resume/).waitFor()
  await unfinished.getByText('folder, 2 files, 20.0 MiB').waitFor()
  const field = unfinished.locator('input')
  await mkdir(world.path('files', 'other', 'photos'), { recursive: true })
  await writeFile(world.path('files', 'other', 'photos', 'two.txt'), 'two')
  await field.setInputFiles(world.path('files', 'other', 'photos'))
  await unfinished.getByText('The folder has changed since: send it as a new transfer.').waitFor()
  await field.setInputFiles(path)
  await visitor.card('photos').phase('stored')
  await world.receiver('bob')
  await visitor.card('photos').phase('ended')
  expect(await transfersOf(visitor)).toHaveLength(1)
  expect(timesSent(network, 1)).toBe(1)
  const received = await receivedTree(world, 'bob', 'photos')
  expect([...received.keys()]).toEqual(['one.jpg', 'two.txt'])
  expect(received.get('two.txt')?.modifiedMs).toBe(1_700_000_000_000)
})

test('a folder that is chosen in the dialogue of the browser is sent with its empty folders, and continues after a reload', async (context) => {
  inChromiumOnly(context, 'Firefox has no such dialogue')
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const { page } = visitor
  await visitor.insideFirst('answerFolderDialogue', 'photos')
  await page.reload()
  await visitor.isMember()
  await visitor.inside('fillFolder', {
    name: 'photos',
    files: { 'deep/one.bin': 2 * PART_BYTES, 'two.txt': 3 },
    folders: ['empty'],
  })
  await page.getByRole('button', { name: 'Choose a folder…' }).click()
  await page.getByText('folder, 2 files, 16.0 MiB').waitFor()
  const release = holdPartsAfter(scene.network, 1)
  await visitor.addReceiver('bob')
  await visitor.pressSend()
  await visitor.card('photos').says(/^The portal has 8\.0 MiB of 16\.0 MiB/)
  await page.reload()
  release()
  await page.getByRole('button', { name: 'Choose the folder…' }).click()
  await world.receiver('bob')
  await visitor.card('photos').phase('ended')
  expect(await transfersOf(visitor)).toHaveLength(1)
  const received = await receivedTree(world, 'bob', 'photos')
  expect([...received.keys()]).toEqual(['deep', 'deep/one.bin', 'empty', 'two.txt'])
  expect(received.get('deep/one.bin')?.content?.every((byte) => byte === 7)).toBe(true)
})

test('what a file .golooaderignore names is left out of a folder, and the page says how much', async (context) => {
  inChromiumOnly(context, WHY)
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const path = await photos(world)
  await mkdir(world.path('files', 'photos', 'cache', 'deep'), { recursive: true })
  await writeFile(world.path('files', 'photos', 'cache', 'deep', 'one.tmp'), 'x')
  await writeFile(world.path('files', 'photos', 'three.txt'), 'three')
  await writeFile(world.path('files', 'photos', '.golooaderignore'), '/cache/\n*.txt\n!two.txt\n')
  await world.receiver('bob')
  for (const [number, choose] of [() => visitor.drop([path]), () => visitor.chooseFolder(path)].entries()) {
    await choose()
    await visitor.page.getByText('folder, 2 files, 20.0 MiB · 2 left out by .golooaderignore').waitFor()
    await visitor.addReceiver('bob')
    await visitor.pressSend()
    await eventually(async () => (await world.received('bob')).length).toBe(number + 1)
  }
  expect([...(await receivedTree(world, 'bob', 'photos')).keys()]).toEqual(['empty', 'one.jpg', 'two.txt'])
  // The dialogue of an <input> shows no empty folders.
  expect([...(await receivedTree(world, 'bob', 'photos (1)')).keys()]).toEqual(['one.jpg', 'two.txt'])
})

test('while a folder is read, the page says so; receivers that are chosen already stay', async (context) => {
  inChromiumOnly(context, WHY)
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  await visitor.choose([await world.file('first.bin', 10)])
  await visitor.addReceiver('bob')
  await visitor.inside('holdFolders')
  await visitor.drop([await photos(world)])
  await visitor.page.getByText('Reading the folder…').waitFor()
  await visitor.inside('releaseFolders')
  await visitor.page.getByText('1 file and 1 folder').first().waitFor()
  expect(await visitor.page.getByText('Reading the folder…').count()).toBe(0)
  await visitor.pressSend()
  await eventually(async () => (await transfersOf(visitor)).length).toBe(2)
})

test('files and folders are counted by their kind, and symbolic links in a dropped folder are left out', async (context) => {
  inChromiumOnly(context, WHY)
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const path = await photos(world)
  await symlink('two.txt', world.path('files', 'photos', 'link'))
  await symlink('nowhere', world.path('files', 'photos', 'dangling'))
  await symlink('/etc', world.path('files', 'photos', 'outside'))
  await world.receiver('bob')
  await visitor.drop([path, await world.file('a.bin', 10), await world.file('b.bin', 10)])
  await visitor.page.getByText('2 files and 1 folder, 20.0 MiB').waitFor()
  await visitor.addReceiver('bob')
  await visitor.page.getByRole('button', { name: 'Send 2 files and 1 folder to bob' }).click()
  await visitor.card('photos').phase('ended')
  await eventually(async () => (await transfersOf(visitor)).length).toBe(3)
  const received = await receivedTree(world, 'bob', 'photos')
  // Chromium does not tell a page of links.
  expect([...received.keys()]).toEqual(['empty', 'one.jpg', 'two.txt'])
})
