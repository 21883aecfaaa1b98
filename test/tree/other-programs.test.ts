/** Programs that people have read the tar of a tree as that tree, and a receiver makes a folder of what they write. */
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { openInbox } from '../../src/receiver/node-inbox.ts'
import { receiveTree, treeIn } from '../receiver/receive-tree.ts'
import { type ProgramName, programPath, requireServer } from '../servers/install.ts'
import { testFolder } from '../suites/folder.ts'
import { randomBytes } from '../suites/random.ts'
import { file, folder, link, type MadeEntry, tarOf } from './trees.ts'

/** A time that all of these programs can set, and the years of which they all know. */
const time = { mtimeNs: 1_732_950_000_123_456_716n }
const deep = ['photos', 'a'.repeat(100), 'ö'.repeat(80), 'c'.repeat(120)]
const entries: readonly MadeEntry[] = [
  folder('photos', { mtimeNs: 1_000_000_000_000_000_000n }),
  file('photos/-f', 'no option', time),
  ...deep.slice(1).map((_, above) => folder(deep.slice(0, above + 2).join('/'), time)),
  file(`${deep.join('/')}/deep file`, randomBytes(1_000), time),
  folder('photos/empty', time),
  link('photos/größe', 'zähler'),
  file('photos/line\nbreak\tand "quote"', '', time),
  file('photos/run.sh', '#!/bin/sh\n', { isExecutable: true, mtimeNs: 1_700_000_000_000_000_000n }),
  link('photos/to the deep', `${deep.slice(1).join('/')}/deep file`),
  file('photos/zähler', randomBytes(512), time),
  file('photos/\u{1F600}', randomBytes(513), time),
]

interface Reader {
  readonly program: ProgramName
  readonly args: readonly string[]
  /** Programs that do not set the times of links and folders, nor fractions of seconds. */
  readonly setsTimes: boolean
}

/** Without this, bsdtar and others take names for ASCII on a machine without a locale. */
const env = { ...process.env, LC_ALL: 'C.UTF-8' }

/** Debian 12's Python has no argument `filter`, and later ones change modes without it. */
const intoHere =
  "import sys, tarfile; tar = tarfile.open(sys.argv[1]); how = {'filter': 'tar'} if hasattr(tarfile, 'tar_filter') else {}; tar.extractall(**how)"
const readers: Record<string, Reader> = {
  'GNU tar': { program: 'tar', args: ['-xpf'], setsTimes: true },
  bsdtar: { program: 'bsdtar', args: ['-xpf'], setsTimes: true },
  BusyBox: { program: 'busybox', args: ['tar', '-xpf'], setsTimes: false },
  'the tarfile of Python': { program: 'python3', args: ['-c', intoHere], setsTimes: true },
  '7-Zip': { program: '7zz', args: ['x', '-y', '-bso0'], setsTimes: true },
}

beforeAll(async () => {
  for (const name of ['tar', 'bsdtar', 'busybox', 'python', '7zip'] as const) await requireServer(name)
})

test.each(Object.entries(readers))(
  '%s extracts a tree: names, contents, links, modes and times',
  async (name, { program, args, setsTimes }) => {
    const place = await testFolder()
    const tar = join(await testFolder(), 'photos.tar')
    writeFileSync(tar, tarOf(entries))
    execFileSync(programPath(program), [...args, tar], { cwd: place, stdio: 'pipe', env })
    const expected = entries.slice(1).map(({ path, kind, content, target }) => {
      const shown = kind === 'folder' ? '/' : kind === 'link' ? `-> ${target}` : Buffer.from(content).toString('latin1')
      return [path.slice('photos/'.length), shown]
    })
    expect(treeIn(join(place, 'photos'))).toEqual(Object.fromEntries(expected))
    for (const { path, kind, mtimeNs, isExecutable } of entries) {
      const stats = lstatSync(join(place, path), { bigint: true })
      if (kind !== 'link') expect(stats.mode & 0o777n, path).toBe(kind === 'folder' || isExecutable ? 0o755n : 0o644n)
      // Python sets no times of links.
      if (setsTimes && !(kind === 'link' && name.includes('Python'))) expect(stats.mtimeNs, path).toBe(mtimeNs)
      if (!setsTimes && kind === 'file') expect(stats.mtimeNs / 10n ** 9n, path).toBe(mtimeNs / 10n ** 9n)
    }
  },
)

