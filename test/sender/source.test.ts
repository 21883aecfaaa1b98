import { execFileSync } from 'node:child_process'
import { appendFile, mkdir, readFile, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { checkSources } from '../../src/sender/node-source.ts'
import { TestFolder } from './folder.ts'

async function openOnly(path: string) {
  const [source] = await checkSources([path])
  if (source === undefined) throw new Error('no source')
  return source.open()
}

test('a fifo and a socket are refused, without advice that would not help', async () => {
  await using folder = await TestFolder.make()
  execFileSync('mkfifo', [folder.join('fifo')])
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(folder.join('socket'), resolve))
  try {
    for (const path of [folder.join('fifo'), folder.join('socket'), '/dev/null']) {
      const problem = await checkSources([path]).catch((error) => error)
      expect(problem).toMatchObject({ code: 'source-not-a-file' })
      expect(problem.message).not.toContain('tar')
    }
  } finally {
    server.close()
  }
})

test('a missing file is reported as unreadable, by its path', async () => {
  await using folder = await TestFolder.make()
  await writeFile(folder.join('here'), 'x')
  await expect(checkSources([folder.join('here'), folder.join('gone')])).rejects.toMatchObject({
    code: 'source-unreadable',
    details: { path: folder.join('gone') },
  })
})

test('the same file twice is refused, also through a link', async () => {
  await using folder = await TestFolder.make()
  await writeFile(folder.join('file'), 'x')
  await symlink('file', folder.join('link'))
  await expect(checkSources([folder.join('file'), folder.join('link')])).rejects.toMatchObject({
    code: 'paths-invalid',
  })
})

test('only the last element of a path is announced', async () => {
  await using folder = await TestFolder.make()
  await mkdir(folder.join('a'))
  await writeFile(folder.join('a', 'file.txt'), 'x')
  const [source] = await checkSources([`${folder.path}/a/../a/file.txt`])
  expect(source?.name).toBe('file.txt')
})

test('a name that is not UTF-8 is sent with the replacement character', async () => {
  await using folder = await TestFolder.make()
  await writeFile(Buffer.concat([Buffer.from(`${folder.path}/caf`), Buffer.from([0xe9])]), 'crème')
  const [source] = await checkSources([folder.join('caf\uFFFD')])
  expect(source?.name).toBe('caf\uFFFD')
  await using file = await openOnly(folder.join('caf\uFFFD'))
  expect(file.identity.sizeBytes).toBe(6)
  await file.assertUnchanged()
})

test('a part is read from its offset, with its digest', async () => {
  await using folder = await TestFolder.make()
  await writeFile(folder.join('file'), '0123456789')
  await using file = await openOnly(folder.join('file'))
  const target = Buffer.alloc(4)
  const digest = digestOf('sha-256', Buffer.from('3456'))
  expect(await file.readPart(target, 3, 'sha-256', null)).toEqual({ digest, contentDigest: digest })
  expect(target.toString()).toBe('3456')
  await file.assertUnchanged()
})

test('a file that shrinks while it is read has changed', async () => {
  await using folder = await TestFolder.make()
  await writeFile(folder.join('file'), '0123456789')
  await using file = await openOnly(folder.join('file'))
  await truncate(folder.join('file'), 5)
  await expect(file.readPart(Buffer.alloc(4), 3, 'sha-256', null)).rejects.toMatchObject({ code: 'source-changed' })
})

test.each([
  ['grows', (path: string) => appendFile(path, 'x')],
  ['is replaced by an equal one', (path: string) => replaceByEqual(path)],
  ['is removed', (path: string) => rename(path, `${path}.old`)],
])('a file that is %s meanwhile has changed', async (_, change) => {
  await using folder = await TestFolder.make()
  const path = folder.join('file')
  await writeFile(path, '0123456789')
  await using file = await openOnly(path)
  await change(path)
  await expect(file.assertUnchanged()).rejects.toMatchObject({ code: 'source-changed' })
})

test('a file with only a new time, as network file systems may report, counts as unchanged if its content is the same', async () => {
  await using folder = await TestFolder.make()
  const path = folder.join('file')
  await writeFile(path, '0123456789')
  await using file = await openOnly(path)
  for (const offset of [0, 4]) await file.readPart(Buffer.alloc(offset === 0 ? 4 : 6), offset, 'sha-256', null)
  await utimes(path, 1, 1)
  await file.assertUnchanged()
  await utimes(path, 2, 2)
  await file.assertUnchanged()
  await writeFile(path, '0123x56789', { flag: 'r+' })
  await expect(file.assertUnchanged(), 'other content of that size').rejects.toMatchObject({ code: 'source-changed' })
})

test('a file with a new time before it was read completely has changed: its parts may not belong together', async () => {
  await using folder = await TestFolder.make()
  const path = folder.join('file')
  await writeFile(path, '0123456789')
  await using file = await openOnly(path)
  await file.readPart(Buffer.alloc(4), 0, 'sha-256', null)
  await utimes(path, 1, 1)
  await expect(file.assertUnchanged()).rejects.toMatchObject({ code: 'source-changed' })
})

test('a part that differs between two reads has changed, also if the file is restored by then', async () => {
  await using folder = await TestFolder.make()
  const path = folder.join('file')
  await writeFile(path, '0123456789')
  await using file = await openOnly(path)
  for (const content of ['0123456789', 'x123456789', '0123456789']) {
    await writeFile(path, content, { flag: 'r+' })
    await file.readPart(Buffer.alloc(10), 0, 'sha-256', null)
  }
  await utimes(path, 1, 1)
  await expect(file.assertUnchanged()).rejects.toMatchObject({ code: 'source-changed' })
})

async function replaceByEqual(path: string): Promise<void> {
  await writeFile(`${path}.new`, '0123456789')
  await rename(`${path}.new`, path)
}

/** Reads a whole source in parts. */
async function contentOf(path: string, partBytes = 1000): Promise<Buffer> {
  await using file = await openOnly(path)
  const { sizeBytes } = file.identity
  const content = Buffer.alloc(sizeBytes)
  for (let at = 0; at < sizeBytes; at += partBytes) {
    await file.readPart(content.subarray(at, Math.min(sizeBytes, at + partBytes)), at, 'sha-256', null)
  }
  await file.assertUnchanged()
  return content
}

test.each([
  ['says that it is empty', '/proc/cmdline'],
  ['says that it is empty, and is longer than one page', '/proc/kallsyms'],
  ['says that it is a page long, and is shorter', '/sys/kernel/mm/transparent_hugepage/enabled'],
])('a file of the kernel that %s is read to its end', async (_, path) => {
  const read = await readFile(path)
  expect(read.length).toBeGreaterThan(0)
  expect((await contentOf(path, 100_000)).equals(read)).toBe(true)
})

test('an empty file is empty', async () => {
  await using folder = await TestFolder.make()
  await writeFile(folder.join('file'), '')
  expect(await contentOf(folder.join('file'))).toHaveLength(0)
  await using file = await openOnly(folder.join('file'))
  await appendFile(folder.join('file'), 'x')
  await expect(file.assertUnchanged()).rejects.toMatchObject({ code: 'source-changed' })
})

test('a pipe that replaces a file is refused without waiting for it', async () => {
  await using folder = await TestFolder.make()
  const path = folder.join('file')
  await writeFile(path, 'x')
  const [source] = await checkSources([path])
  await rm(path)
  execFileSync('mkfifo', [path])
  await expect(source?.open()).rejects.toMatchObject({ code: 'source-not-a-file' })
})
