/** GNU tar reads what this program writes, and the other way round. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { headerOf, TreeParser } from '../../src/tree/index.ts'
import { testFolder } from '../suites/folder.ts'
import { randomBytes } from '../suites/random.ts'
import { file, folder, link, readTar, someTimeNs, tarOf } from './trees.ts'

const deepFolder = ['photos', 'a'.repeat(100), 'ö'.repeat(80), 'c'.repeat(120)]
const entries = [
  folder('photos', { mtimeNs: 1_000_000_000_000_000_001n }),
  ...deepFolder.slice(1).map((_, above) => folder(deepFolder.slice(0, above + 2).join('/'))),
  file(`${deepFolder.join('/')}/deep file`, randomBytes(1_000)),
  folder('photos/empty'),
  link('photos/größe', 'zähler'),
  link('photos/to the deep', `${deepFolder.slice(1).join('/')}/deep file`),
  file('photos/old', 'written before 1970', { mtimeNs: -1_500_000_001n }),
  file('photos/run.sh', '#!/bin/sh\n', { isExecutable: true, mtimeNs: 1_700_000_000_000_000_000n }),
  file('photos/zähler', randomBytes(512)),
]

test('GNU tar extracts a tree: contents, links, modes, and times to the nanosecond', async () => {
  const place = await testFolder()
  execFileSync('tar', ['-x', '-p', '-f', '-', '-C', place], { input: tarOf(entries) })
  for (const { path, kind, content, target, mtimeNs, isExecutable } of entries) {
    const stats = lstatSync(join(place, path), { bigint: true })
    expect(stats.mtimeNs, path).toBe(mtimeNs)
    if (kind === 'link') expect(readlinkSync(join(place, path))).toBe(target)
    if (kind === 'file') expect(readFileSync(join(place, path)).equals(content), path).toBe(true)
    if (kind === 'folder') expect(stats.isDirectory()).toBe(true)
    if (kind !== 'link') expect(stats.mode & 0o777n, path).toBe(kind === 'folder' || isExecutable ? 0o755n : 0o644n)
  }
})

test('GNU tar lists a tree without a word of complaint', () => {
  const listed = execFileSync('tar', ['-t', '--quoting-style=literal', '-f', '-'], {
    input: tarOf(entries),
    stdio: 'pipe',
  })
  expect(listed.toString().trimEnd().split('\n')).toEqual(
    entries.map(({ path, kind }) => (kind === 'folder' ? `${path}/` : path)),
  )
})

test('a file of more than 8 GiB has its size in a record, which GNU tar and the parser read', async () => {
  const place = await testFolder()
  const sizeBytes = 9 * 1024 ** 3 + 1
  const path = join(place, 'large.tar')
  const root = { ...folder('large'), sizeBytes: 0 }
  const large = { ...file('large/file', ''), sizeBytes }
  const headers = Buffer.concat([headerOf(root), headerOf(large)])
  // A hole instead of content.
  const descriptor = openSync(path, 'w')
  writeSync(descriptor, headers)
  writeSync(descriptor, new Uint8Array(1024), 0, 1024, headers.length + Math.ceil(sizeBytes / 512) * 512)
  expect(execFileSync('tar', ['-tvf', path]).toString()).toMatch(new RegExp(` ${sizeBytes} .* large/file\n`))
  const read = [...new TreeParser().push(headers)].map((event) => event.type === 'entry' && event.entry.sizeBytes)
  expect(read).toEqual([0, sizeBytes])
})

test.each(['pax', 'gnu', 'ustar'])('a tree that GNU tar wrote with --format=%s is read', async (format) => {
  const place = await testFolder()
  const isUstar = format === 'ustar'
  const deep = join(...(isUstar ? ['t', 'a'.repeat(90), 'b'.repeat(60)] : deepFolder.with(0, 't')))
  mkdirSync(join(place, deep), { recursive: true })
  writeFileSync(join(place, deep, 'file'), 'content')
  chmodSync(join(place, deep, 'file'), 0o755)
  symlinkSync(isUstar ? 'target' : `${'ö'.repeat(90)}/target`, join(place, 't/link'))
  const stamp = isUstar || format === 'gnu' ? '@1732950000' : '@1732950000.123456789'
  execFileSync('find', ['t', '-exec', 'touch', '-h', '-d', stamp, '{}', '+'], { cwd: place })
  const tar = execFileSync('tar', ['-c', `--format=${format}`, '-f', '-', 't'], { cwd: place, stdio: 'pipe' })
  const { entries: read, contents } = readTar(tar)
  const names = deep.split('/')
  const mtimeNs = stamp.endsWith('9') ? someTimeNs : 1_732_950_000_000_000_000n
  const common = { sizeBytes: 0, mtimeNs, isExecutable: false, target: null }
  const folders = names.map((_, last) => ({ ...common, path: names.slice(0, last + 1).join('/'), kind: 'folder' }))
  expect(read.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toEqual([
    ...folders,
    { ...common, path: `${deep}/file`, kind: 'file', sizeBytes: 7, isExecutable: true },
    { ...common, path: 't/link', kind: 'link', target: readlinkSync(join(place, 't/link')) },
  ])
  expect(Buffer.from(contents.get(`${deep}/file`) ?? []).toString()).toBe('content')
})
