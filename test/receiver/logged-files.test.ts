/**
 * Small files are published with a log. The tests check what is left, and what is restored, after a power loss before
 * the sync.
 */
import { mkdir, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { type KeptTraits, noTraits } from '../../src/receiver/incoming-file.ts'
import { type FolderInbox, openInbox } from '../../src/receiver/node-inbox.ts'
import { testFolder } from '../suites/folder.ts'
import { unfinished, visible } from './folders.ts'

const { signal } = new AbortController()

/** Receives a small file up to its name, without the portal's word for it. @returns its transferId */
async function receive(
  inbox: FolderInbox,
  name: string,
  text = `content of ${name}`,
  traits: KeptTraits = noTraits,
): Promise<string> {
  const transferId = newTransferId()
  const bytes = Buffer.from(text)
  const layout = { sizeBytes: bytes.length, partSizeBytes: 65_536, digestAlgorithm: 'sha-256' } as const
  const file = await inbox.open(transferId, layout, signal, traits)
  const digest = digestOf('sha-256', bytes)
  if (bytes.length > 0) {
    const part = { partNumber: 1, lengthBytes: bytes.length, digestAlgorithm: 'sha-256', digest, seal: null } as const
    await file.receivePart({ ...part, body: Readable.from([bytes]) }, { idleMs: 10_000, signal })
  }
  const manifestDigest = manifestDigestOf('sha-256', bytes.length > 0 ? [digest] : [])
  await inbox.commit(transferId, name, { manifestDigest, receipt: null }, file.finish())
  return transferId
}

function logOf(folder: string): DatabaseSync {
  return new DatabaseSync(join(folder, '.golooader', 'received', 'small-files.sqlite'))
}

/** As if the machine had been started again since. */
function startMachineAgain(folder: string): void {
  using log = logOf(folder)
  log.exec("update deliveries set boot_id = 'before'")
}

function contentsInLog(folder: string): number {
  using log = logOf(folder)
  return Number(log.prepare('select count(*) as count from deliveries where content is not null').get()?.count)
}

async function textOf(folder: string, name: string): Promise<string> {
  return readFile(join(folder, name), 'utf8')
}

test('small files are published, recorded, and leave nothing unfinished', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const ids = await Promise.all(
    ['a.txt', 'a.txt', 'b.txt', 'empty'].map((name) => receive(inbox, name, name === 'empty' ? '' : name)),
  )
  expect(await visible(folder)).toEqual(['a (1).txt', 'a.txt', 'b.txt', 'empty'])
  expect(await unfinished(folder)).toEqual([])
  expect((await inbox.unfinished()).sort()).toEqual([...ids].sort())
  for (const id of ids) await inbox.answered(id)
  expect(await inbox.unfinished()).toEqual([])
  // Offered once more, each gets the same answer.
  expect((await inbox.published(ids[3] ?? ''))?.name).toBe('empty')
})

test('files are synced when their receiver ends, so that no later start is needed', async () => {
  const folder = await testFolder()
  {
    await using inbox = await openInbox(folder, { mayCreate: true })
    for (const name of ['one', 'two']) await inbox.answered(await receive(inbox, name))
    await inbox.settle()
  }
  expect(contentsInLog(folder)).toBe(0)
  expect(await visible(folder)).toEqual(['one', 'two'])
})

test('the next run knows the answers of the last, also where the user has moved the file away', async () => {
  const folder = await testFolder()
  const ids: string[] = []
  {
    await using inbox = await openInbox(folder, { mayCreate: true })
    ids.push(await receive(inbox, 'answered.txt'), await receive(inbox, 'open.txt'))
    await inbox.answered(ids[0] ?? '')
    await rm(join(folder, 'answered.txt'))
    await rename(join(folder, 'open.txt'), join(folder, 'mine.txt'))
  }
  await using inbox = await openInbox(folder, { mayCreate: false })
  expect(await visible(folder)).toEqual(['mine.txt'])
  expect(await inbox.unfinished()).toEqual([ids[1]])
  for (const id of ids) expect(await inbox.published(id)).not.toBeNull()
  await inbox.discard(ids[1] ?? '')
  expect(await inbox.unfinished()).toEqual([])
  expect(await visible(folder)).toEqual(['mine.txt'])
})

