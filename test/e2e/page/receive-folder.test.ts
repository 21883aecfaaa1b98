/** What the page shows of a folder that arrives, on a phone's width and on a desktop. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import type { World } from '../harness/world.ts'
import { sceneWith } from './visit.ts'

async function photos(world: World): Promise<string> {
  const path = world.path('files', 'photos of the holiday')
  await mkdir(world.path('files', 'photos of the holiday', 'day 1'), { recursive: true })
  await writeFile(world.path('files', 'photos of the holiday', 'day 1', 'beach?.jpg'), 'not really')
  await writeFile(world.path('files', 'photos of the holiday', 'list.txt'), 'towel')
  await symlink('list.txt', world.path('files', 'photos of the holiday', 'link'))
  return path
}

chromiumTest(
  'a folder is one card, which says what is in it, what is left out and which names are changed',
  async () => {
    await using scene = await sceneWith(['alice'])
    const { world } = scene
    const visitor = await scene.visit('carol', { viewport: { width: 375, height: 720 } })
    const { page } = visitor
    await visitor.insideFirst('answerFolderDialogue', 'chosen')
    await page.reload()
    await visitor.goTo('Receive')
    await page.getByRole('button', { name: 'Choose a folder…' }).click()
    await page.getByText('Files go into the folder chosen.').waitFor()
    const sending = world.run('send', await photos(world), '--to', 'carol', '--profile', 'alice')
    const card = visitor.card('photos of the holiday')
    await card.says('folder, 2 files, 15 B')
    await card.says('alice offers you this folder. Nothing has been received yet.')
    await card.press('Accept')
    const { code, stderr } = await sending
    expect(code, stderr).toBe(0)
    await card.phase('received')
    await card.says('It is in chosen, as photos of the holiday.')
    await card.says('Left out: 1 symbolic link. Browsers cannot make them.')
    await card.locator.getByText('1 entry has another name than at its sender.').click()
    await card.says('day 1/beach?.jpg')
    const { shown, room } = await visitor.inside<{ shown: number; room: number }>('widths')
    expect(shown).toBeLessThanOrEqual(room)
    const files = Object.keys(await visitor.inside<Record<string, string>>('ownFiles'))
    expect(files.filter((name) => name.startsWith('chosen/')).sort()).toEqual([
      'chosen/photos of the holiday/day 1/beach_.jpg',
      'chosen/photos of the holiday/list.txt',
    ])
    await visitor.goTo('History')
    await page.getByRole('link', { name: /photos of the holiday .*folder, 2 files, 15 B/ }).waitFor()
  },
)

chromiumTest('without a chosen folder it is downloaded as a tar, which tar unpacks', async () => {
  await using scene = await sceneWith(['alice'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  const sending = world.run('send', await photos(world), '--to', 'carol', '--profile', 'alice')
  const card = visitor.card('photos of the holiday')
  const { name, path } = await visitor.download(() => card.press('Accept'))
  expect(name).toBe('photos of the holiday.tar')
  const { code, stderr } = await sending
  expect(code, stderr).toBe(0)
  await card.says('Your browser saves it as photos of the holiday.tar.')
  const above = world.path('unpacked')
  await mkdir(above)
  await promisify(execFile)('tar', ['-xf', path, '-C', above])
  expect(await readFile(world.path('unpacked', 'photos of the holiday', 'list.txt'), 'utf8')).toBe('towel')
})
