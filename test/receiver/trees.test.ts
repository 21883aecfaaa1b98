/** Folders that are received: what arrives, and what an archive of an attacker can do. */
import { lstatSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newTransferId, Problem, type TreeSize, treeMediaType } from '../../src/protocol/index.ts'
import { noTraits } from '../../src/receiver/incoming-file.ts'
import { type FolderInbox, openInbox } from '../../src/receiver/node-inbox.ts'
import { syncEach } from '../../src/receiver/node-tree-sync.ts'
import { settableTimeNs } from '../../src/tree/index.ts'
import { testFolder } from '../suites/folder.ts'
import { file, folder, link, type MadeEntry, someTimeNs, tarOf } from '../tree/trees.ts'
import { contentOf, unfinished, visible } from './folders.ts'
import { type ForgedEntry, forgedTar, forgedTree } from './forged-trees.ts'
import { receivePart, receiveTree, type TreeToReceive, treeIn } from './receive-tree.ts'
import { eventually, running } from './running.ts'
import { ScriptedPortal } from './scripted-portal.ts'

function sizeOf(entries: readonly MadeEntry[]): TreeSize {
  const files = entries.filter(({ kind }) => kind === 'file')
  return { fileCount: files.length, contentBytes: files.reduce((sum, { content }) => sum + content.length, 0) }
}

async function newInbox(): Promise<{ inbox: FolderInbox; at: string }> {
  const at = await testFolder()
  return { inbox: await openInbox(at, { mayCreate: true }), at }
}

async function receiveEntries(entries: readonly MadeEntry[], more: Partial<TreeToReceive> = {}) {
  const { inbox, at } = await newInbox()
  await using _inbox = inbox
  const name = await receiveTree(inbox, { tar: tarOf(entries), size: sizeOf(entries), ...more })
  return { name, path: join(at, name), at }
}

const some = [
  folder('photos'),
  file('photos/.hidden', 'dot'),
  file('photos/a.txt', 'content of a'),
  folder('photos/deep'),
  folder('photos/deep/deeper'),
  file('photos/deep/deeper/large.bin', Buffer.alloc(3 * 1024 * 1024, 'large')),
  link('photos/deep/up', '../a.txt'),
  folder('photos/empty'),
  file('photos/none', ''),
  file('photos/tool', '#!/bin/sh\n', { isExecutable: true }),
]

