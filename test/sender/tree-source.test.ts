/** Folders as sources: what is found, what is read, and what is noticed. */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { NodeSource } from '../../src/sender/node-content.ts'
import { checkSources, type SourceOptions } from '../../src/sender/node-source.ts'
import type { OpenSource } from '../../src/sender/source.ts'
import { settableTimeNs } from '../../src/tree/index.ts'
import { testFolder } from '../suites/folder.ts'
import { randomBytes, randomInt } from '../suites/random.ts'
import { readTar } from '../tree/trees.ts'

async function onlySource(path: string | string[], options: Partial<SourceOptions> = {}): Promise<NodeSource> {
  const [source] = await checkSources([path].flat(), options)
  if (source === undefined) throw new Error('no source')
  return source
}

/** Reads all parts in any order. */
async function contentOf(file: OpenSource, partBytes: number): Promise<Buffer> {
  const content = Buffer.alloc(file.identity.sizeBytes)
  const offsets = Array.from({ length: Math.ceil(content.length / partBytes) }, (_, part) => part * partBytes)
  for (const offset of offsets.sort(() => randomInt(3) - 1)) {
    await file.readPart(content.subarray(offset, offset + partBytes), offset, 'sha-256', null)
  }
  return content
}

async function tarOf(source: NodeSource, partBytes = 1_000_003): Promise<Buffer> {
  await using file = await source.open()
  const tar = await contentOf(file, partBytes)
  await file.assertUnchanged()
  return tar
}

