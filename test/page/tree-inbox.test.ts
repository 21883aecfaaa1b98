/** A tree in the page's inbox: written into the chosen folder entry by entry, or kept as a tar. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { type ForgedEntry, forgedTar, forgedTree } from '../receiver/forged-trees.ts'
import { browserPage } from './harness/browser.ts'

async function scene({ hasFolder = true } = {}) {
  const page = await browserPage()
  const run = <Result>(name: string, ...args: readonly unknown[]) =>
    page.run<Result>('test/page/browser/inbox.ts', name, ...args)
  if (hasFolder) await run('chooseFolder')
  /** Publishes a tree with these entries. */
  const publish = async (tar: Buffer, tree: { fileCount: number; contentBytes: number }) => {
    const transferId = newTransferId()
    await run('bringTree', transferId, new Uint8Array(tar), tree)
    return { transferId, end: await run<Record<string, unknown> | string>('commitTree', transferId, 'photos') }
  }
  return { page, run, publish, [Symbol.asyncDispose]: () => page.close() }
}

const folder = (name: string): ForgedEntry => ({ name: `photos/${name}/`, type: '5' })
const file = (name: string, content: string): ForgedEntry => ({ name: `photos/${name}`, content })

test('files, folders and empty folders are written; links are left out, and counted', async () => {
  await using one = await scene()
  const tar = forgedTree([
    file('one.txt', 'one'),
    folder('deep'),
    file('deep/.hidden', 'a dot stays'),
    file('deep/empty', ''),
    folder('deep/empty folder'),
    { name: 'photos/link', type: '2', linkName: 'one.txt' },
    { name: 'photos/deep/up', type: '2', linkName: '../one.txt' },
  ])
  const { end } = await one.publish(tar, { fileCount: 3, contentBytes: 14 })
  expect(end).toEqual({ name: 'photos', linkCount: 2, renamedCount: 0, renamed: [] })
  expect(await one.run('inFolder')).toEqual({
    photos: null,
    'photos/one.txt': 'one',
    'photos/deep': null,
    'photos/deep/.hidden': 'a dot stays',
    'photos/deep/empty': '',
    'photos/deep/empty folder': null,
  })
  expect(await one.run('everything')).toHaveLength(1 + 1)
})

test('nothing that is in the folder is touched: the tree gets a number', async () => {
  await using one = await scene()
  await one.run('putIntoFolder', 'photos/one.txt', 'mine')
  await one.run('putIntoFolder', 'photos (1)', 'a file')
  const { end } = await one.publish(forgedTree([file('one.txt', 'one')]), { fileCount: 1, contentBytes: 3 })
  expect(end).toMatchObject({ name: 'photos (2)' })
  expect(await one.run('inFolder')).toEqual({
    photos: null,
    'photos/one.txt': 'mine',
    'photos (1)': 'a file',
    'photos (2)': null,
    'photos (2)/one.txt': 'one',
  })
})

test('names that are not safe here are changed, and names that meet get numbers; the changes are told', async () => {
  await using one = await scene()
  const tar = forgedTree([
    file('con.txt', '1'),
    file('a:b', '2'),
    file('a_b', '3'),
    file('same', '4'),
    file('same', '5'),
    file('same/below', '6'),
    folder('x?'),
    file('x?/y', '7'),
    file('.golooader', '8'),
    file('tree.tar', '9'),
    file('e\u0301', 'a'),
    file('\u00e9', 'b'),
  ])
  const { end } = await one.publish(tar, { fileCount: 11, contentBytes: 11 })
  expect(end).toMatchObject({ name: 'photos', linkCount: 0 })
  expect(await one.run('inFolder')).toEqual({
    photos: null,
    'photos/_con.txt': '1',
    'photos/a_b': '2',
    'photos/a_b (1)': '3',
    'photos/same': '4',
    'photos/same (1)': '5',
    'photos/same (2)': null,
    'photos/same (2)/below': '6',
    'photos/x_': null,
    'photos/x_/y': '7',
    'photos/_golooader': '8',
    'photos/tree.tar': '9',
    'photos/\u00e9': 'a',
    'photos/\u00e9 (1)': 'b',
  })
  const { renamed } = end as unknown as { renamed: { path: string; writtenAs: string }[] }
  expect(renamed).toContainEqual({ path: 'con.txt', writtenAs: '_con.txt' })
  expect(renamed).toContainEqual({ path: 'same', writtenAs: 'same (2)' })
})