describe('a folder', () => {
  test('arrives as it was: files, folders, links, times and executable bits', async () => {
    const { path, at } = await receiveEntries(some)
    expect(await visible(at)).toEqual(['photos'])
    expect(await unfinished(at)).toEqual([expect.stringMatching(/\.commit$/)])
    const { 'deep/deeper/large.bin': large, ...rest } = treeIn(path)
    expect(large?.length).toBe(3 * 1024 * 1024)
    expect(rest).toEqual({
      '.hidden': 'dot',
      'a.txt': 'content of a',
      deep: '/',
      'deep/deeper': '/',
      'deep/up': '-> ../a.txt',
      empty: '/',
      none: '',
      tool: '#!/bin/sh\n',
    })
    for (const one of some) {
      const stats = lstatSync(join(at, one.path), { bigint: true })
      expect([one.path, stats.mtimeNs]).toEqual([one.path, settableTimeNs(someTimeNs)])
      if (one.kind === 'file') expect([one.path, (stats.mode & 0o100n) !== 0n]).toEqual([one.path, one.isExecutable])
    }
  })

  test('keeps the times of its arrival where they are not wanted, or not told', async () => {
    const startMs = Date.now() - 60_000
    const untold = some.map((entry) => ({ ...entry, mtimeNs: 0n }))
    for (const { path } of [await receiveEntries(some, { keepsTimes: false }), await receiveEntries(untold)]) {
      for (const one of ['', 'a.txt', 'deep/up', 'empty']) {
        expect(lstatSync(join(path, one)).mtimeMs).toBeGreaterThan(startMs)
      }
    }
  })

  test.each([
    ['in memory', 65_536],
    ['in files', 1024 * 1024 + 512],
  ])('whose parts come in another order is the same; early parts wait %s', async (_where, partSizeBytes) => {
    const parts = Math.ceil(tarOf(some).length / partSizeBytes)
    const order = Array.from({ length: parts }, (_, index) => parts - index)
    const { path, at } = await receiveEntries(some, { partSizeBytes, order })
    expect(treeIn(path)).toEqual(treeIn((await receiveEntries(some)).path))
    expect(await unfinished(at)).toEqual([expect.stringMatching(/\.commit$/)])
  })

  test('gets a number when its name is taken, at the end of the name, and replaces nothing', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    mkdirSync(join(at, 'photos.old'))
    writeFileSync(join(at, 'photos.old (1)'), 'a file')
    symlinkSync('/nowhere', join(at, 'photos.old (2)'))
    const tree = { tar: tarOf(some), size: sizeOf(some), name: 'photos.old' }
    const names = await Promise.all([receiveTree(inbox, tree), receiveTree(inbox, tree)])
    expect(names.sort()).toEqual(['photos.old (3)', 'photos.old (4)'])
    expect(readdirSync(join(at, 'photos.old'))).toEqual([])
    for (const name of names) expect(treeIn(join(at, name))['a.txt']).toBe('content of a')
  })

  test('is durable where each file has to be synced by itself, too', async () => {
    const { path } = await receiveEntries(some)
    await syncEach(path)
  })

  test('is begun again after a kill, and what was unpacked of it goes', async () => {
    const { inbox: killed, at } = await newInbox()
    const transferId = newTransferId()
    const tar = tarOf(some)
    const layout = { sizeBytes: tar.length, partSizeBytes: 65_536, digestAlgorithm: 'sha-256' } as const
    const { signal } = new AbortController()
    const incoming = await killed.open(transferId, layout, signal, { ...noTraits, tree: sizeOf(some) })
    for (const partNumber of [1, 3]) await receivePart(incoming, tar, layout, partNumber)
    await killed[Symbol.asyncDispose]()
    writeFileSync(join(at, '.golooader', `${transferId}.tree`, 'not of the tree'), '')
    await using inbox = await openInbox(at, { mayCreate: false })
    expect(await inbox.hasBegun(transferId)).toBe(true)
    expect(await inbox.unfinished()).toEqual([transferId])
    expect(await inbox.published(transferId)).toBeNull()
    await receiveTree(inbox, { tar, size: sizeOf(some), transferId })
    expect(treeIn(join(at, 'photos'))['not of the tree']).toBeUndefined()
    expect((await inbox.published(transferId))?.name).toBe('photos')
  })

  test('that is discarded leaves nothing', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const tree = { tar: tarOf(some).subarray(0, -1024), size: sizeOf(some), order: [1, 3, 2] }
    await expect(receiveTree(inbox, tree)).rejects.toMatchObject({ code: 'tree-invalid' })
    expect(await visible(at)).toEqual([])
    expect(await unfinished(at)).toEqual([])
  })
})