const fromHere = (format: string): string =>
  `import sys, tarfile; t = tarfile.open(sys.argv[1], 'w', format=tarfile.${format}); t.add('photos'); t.close()`

interface Writer {
  readonly program: ProgramName
  readonly args: (tar: string) => readonly string[]
  /** Whether it writes fractions of seconds, as exactly as this program sets them. */
  readonly hasFractions: boolean
}

const writers: Record<string, Writer> = {
  'GNU tar, pax': { program: 'tar', args: (tar) => ['--format=pax', '-cf', tar, 'photos'], hasFractions: true },
  'GNU tar, gnu': { program: 'tar', args: (tar) => ['--format=gnu', '-cf', tar, 'photos'], hasFractions: false },
  'bsdtar, pax': { program: 'bsdtar', args: (tar) => ['--format=pax', '-cf', tar, 'photos'], hasFractions: true },
  'bsdtar, gnutar': {
    program: 'bsdtar',
    args: (tar) => ['--format=gnutar', '-cf', tar, 'photos'],
    hasFractions: false,
  },
  BusyBox: { program: 'busybox', args: (tar) => ['tar', '-cf', tar, 'photos'], hasFractions: false },
  'Python, pax': { program: 'python3', args: (tar) => ['-c', fromHere('PAX_FORMAT'), tar], hasFractions: false },
  'Python, gnu': { program: 'python3', args: (tar) => ['-c', fromHere('GNU_FORMAT'), tar], hasFractions: false },
  '7-Zip': { program: '7zz', args: (tar) => ['a', '-ttar', '-snl', '-bso0', tar, 'photos'], hasFractions: false },
  '7-Zip, pax': {
    program: '7zz',
    args: (tar) => ['a', '-ttar', '-mm=pax', '-mtp=1', '-snl', '-bso0', tar, 'photos'],
    hasFractions: false,
  },
}

test.each(Object.entries(writers))(
  'a tar of %s is received as the folder that it was made of',
  async (_name, { program, args, hasFractions }) => {
    const place = await testFolder()
    for (const { path, kind, content, target, isExecutable } of entries) {
      const at = join(place, path)
      if (kind === 'folder') mkdirSync(at)
      else if (kind === 'link') symlinkSync(target ?? '', at)
      else writeFileSync(at, content, { mode: isExecutable ? 0o755 : 0o644 })
    }
    execFileSync('find', ['photos', '-exec', 'touch', '-h', '-d', '@1732950000.123456716', '{}', '+'], { cwd: place })
    const path = join(await testFolder(), 'photos.tar')
    execFileSync(programPath(program), [...args(path)], { cwd: place, stdio: 'pipe', env })
    const tar = execFileSync('cat', [path], { maxBuffer: 1024 ** 3 })
    const files = entries.filter(({ kind }) => kind === 'file')
    const contentBytes = files.reduce((sum, { content }) => sum + content.length, 0)

    const at = await testFolder()
    await using inbox = await openInbox(at, { mayCreate: true })
    await receiveTree(inbox, { tar, size: { fileCount: files.length, contentBytes } })
    // The names of these files are changed here.
    const expected = Object.entries(treeIn(join(place, 'photos'))).map(([name, shown]) => [
      name.replace(/[\n\t"]/g, '_').replace(/^-/, '_'),
      shown,
    ])
    expect(treeIn(join(at, 'photos'))).toEqual(Object.fromEntries(expected))
    for (const name of ['run.sh', 'zähler', 'empty', 'größe']) {
      const stats = lstatSync(join(at, 'photos', name), { bigint: true })
      if (name !== 'größe') expect([name, (stats.mode & 0o100n) !== 0n]).toEqual([name, name !== 'zähler'])
      if (hasFractions) expect([name, stats.mtimeNs]).toEqual([name, 1_732_950_000_123_456_716n])
      else expect([name, stats.mtimeNs / 10n ** 9n]).toEqual([name, 1_732_950_000n])
    }
    expect(readlinkSync(join(at, 'photos/größe'))).toBe('zähler')
  },
)