describe('after a power loss before files were synced, the next start', () => {
  const lost: Record<string, (path: string) => Promise<unknown>> = {
    'the name': (path) => rm(path),
    'the content': (path) => truncate(path, 0),
    'part of the content': (path) => writeFile(path, Buffer.alloc(7)),
    'the end of the content': (path) => truncate(path, 5),
    'the end of the content, which reads as zeros': async (path) => {
      const { size } = await stat(path)
      await truncate(path, 5)
      await truncate(path, size)
    },
    nothing: async () => {},
  }
  test.each(Object.entries(lost))('restores what the disk has lost: %s', async (_, lose) => {
    const folder = await testFolder()
    const ids: string[] = []
    {
      await using inbox = await openInbox(folder, { mayCreate: true })
      for (const name of ['one', 'two']) ids.push(await receive(inbox, name))
      await inbox.answered(ids[0] ?? '')
    }
    for (const name of ['one', 'two']) await lose(join(folder, name))
    startMachineAgain(folder)
    await using inbox = await openInbox(folder, { mayCreate: false })
    expect(await visible(folder)).toEqual(['one', 'two'])
    for (const name of ['one', 'two']) expect(await textOf(folder, name)).toBe(`content of ${name}`)
    expect(await unfinished(folder)).toEqual([])
    for (const [index, id] of ids.entries()) expect((await inbox.published(id))?.name).toBe(['one', 'two'][index])
  })

  test.each(Object.entries(lost))('gives time and executable bit back, too: %s', async (_, lose) => {
    const folder = await testFolder()
    const path = join(folder, 'tool')
    const traits = { ...noTraits, mtimeNs: 1_500_000_000_500_000_000n, isExecutable: true }
    {
      await using inbox = await openInbox(folder, { mayCreate: true })
      await receive(inbox, 'tool', undefined, traits)
    }
    const before = await stat(path, { bigint: true })
    expect(before.mtimeNs).toBe(traits.mtimeNs)
    await lose(path)
    await utimes(path, 1, 1).catch(() => {})
    startMachineAgain(folder)
    await using _inbox = await openInbox(folder, { mayCreate: false })
    const { mtimeNs, mode } = await stat(path, { bigint: true })
    expect({ mtimeNs, mode }).toEqual({ mtimeNs: traits.mtimeNs, mode: before.mode })
    expect(await textOf(folder, 'tool')).toBe('content of tool')
  })

  test('keeps what the user has written since, and waits for a new offer of files that may never have had their name', async () => {
    const folder = await testFolder()
    const ids: string[] = []
    {
      await using inbox = await openInbox(folder, { mayCreate: true })
      for (const name of ['answered', 'open', 'folder']) ids.push(await receive(inbox, name))
      await inbox.answered(ids[0] ?? '')
    }
    for (const name of ['answered', 'open']) await writeFile(join(folder, name), 'of the user')
    await rm(join(folder, 'folder'))
    await mkdir(join(folder, 'folder'))
    startMachineAgain(folder)
    await using inbox = await openInbox(folder, { mayCreate: false })
    for (const name of ['answered', 'open']) expect(await textOf(folder, name)).toBe('of the user')
    expect((await inbox.published(ids[0] ?? ''))?.name).toBe('answered')
    for (const id of ids.slice(1)) expect(await inbox.published(id)).toBeNull()
    expect((await stat(join(folder, 'folder'))).isDirectory()).toBe(true)
  })

  test('restores nothing twice', async () => {
    const folder = await testFolder()
    {
      await using inbox = await openInbox(folder, { mayCreate: true })
      await inbox.answered(await receive(inbox, 'one'))
    }
    await rm(join(folder, 'one'))
    startMachineAgain(folder)
    await (await openInbox(folder, { mayCreate: false }))[Symbol.asyncDispose]()
    expect(contentsInLog(folder)).toBe(0)
    await rm(join(folder, 'one'))
    startMachineAgain(folder)
    await using _inbox = await openInbox(folder, { mayCreate: false })
    expect(await visible(folder)).toEqual([])
  })
})

test('a log that cannot be used does not stop the receiver', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  // Where the log would lie there is a folder.
  await mkdir(join(folder, '.golooader', 'received', 'small-files.sqlite'), { recursive: true })
  const transferId = await receive(inbox, 'a.txt')
  expect(await textOf(folder, 'a.txt')).toBe('content of a.txt')
  await inbox.answered(transferId)
  expect(await readdir(join(folder, '.golooader', 'received'))).toHaveLength(2)
})

test('while the clocks do not agree that records are old, recent deliveries stay recorded', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const id = await receive(inbox, 'new.txt')
  await inbox.answered(id)
  await inbox.tidy({ ownMs: Date.now(), portalMs: Date.now() })
  expect(await inbox.published(id)).not.toBeNull()
  // Clocks alone move nothing: the newest transfer that was received has to be newer, too.
  const later = Date.now() + 400 * 86_400_000
  await inbox.tidy({ ownMs: later, portalMs: later })
  expect(await inbox.published(id)).not.toBeNull()
})