describe('names that cannot be written as they are', () => {
  test('are changed visibly, and keep entries apart that would meet', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const entries = [
      folder('photos'),
      file('photos/a:b', '1'),
      file('photos/a?b', '2'),
      file('photos/a_b', '3'),
      folder('photos/c:d'),
      file('photos/c:d/inside', '4'),
      folder('photos/c_d'),
      file('photos/c_d/inside', '5'),
      file('photos/caf\u00e9', '6'),
      file('photos/cafe\u0301', '7'),
      file('photos/.Golooader', '8'),
      file('photos/con.txt', '9'),
      file('photos/back\\slash', '10'),
    ]
    const size = sizeOf(entries)
    const tar = tarOf(entries)
    const transferId = newTransferId()
    const layout = { sizeBytes: tar.length, partSizeBytes: 65_536, digestAlgorithm: 'sha-256' } as const
    const incoming = await inbox.open(transferId, layout, new AbortController().signal, { ...noTraits, tree: size })
    await receivePart(incoming, tar, layout, 1)
    const renamed = incoming.tree?.takeRenamed() ?? []
    expect(Object.fromEntries(renamed.map(({ path, writtenAs }) => [path, writtenAs]))).toEqual({
      'a:b': 'a_b',
      'a?b': 'a_b (1)',
      a_b: 'a_b (2)',
      'c:d': 'c_d',
      c_d: 'c_d (1)',
      'cafe\u0301': 'caf\u00e9 (1)',
      '.Golooader': '_Golooader',
      'con.txt': '_con.txt',
      'back\\slash': 'back_slash',
    })
    expect(incoming.tree?.progress).toEqual({ ...size, path: 'photos/back\\slash' })
    await inbox.commit(transferId, 'photos', { manifestDigest: '00', receipt: null }, incoming.finish())
    const found = treeIn(join(at, 'photos'))
    expect(found['c_d/inside']).toBe('4')
    expect(found['c_d (1)/inside']).toBe('5')
    expect(
      Object.values(found)
        .filter((content) => content !== '/')
        .sort((a, b) => Number(a) - Number(b)),
    ).toEqual(Array.from({ length: 10 }, (_, index) => String(index + 1)))
  })
})