/** A folder of each kind of thing. */
async function photos(): Promise<string> {
  const folder = join(await testFolder(), 'photos')
  mkdirSync(join(folder, 'b/empty'), { recursive: true })
  writeFileSync(join(folder, 'b/large'), randomBytes(700_001))
  for (let number = 0; number < 50; number++)
    writeFileSync(join(folder, `b/small ${number}`), randomBytes(randomInt(2000)))
  writeFileSync(join(folder, 'b.txt'), 'sorted behind the folder b')
  writeFileSync(join(folder, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
  symlinkSync('../run.sh', join(folder, 'b/link'))
  execFileSync('touch', ['-d', '@1732950000.123456789', join(folder, 'run.sh')])
  return folder
}

test('a folder is read as a tar that GNU tar extracts as that folder', async () => {
  const folder = await photos()
  const source = await onlySource(folder)
  expect(source).toMatchObject({ path: folder, name: 'photos.tar', leftOut: [] })
  await using file = await source.open()
  expect(file.mediaType).toMatch(/^application\/x-tar; tree=1; files=53; bytes=\d+$/)
  const place = await testFolder()
  execFileSync('tar', ['-xf', '-', '-C', place], { input: await tarOf(source) })
  execFileSync('diff', ['-r', '--no-dereference', folder, join(place, 'photos')])
  const { mtimeNs, mode } = lstatSync(join(place, 'photos/run.sh'), { bigint: true })
  expect(mtimeNs).toBe(settableTimeNs(1_732_950_000_123_456_789n))
  expect(mode & 0o777n).toBe(0o755n)
  // What was received gives the same tar again: that is how a receipt proves a folder.
  const again = await tarOf(await onlySource(join(place, 'photos')), 4096)
  expect(again.equals(await tarOf(source))).toBe(true)
})

test('the entries of a folder are sorted by the bytes of their names, and a folder is followed by what is in it', async () => {
  const folder = join(await testFolder(), 't')
  const names = ['B', 'a', 'a.b', 'a/c', 'z', 'ä', '\u{FF5E}', '\u{1F600}']
  for (const name of names) mkdirSync(join(folder, name), { recursive: true })
  const { entries } = readTar(await tarOf(await onlySource(folder)))
  expect(entries.map(({ path }) => path)).toEqual([
    't',
    ...['B', 'a', 'a/c', 'a.b', 'z', 'ä', '\u{FF5E}', '\u{1F600}'].map((name) => `t/${name}`),
  ])
})

test('what cannot be sent is named and left out; with strict the folder is refused', async () => {
  const folder = await photos()
  symlinkSync('/etc/passwd', join(folder, 'absolute'))
  symlinkSync('../outside', join(folder, 'up'))
  symlinkSync('b/link/../../..', join(folder, 'roundabout'))
  execFileSync('mkfifo', [join(folder, 'fifo')])
  mkdirSync(join(folder, '.golooader'))
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(join(folder, 'socket'), resolve))
  try {
    const source = await onlySource(folder)
    expect(source.leftOut.map(({ path }) => path)).toEqual(
      ['.golooader', 'absolute', 'fifo', 'roundabout', 'socket', 'up'].map((name) => `photos/${name}`),
    )
    expect(readTar(await tarOf(source)).entries.filter(({ kind }) => kind === 'link')).toHaveLength(1)
    await expect(checkSources([folder], { isStrict: true })).rejects.toMatchObject({
      code: 'source-incomplete',
      details: { leftOut: 6, detail: expect.stringContaining('photos/.golooader') },
    })
  } finally {
    server.close()
  }
  rmSync(join(folder, 'socket'), { force: true })
})

test('hard links are files of their own', async () => {
  const folder = await photos()
  linkSync(join(folder, 'run.sh'), join(folder, 'the same'))
  const { contents } = readTar(await tarOf(await onlySource(folder)))
  expect(contents.get('photos/the same')).toEqual(contents.get('photos/run.sh'))
})

test('what has a name that is not UTF-8 is named and left out, unless a pattern names it; with strict the folder is refused', async () => {
  const folder = await photos()
  const at = (...parts: (string | number[])[]): Buffer =>
    Buffer.concat([`${folder}/`, ...parts].map((part) => Buffer.from(part as string)))
  mkdirSync(at('f', [0xe9], 'te'))
  writeFileSync(at('f', [0xe9], 'te/content'), '')
  // Both look the same, and like a file whose name has this character.
  for (const byte of [0xfe, 0xff]) writeFileSync(at('b/', [byte]), '')
  writeFileSync(join(folder, 'b/\uFFFD'), 'found')
  const source = await onlySource(folder)
  expect(source.leftOut).toEqual(
    ['f\uFFFDte', 'b/\uFFFD', 'b/\uFFFD'].map((name) => ({ path: `photos/${name}`, reason: 'its name is not UTF-8' })),
  )
  const { entries, contents } = readTar(await tarOf(source))
  expect(entries.map(({ path }) => path).filter((path) => path.includes('\uFFFD'))).toEqual(['photos/b/\uFFFD'])
  expect(Buffer.from(contents.get('photos/b/\uFFFD') ?? []).toString()).toBe('found')
  await expect(checkSources([folder], { isStrict: true })).rejects.toMatchObject({
    code: 'source-incomplete',
    details: { leftOut: 3, detail: expect.stringContaining('its name is not UTF-8') },
  })
  const others = await onlySource(folder, { exclude: ['f?te/', 'b/?'] })
  expect(others.leftOut).toEqual([])
})

test('patterns leave out what they name: of the command line, of files, of deeper files', async () => {
  const folder = join(await testFolder(), 't')
  for (const path of [
    'a.log',
    'A.LOG',
    'keep.log',
    'build/x',
    'sub/a.log',
    'sub/keep.log',
    'sub/deep/only.tmp',
    'sub/x',
    'x',
  ]) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), '')
  }
  writeFileSync(join(folder, '.golooaderignore'), '# comment\n*.log\n!keep.log\n/x\nbuild/\n')
  writeFileSync(join(folder, 'sub/.golooaderignore'), 'keep.log\n!a.log\n')
  const pathsWith = async (...exclude: string[]) => {
    const { entries } = readTar(await tarOf(await onlySource(folder, { exclude })))
    return entries.map(({ path }) => path.slice(2)).filter((path) => path !== '')
  }
  const found = ['A.LOG', 'keep.log', 'sub', 'sub/a.log', 'sub/deep', 'sub/deep/only.tmp', 'sub/x']
  expect(await pathsWith()).toEqual(found)
  expect(await pathsWith('*.tmp', 'sub/x')).toEqual(found.filter((path) => !/tmp|x/.test(path)))
  expect(await pathsWith('deep', '!x')).toEqual([...found.filter((path) => !path.includes('deep')), 'x'])
})

test('several paths become one folder', async () => {
  const [one, other] = [await photos(), await testFolder()]
  writeFileSync(join(other, 'notes.txt'), 'notes')
  const source = await onlySource([join(other, 'notes.txt'), one], { as: 'holiday' })
  expect(source.name).toBe('holiday.tar')
  const { entries, contents } = readTar(await tarOf(source))
  expect(entries.map(({ path }) => path)).toContain('holiday/photos/b/link')
  expect(Buffer.from(contents.get('holiday/notes.txt') ?? []).toString()).toBe('notes')
  mkdirSync(join(other, 'photos'))
  await expect(checkSources([one, join(other, 'photos')], { as: 'x' })).rejects.toMatchObject({
    code: 'paths-invalid',
  })
})

test('without times all entries are from 1970, and a time that changes does not matter', async () => {
  const folder = await photos()
  const source = await onlySource(folder, { withTimes: false })
  const { entries } = readTar(await tarOf(source))
  expect(new Set(entries.map(({ mtimeNs }) => mtimeNs))).toEqual(new Set([0n]))
  await using file = await source.open()
  utimesSync(join(folder, 'b.txt'), 1, 1)
  await file.assertUnchanged()
})

