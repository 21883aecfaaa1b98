/** A folder sent from a real browser is one delivery. The receiver gets it with all that is in it. */
import { appendFile, rm, truncate } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { expectOneContent, PART_BYTES } from '../e2e/trust/scene.ts'
import { type ChosenFolder, fileContent } from './chosen.ts'
import { chromiumTest } from './harness/once.ts'
import { receivedTree } from './received-tree.ts'
import {
  begin,
  browserScene,
  came,
  hang,
  isPart,
  LAST_MODIFIED,
  MODULE,
  outcome,
  reloadedAt,
  send,
  startedOf,
  unfinished,
} from './sender-scene.ts'

const DAY_MS = 86_400_000
const file = (seed: number, sizeBytes: number, lastModified = LAST_MODIFIED + seed * DAY_MS) => ({
  seed,
  sizeBytes,
  lastModified,
})

const holiday: ChosenFolder = {
  name: 'holiday',
  entries: {
    'day 1/beach.jpg': file(1, 3 * PART_BYTES + 17),
    'day 1/list.txt': file(2, 5),
    'day 2/empty.txt': file(3, 0),
    'day 2/deep/er/one.bin': file(4, 512, LAST_MODIFIED + 123),
    'nothing yet': null,
    'Ünïcode \u{1f3d6} \uff5e.txt': file(5, 100),
    [`${'long '.repeat(40)}.txt`]: file(6, 1000),
  },
}

async function expectTree(world: Parameters<typeof receivedTree>[0], { name, entries }: ChosenFolder): Promise<void> {
  const received = await receivedTree(world, 'bob', name)
  const folders = Object.keys(entries).flatMap((path) =>
    path.split('/').map((_, at, names) => names.slice(0, at).join('/')),
  )
  expect([...received.keys()].sort()).toEqual(
    [...new Set([...folders.filter((path) => path !== ''), ...Object.keys(entries)])].sort(),
  )
  for (const [path, chosen] of Object.entries(entries)) {
    const { content, modifiedMs } = received.get(path) ?? { content: null, modifiedMs: 0 }
    if (chosen === null) expect(content, path).toBeNull()
    else {
      expect(content?.equals(fileContent(chosen.seed, chosen.sizeBytes)), path).toBe(true)
      expect(modifiedMs, path).toBe(chosen.lastModified)
    }
  }
}

test('a folder is one transfer, and arrives with names, content, times and empty folders', async () => {
  const { world, browser, evil } = await browserScene()
  await world.receiver('bob')
  const end = await outcome(browser, await send(browser, holiday))
  expect(end).toMatchObject({ outcome: 'delivered', path: 'holiday' })
  await expectTree(world, holiday)
  const { transfers } = await (await world.client('alice')).transfers({})
  expect(transfers).toHaveLength(1)
  expect(await browser.run(MODULE, 'receiptsOf', end.transferId)).toHaveLength(1)
  expectOneContent(evil)
  expect(browser.complaints).toEqual([])
})

test('after a reload, the same folder chosen again continues the transfer with the missing parts', async () => {
  const scene = await browserScene()
  const { world, browser, evil } = scene
  const transferId = await reloadedAt(scene, holiday, 3)
  const [entry] = await unfinished(browser)
  expect(entry).toMatchObject({ transferId, name: 'holiday.tar', source: { fileCount: 6 } })
  const again = await send(browser, holiday)
  await world.receiver('bob')
  expect(await outcome(browser, again)).toMatchObject({ outcome: 'delivered', transferId })
  expect(await startedOf(browser, again)).toMatchObject([{ transferId, isResumed: true }])
  const resent = evil.uploads.filter(({ partNumber }) => partNumber === 1)
  expect(resent).toHaveLength(1)
  await expectTree(world, holiday)
  expectOneContent(evil)
})

chromiumTest('a folder in which anything differs is another transfer', async () => {
  const scene = await browserScene()
  const { world, browser } = scene
  const transferId = await reloadedAt(scene, holiday, 3)
  await world.receiver('bob')
  const newer = { ...holiday, entries: { ...holiday.entries, 'day 1/list.txt': file(2, 5, LAST_MODIFIED) } }
  const end = await outcome(browser, await send(browser, newer))
  expect(end).toMatchObject({ outcome: 'delivered' })
  expect(end.transferId).not.toBe(transferId)
  await expectTree(world, newer)
})

chromiumTest('in a part that is made again every byte is the same', async () => {
  const { world, browser, evil, account } = await browserScene(['--upload-timeout', '1500ms'])
  hang(evil, isPart(2))
  const sending = await send(browser, holiday)
  await came(evil, isPart(2), PART_BYTES)
  // The connection breaks, and the part is read again.
  evil.lies = {}
  evil.cut()
  await world.receiver('bob')
  expect(await outcome(browser, sending)).toMatchObject({ outcome: 'delivered' })
  expectOneContent(evil)
  expect(await begin(browser, account)).toBeNull()
})

const SIZES = { 'a.bin': 2 * PART_BYTES, 'b.bin': 3 * PART_BYTES, 'c.bin': 10, 'd.bin': 0 }

test.each([
  ['is appended to', 'b.bin', (path: string) => appendFile(path, 'x')] as const,
  ['was empty and is written to', 'd.bin', (path: string) => appendFile(path, 'x')] as const,
  ['is cut short', 'b.bin', (path: string) => truncate(path, PART_BYTES)] as const,
  ['is removed after it was read', 'a.bin', (path: string) => rm(path)] as const,
  ['is removed before it is read', 'c.bin', (path: string) => rm(path)] as const,
])(
  'a folder of which a file %s during the upload is not sent, and the error names the file',
  async (_how, name, change) => {
    const { world, evil, browser } = await browserScene()
    const paths = new Map<string, string>()
    for (const [one, sizeBytes] of Object.entries(SIZES)) paths.set(one, await world.file(one, sizeBytes))
    await browser.run(MODULE, 'showField')
    await browser.page.setInputFiles('input', [...paths.values()])
    hang(evil, isPart(3))
    const sending = await browser.run<number>(MODULE, 'sendChosenAsFolder', 'photos')
    await came(evil, isPart(3), PART_BYTES)
    await change(paths.get(name) ?? '')
    evil.lies = {}
    evil.cut()
    const end = await outcome(browser, sending)
    expect(end).toMatchObject({ outcome: 'refused', problem: { code: 'source-changed', path: `photos/${name}` } })
    expect(await (await world.client('alice')).transfer(end.transferId ?? '')).toMatchObject({ state: 'cancelled' })
    expect(await unfinished(browser)).toEqual([])
  },
)

test('a folder with a file that is gone before the upload is not announced', async () => {
  const { world, browser, evil } = await browserScene()
  const [kept, removed] = [await world.file('kept.bin', 100), await world.file('removed.bin', 100)]
  await browser.run(MODULE, 'showField')
  await browser.page.setInputFiles('input', [kept, removed])
  await rm(removed)
  const sending = await browser.run<number>(MODULE, 'sendChosenAsFolder', 'photos')
  const problem = { code: 'source-unreadable', path: 'photos/removed.bin' }
  expect(await outcome(browser, sending)).toMatchObject({ outcome: 'refused', problem })
  expect(evil.requests.filter(({ method, path }) => method === 'PUT' && path.includes('/transfers/'))).toEqual([])
})