describe('an archive of an attacker', () => {
  const hostile: Record<string, readonly ForgedEntry[]> = {
    'with a path that leads out': [{ name: 'photos/../../evil', content: 'x' }],
    'with a path that leads out by its record': [{ name: 'a', content: 'x', records: { path: 'photos/../../evil' } }],
    'with an absolute path': [{ name: '/tmp/evil', content: 'x' }],
    'with an absolute path in a record': [{ name: 'a', content: 'x', records: { path: '/tmp/evil' } }],
    'with a file beside the root folder': [{ name: 'evil', content: 'x' }],
    'with a link that leads out': [{ name: 'photos/out', type: '2', linkName: '../../..' }],
    'with a link that leads out by way of another one': [
      { name: 'photos/a/', type: '5' },
      { name: 'photos/a/b/', type: '5' },
      { name: 'photos/top', type: '2', linkName: '.' },
      { name: 'photos/a/b/out', type: '2', linkName: 'x/../../../../evil' },
    ],
    'with an absolute link': [{ name: 'photos/out', type: '2', linkName: '/etc' }],
    'with a hard link': [{ name: 'photos/out', type: '1', linkName: '/etc/passwd' }],
    'with a device': [{ name: 'photos/disk', type: '4' }],
    'with a FIFO': [{ name: 'photos/pipe', type: '6' }],
    'with more files than announced': [
      { name: 'photos/1', content: 'x' },
      { name: 'photos/2', content: 'x' },
    ],
    'with more bytes than announced': [{ name: 'photos/1', content: 'xy' }],
    'with a file that is said to be huge': [{ name: 'photos/1', content: 'x', sizeBytes: 8 * 1024 ** 3 - 1 }],
    'with fewer files than announced': [],
    'that is too deep': [{ name: 'a', content: 'x', records: { path: `photos/${'d/'.repeat(300)}f` } }],
    'whose path is too long': [{ name: 'a', content: 'x', records: { path: `photos/${'name/'.repeat(1000)}f` } }],
    'with giant records': [{ name: 'photos/a', content: 'x', records: { comment: 'x'.repeat(2 * 1024 ** 2) } }],
    'with a NUL in a name': [{ name: 'a', content: 'x', records: { path: 'photos/a\0b' } }],
  }

  test.each(Object.entries(hostile))('%s is refused, and nothing of it stays', async (_what, entries) => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const tar = forgedTree(entries)
    const refusal = receiveTree(inbox, { tar, size: { fileCount: 1, contentBytes: 1 } })
    await expect(refusal).rejects.toMatchObject({ code: 'tree-invalid' })
    // Each is refused for what it is.
    if (entries.length > 0) await expect(refusal).rejects.not.toThrow('fewer files')
    expect(await visible(at)).toEqual([])
    expect(await unfinished(at)).toEqual([])
    expect(await visible(join(at, '..'))).not.toContain('evil')
  })

  test('that is no tar is refused', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    for (const tar of [Buffer.alloc(5000, 'x'), Buffer.alloc(1024), forgedTar([{ name: 'photos', content: 'x' }])]) {
      await expect(receiveTree(inbox, { tar, size: { fileCount: 1, contentBytes: 1 } })).rejects.toMatchObject({
        code: 'tree-invalid',
      })
    }
    expect(await unfinished(at)).toEqual([])
  })

  test('that writes through its own link writes a folder beside it', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const tar = forgedTree([
      { name: 'photos/target/', type: '5' },
      { name: 'photos/link', type: '2', linkName: 'target' },
      { name: 'photos/link/file', content: 'x' },
    ])
    await receiveTree(inbox, { tar, size: { fileCount: 1, contentBytes: 1 } })
    expect(treeIn(join(at, 'photos'))).toEqual({
      'link (1)': '-> target',
      link: '/',
      'link/file': 'x',
      target: '/',
    })
  })

  test('makes no link by way of another link, neither beside it nor outside of the tree', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    mkdirSync(join(at, 'mine', 'deep'), { recursive: true })
    const tar = forgedTree([
      { name: 'photos/b/', type: '5' },
      { name: 'photos/b/c/', type: '5' },
      { name: 'photos/p/', type: '5' },
      { name: 'photos/p/q/', type: '5' },
      // To the root folder, as it may.
      { name: 'photos/p/q/top', type: '2', linkName: '../..' },
      // Both lie deeper by their paths than where the link leads.
      { name: 'photos/p/q/top/b/out', type: '2', linkName: '../../..' },
      { name: 'photos/b/out/mine/deep/planted', type: '2', linkName: 'x' },
      { name: 'photos/file', content: 'x' },
    ])
    await receiveTree(inbox, { tar, size: { fileCount: 1, contentBytes: 1 } })
    expect(treeIn(join(at, 'mine'))).toEqual({ deep: '/' })
    expect(treeIn(join(at, 'photos'))).toEqual({
      b: '/',
      'b/c': '/',
      'b/out': '/',
      'b/out/mine': '/',
      'b/out/mine/deep': '/',
      'b/out/mine/deep/planted': '-> x',
      file: 'x',
      p: '/',
      'p/q': '/',
      'p/q/top': '/',
      'p/q/top/b': '/',
      'p/q/top/b/out': '-> ../../..',
      'p/q/top (1)': '-> ../..',
    })
  })

  test('with long paths that make many folders is refused', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const paths = Array.from({ length: 250 }, (_, index) => `photos/${index}/${'d/'.repeat(40)}f`)
    const tar = forgedTree(paths.map((path) => ({ name: 'a', records: { path } })))
    await expect(receiveTree(inbox, { tar, size: { fileCount: 250, contentBytes: 0 } })).rejects.toMatchObject({
      code: 'tree-invalid',
      message: expect.stringContaining('no entry of their own'),
    })
    expect(await unfinished(at)).toEqual([])
  })

  test('whose folder has the name that another one was given keeps both apart', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const tar = forgedTree([
      { name: 'photos/a:/', type: '5' },
      { name: 'photos/a_/inside', content: 'x' },
      { name: 'photos/b:/inside', content: 'x' },
      { name: 'photos/b_/inside', content: 'x' },
    ])
    await receiveTree(inbox, { tar, size: { fileCount: 3, contentBytes: 3 } })
    expect(treeIn(join(at, 'photos'))).toEqual({
      a_: '/',
      'a_ (1)': '/',
      'a_ (1)/inside': 'x',
      b_: '/',
      'b_/inside': 'x',
      'b_ (1)': '/',
      'b_ (1)/inside': 'x',
    })
  })

  test('with the same path several times loses none of them, and follows none', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const tar = forgedTree([
      { name: 'photos/a', content: '1' },
      { name: 'photos/a', content: '2' },
      { name: 'photos/a/b', content: '3' },
      { name: 'photos/a', type: '2', linkName: 'a/b' },
      { name: 'photos/c/', type: '5' },
      { name: 'photos/c/', type: '5' },
      { name: 'photos/c/d', content: '4' },
    ])
    await receiveTree(inbox, { tar, size: { fileCount: 4, contentBytes: 4 } })
    const found = treeIn(join(at, 'photos'))
    expect(Object.values(found).sort()).toEqual(['-> a/b', '/', '/', '1', '2', '3', '4'])
    expect(found['c/d']).toBe('4')
  })

  test('with setuid bits and the names of other owners sets neither', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const tar = forgedTree([{ name: 'photos/su', content: 'x', mode: 0o7777 }])
    await receiveTree(inbox, { tar, size: { fileCount: 1, contentBytes: 1 } })
    expect(statSync(join(at, 'photos', 'su')).mode & 0o7022).toBe(0)
  })

  test('with many names that cannot be kept is refused', async () => {
    const { inbox, at } = await newInbox()
    await using _inbox = inbox
    const tar = forgedTree(Array.from({ length: 1_200 }, () => ({ name: 'photos/same' })))
    await expect(receiveTree(inbox, { tar, size: { fileCount: 1_200, contentBytes: 0 } })).rejects.toMatchObject({
      code: 'tree-invalid',
    })
    expect(await unfinished(at)).toEqual([])
  })
})