test('links and trailing slashes name the folder that they lead to', async () => {
  const folder = await photos()
  const parent = join(folder, '..')
  symlinkSync('photos', join(parent, 'shortcut'))
  const sources = await Promise.all([
    onlySource(`${folder}/`),
    onlySource(join(parent, 'shortcut')),
    onlySource(folder),
  ])
  expect(sources.map(({ name }) => name)).toEqual(['photos.tar', 'shortcut.tar', 'photos.tar'])
  expect(new Set(sources.map(({ place }) => place)).size).toBe(1)
})

test.each<[how: string, change: (folder: string) => void, path: string]>([
  ['grows', (folder) => appendFileSync(join(folder, 'b/large'), 'x'), 'photos/b/large'],
  ['is written to', (folder) => writeFileSync(join(folder, 'run.sh'), '#!/bin/no\n'), 'photos/run.sh'],
  ['becomes shorter', (folder) => truncateSync(join(folder, 'b/large'), 10), 'photos/b/large'],
  ['vanishes', (folder) => rmSync(join(folder, 'b.txt')), 'photos/b.txt'],
  ['vanishes as the last one', (folder) => rmSync(join(folder, 'run.sh')), 'photos/run.sh'],
  ['is new', (folder) => writeFileSync(join(folder, 'b/new'), ''), 'photos/b/new'],
  ['is new as the last one', (folder) => writeFileSync(join(folder, 'zzz'), ''), 'photos/zzz'],
  ['becomes executable', (folder) => chmodSync(join(folder, 'b.txt'), 0o755), 'photos/b.txt'],
  ['is replaced', (folder) => renameSync(join(folder, 'b/small 1'), join(folder, 'b/small 2')), 'photos/b/small 1'],
  [
    'becomes a link',
    (folder) => {
      rmSync(join(folder, 'run.sh'))
      symlinkSync('b.txt', join(folder, 'run.sh'))
    },
    'photos/run.sh',
  ],
  [
    'leads elsewhere',
    (folder) => {
      rmSync(join(folder, 'b/link'))
      symlinkSync('../b.txt', join(folder, 'b/link'))
    },
    'photos/b/link',
  ],
  ['vanishes with its folder', (folder) => rmSync(join(folder, 'b'), { recursive: true }), 'photos/b'],
  ['vanishes with all', (folder) => rmSync(folder, { recursive: true }), 'photos'],
  ['is at another time', (folder) => utimesSync(join(folder, 'b/empty'), 1, 1), 'photos/b/empty'],
])('a file that %s after it was found is noticed and named', async (_how, change, path) => {
  const folder = await photos()
  await using file = await (await onlySource(folder)).open()
  await file.assertUnchanged()
  change(folder)
  await expect(file.assertUnchanged()).rejects.toMatchObject({ code: 'source-changed', details: { path } })
})

test.each<[how: string, change: (path: string) => void]>([
  ['is shorter', (path) => truncateSync(path, 10)],
  ['is gone', (path) => rmSync(path)],
  [
    'is a folder',
    (path) => {
      rmSync(path)
      mkdirSync(path)
    },
  ],
  [
    'is a link',
    (path) => {
      rmSync(path)
      symlinkSync('run.sh', path)
    },
  ],
])('a file that %s when it is read is named, be it large or small', async (_how, change) => {
  for (const name of ['b/large', 'b.txt']) {
    const folder = await photos()
    await using file = await (await onlySource(folder)).open()
    change(join(folder, name))
    const reading = contentOf(file, 1_000_003)
    await expect(reading).rejects.toMatchObject({ code: 'source-changed', details: { path: `photos/${name}` } })
  }
})

test('the same folder has the same identity, and another content another one', async () => {
  const folder = await photos()
  const identityOf = async () => {
    await using file = await (await onlySource(folder)).open()
    return file.identity
  }
  const first = await identityOf()
  expect(await identityOf()).toEqual(first)
  chmodSync(join(folder, 'b.txt'), 0o755)
  const second = await identityOf()
  expect(second.sizeBytes).toBe(first.sizeBytes)
  expect(second).not.toEqual(first)
})

test('progress names the file that is under way', async () => {
  await using file = await (await onlySource(await photos())).open()
  expect(file.treeProgress?.(0)).toEqual({ done: 0, path: 'photos' })
  expect(file.treeProgress?.(file.identity.sizeBytes)).toEqual({ done: 53, path: 'photos/run.sh' })
})