test('a file that another program puts into the tree while it is written is neither replaced nor taken for one of it', async () => {
  await using one = await scene()
  await one.run('failAtWrite', 2, 'NotAllowedError')
  const tar = forgedTree([file('a', '1'), file('b', '22'), file('c', '333')])
  const publishing = one.publish(tar, { fileCount: 3, contentBytes: 6 })
  await expect.poll(() => one.run('folderLapses')).toEqual(['permission'])
  await one.run('putIntoFolder', 'photos/b', 'theirs')
  await one.run('askAgainForFolder')
  expect((await publishing).end).toMatchObject({ name: 'photos', renamed: [{ path: 'b', writtenAs: 'b (1)' }] })
  expect(await one.run('inFolder')).toEqual({
    photos: null,
    'photos/a': '1',
    'photos/b': 'theirs',
    'photos/b (1)': '22',
    'photos/c': '333',
  })
})

test.each<readonly [string, Buffer, { fileCount: number; contentBytes: number }]>([
  ['leads out of its folder', forgedTree([file('../out', 'x')]), { fileCount: 1, contentBytes: 1 }],
  ['begins beside its folder', forgedTar([{ name: 'out', content: 'x' }]), { fileCount: 1, contentBytes: 1 }],
  ['has more files than announced', forgedTree([file('a', 'x'), file('b', '')]), { fileCount: 1, contentBytes: 1 }],
  ['has more bytes than announced', forgedTree([file('a', 'xy')]), { fileCount: 1, contentBytes: 1 }],
  ['has fewer files than announced', forgedTree([file('a', 'x')]), { fileCount: 2, contentBytes: 1 }],
  ['ends early', forgedTree([file('a', 'x')]).subarray(0, 3 * 512), { fileCount: 1, contentBytes: 1 }],
  [
    'has a link that leads out',
    forgedTree([{ name: 'photos/l', type: '2', linkName: '../../etc' }]),
    { fileCount: 0, contentBytes: 0 },
  ],
  [
    'names more folders than have entries',
    forgedTree(
      Array.from({ length: 60 }, (_, one) => file(`${Array.from({ length: 200 }, () => one).join('/')}/f`, '')),
    ),
    { fileCount: 60, contentBytes: 0 },
  ],
  ['has a device', forgedTree([{ name: 'photos/d', type: '3' }]), { fileCount: 0, contentBytes: 0 }],
])('a tree that %s is refused, and nothing of it is written or kept', async (_how, tar, tree) => {
  for (const hasFolder of [true, false]) {
    await using one = await scene({ hasFolder })
    const { transferId, end } = await one.publish(tar, tree)
    expect(end).toBe('tree-invalid')
    expect(await one.run('inFolder')).toEqual({})
    await one.run('discard', transferId)
    expect(await one.run('unfinished')).toEqual([])
  }
})

test('a tree that cannot be written as a whole leaves nothing of it behind', async () => {
  await using one = await scene()
  await one.run('putIntoFolder', 'mine.txt', 'mine')
  await one.run('failAtWrite', 3, 'QuotaExceededError')
  const tar = forgedTree([file('a', '1'), folder('b'), file('b/c', '2'), file('b/d', '3'), file('e', '4')])
  const publishing = one.publish(tar, { fileCount: 4, contentBytes: 4 })
  await expect(publishing).rejects.toThrow('the test says so')
  expect(await one.run('inFolder')).toEqual({ 'mine.txt': 'mine' })
})

test('without a chosen folder a tree is kept as a tar, byte for byte', async () => {
  await using one = await scene({ hasFolder: false })
  const tar = forgedTree([file('a', 'x')])
  const { transferId, end } = await one.publish(tar, { fileCount: 1, contentBytes: 1 })
  expect(end).toMatchObject({ name: 'photos.tar' })
  expect(await one.run('contentOf', transferId)).toBe(createHash('sha256').update(tar).digest('hex'))
  const again = await one.publish(tar, { fileCount: 1, contentBytes: 1 })
  expect(again.end).toMatchObject({ name: 'photos (1).tar' })
})