test('a tar that is damaged anywhere is refused, or makes a folder; nothing else happens', async () => {
  const { inbox, at } = await newInbox()
  await using _inbox = inbox
  const entries = some.map((entry) => ({ ...entry, content: entry.content.subarray(0, 2000) }))
  const tar = tarOf(entries)
  const size = sizeOf(entries)
  await fc.assert(
    fc.asyncProperty(fc.nat(tar.length - 1), fc.nat(255), async (place, byte) => {
      const damaged = Buffer.from(tar)
      damaged[place] = byte
      const code = await receiveTree(inbox, { tar: damaged, size }).then(
        () => 'received',
        (error: unknown) => (error instanceof Problem ? error.code : `not a problem: ${error}`),
      )
      expect(['received', 'tree-invalid']).toContain(code)
    }),
    { numRuns: 60 },
  )
  for (const name of await visible(at)) expect(name).toMatch(/^photos/)
  expect((await unfinished(at)).filter((name) => !name.endsWith('.commit'))).toEqual([])
})

test('while a part is missing, others are fetched 64 MiB ahead at most, and wait in files that go', async () => {
  const partSizeBytes = 8 * 1024 * 1024
  const large = [folder('photos'), file('photos/zeros', Buffer.alloc(12 * partSizeBytes))]
  const portal = await ScriptedPortal.start()
  const gate = Promise.withResolvers<'serve'>()
  portal.onPart = (partNumber) => (partNumber === 1 ? gate.promise : 'serve')
  const at = await testFolder()
  const { events, seen } = running(portal, at, { partsInFlight: 12, idleMs: 90_000 })
  const mediaType = treeMediaType(sizeOf(large))
  portal.send(contentOf(tarOf(large), partSizeBytes), { metadata: { name: 'photos.tar', mediaType } })
  const heldBytes = () => events.reduce((most, one) => (one.type === 'fetching' ? one.heldBytes : most), 0)
  await eventually(() => expect(heldBytes()).toBe(7 * partSizeBytes))
  expect(Math.max(...portal.asked)).toBe(8)
  const own = join(at, '.golooader')
  const waiting = readdirSync(own).filter((name) => name.includes('.waiting-'))
  expect(waiting).toHaveLength(7)
  gate.resolve('serve')
  await seen('received')
  expect(statSync(join(at, 'photos', 'zeros')).size).toBe(12 * partSizeBytes)
  expect(readdirSync(own).filter((name) => name.includes('.waiting-'))).toEqual([])
})
