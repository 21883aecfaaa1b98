/** Publishing a finished file: never over another file, and exactly once, wherever an earlier run ended. */
import { chmod, chown, link, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { type Clocks, PublishIncompleteError } from '../../src/receiver/index.ts'
import { type FolderInbox, openInbox } from '../../src/receiver/node-inbox.ts'
import { testFolder } from '../suites/folder.ts'
import { unfinished, visible } from './folders.ts'

const DAY_MS = 86_400_000
const manifestDigest = 'ab'.repeat(32)

/** A complete file that is not published yet. */
async function finished(inbox: FolderInbox, content = 'content', transferId = newTransferId()) {
  const paths = inbox.pathsOf(transferId)
  await writeFile(paths.partial, content)
  await writeFile(paths.parts, 'golooader-parts 2 7 7 sha-256\n')
  return { transferId, paths }
}

const record = (transferId: string, finalName: string) => JSON.stringify({ transferId, finalName, manifestDigest })

function rightClocks(): Clocks {
  return { ownMs: Date.now(), portalMs: Date.now() }
}

test('a file is published, and its record stays until the portal has the answer', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const { transferId } = await finished(inbox)
  expect(await inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })).toEqual({
    name: 'a.txt',
    manifestDigest,
    receipt: null,
  })
  expect(await visible(folder)).toEqual(['a.txt'])
  expect(await unfinished(folder)).toEqual([`${transferId}.commit`])
  expect(await inbox.published(transferId)).toEqual({ name: 'a.txt', manifestDigest, receipt: null })
  await inbox.answered(transferId)
  expect(await unfinished(folder)).not.toContain(`${transferId}.commit`)
  // A portal that offers it again gets the same answer.
  const answered = { name: 'a.txt', manifestDigest, receipt: null, isAnswered: true }
  expect(await inbox.published(transferId)).toEqual(answered)
})

test('an existing file is never replaced', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  await writeFile(join(folder, 'a.txt'), 'mine')
  await mkdir(join(folder, 'a (1).txt'))
  await symlink('nowhere', join(folder, 'a (2).txt'))
  const { transferId } = await finished(inbox)
  expect(await inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })).toMatchObject({
    name: 'a (3).txt',
  })
  expect(await readFile(join(folder, 'a.txt'), 'utf8')).toBe('mine')
  expect(await readFile(join(folder, 'a (3).txt'), 'utf8')).toBe('content')
  expect(await visible(folder)).toHaveLength(4)
})

test('many concurrent files of one name are all kept', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const contents = Array.from({ length: 20 }, (_, index) => `content ${index}`)
  const waiting = await Promise.all(contents.map((content) => finished(inbox, content)))
  await Promise.all(
    waiting.map(({ transferId }) => inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })),
  )
  const names = await visible(folder)
  const found = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  expect(found.sort()).toEqual(contents.sort())
})

describe('a restart finds out what happened after a kill', () => {
  /** An inbox with a complete file and its record: the state right before the file gets its name. */
  async function recorded(content?: string) {
    const folder = await testFolder()
    const inbox = await openInbox(folder, { mayCreate: true })
    onTestFinished(() => inbox[Symbol.asyncDispose]())
    const { transferId, paths } = await finished(inbox, content)
    await writeFile(paths.commit, record(transferId, 'a.txt'))
    return { folder, inbox, transferId, paths }
  }

  test('before anything was recorded: the file was not published', async () => {
    const folder = await testFolder()
    await using inbox = await openInbox(folder, { mayCreate: true })
    const { transferId } = await finished(inbox)
    expect(await inbox.published(transferId)).toBeNull()
  })

  test('between the record and the name: publishing is repeated, once', async () => {
    const { folder, inbox, transferId } = await recorded()
    expect(await inbox.published(transferId)).toBeNull()
    await inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })
    expect(await visible(folder)).toEqual(['a.txt'])
  })

  test.each([
    ['empty', 0],
    ['of one part', 10],
  ])('the same with a file that is %s, killed again just before it is fetched again', async (_, sizeBytes) => {
    const { folder, inbox, transferId, paths } = await recorded('x'.repeat(sizeBytes))
    expect(await inbox.published(transferId)).toBeNull()
    expect(await unfinished(folder)).not.toContain(`${transferId}.commit`)
    // The first step of a fetch; the kill comes before the new file is made.
    await rm(paths.parts)
    await rm(paths.partial)
    expect(await inbox.published(transferId)).toBeNull()
    expect(await visible(folder)).toEqual([])
  })

  test('killed a second time, when a backup had given it a second name', async () => {
    const { folder, inbox, transferId, paths } = await recorded()
    await link(paths.partial, join(folder, '.golooader', 'backup'))
    expect(await inbox.published(transferId)).toBeNull()
    await rm(paths.partial)
    expect(await inbox.published(transferId)).toBeNull()
  })

  test('between the name and the removal of the old one: the file was published', async () => {
    const { folder, inbox, transferId, paths } = await recorded()
    await link(paths.partial, join(folder, 'a.txt'))
    expect(await inbox.published(transferId)).toEqual({ name: 'a.txt', manifestDigest, receipt: null })
    expect(await visible(folder)).toEqual(['a.txt'])
    expect(await unfinished(folder)).toEqual([`${transferId}.commit`])
    expect((await stat(join(folder, 'a.txt'))).nlink).toBe(1)
  })

  test('the same, and the user has renamed the file since', async () => {
    const { folder, inbox, transferId, paths } = await recorded()
    await link(paths.partial, join(folder, 'renamed.txt'))
    expect(await inbox.published(transferId)).toMatchObject({ name: 'renamed.txt' })
    expect(await visible(folder)).toEqual(['renamed.txt'])
  })

  test('a second name from a backup elsewhere does not count as published', async () => {
    const { folder, inbox, transferId, paths } = await recorded()
    await link(paths.partial, join(folder, '.golooader', 'backup'))
    expect(await inbox.published(transferId)).toBeNull()
  })

  test('before the portal had the answer: the answer is repeated, even if the user moved the file away', async () => {
    const folder = await testFolder()
    await using inbox = await openInbox(folder, { mayCreate: true })
    const { transferId } = await finished(inbox)
    await inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })
    await rm(join(folder, 'a.txt'))
    expect(await inbox.published(transferId)).toEqual({ name: 'a.txt', manifestDigest, receipt: null })
    expect(await visible(folder)).toEqual([])
  })

  test('after the placeholder, where there are no hard links: its name is used, and no other', async () => {
    const { folder, inbox, transferId } = await recorded()
    const placeholder = `golooader: the file of transfer ${transferId} is about to take this place\n`
    await writeFile(join(folder, 'a.txt'), placeholder)
    expect(await inbox.published(transferId)).toBeNull()
    expect(await inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })).toMatchObject({ name: 'a.txt' })
    expect(await readFile(join(folder, 'a.txt'), 'utf8')).toBe('content')
    expect(await visible(folder)).toEqual(['a.txt'])
  })
})

test('a named file that is not durable yet is neither lost nor refused: the next try completes it', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const { transferId, paths } = await finished(inbox)
  // A folder, which cannot be removed like a file.
  await rm(paths.parts)
  await mkdir(paths.parts)
  await expect(inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })).rejects.toThrow(
    PublishIncompleteError,
  )
  await expect(inbox.published(transferId)).rejects.toThrow(PublishIncompleteError)
  await rm(paths.parts, { recursive: true })
  expect(await inbox.published(transferId)).toEqual({ name: 'a.txt', manifestDigest, receipt: null })
  expect(await visible(folder)).toEqual(['a.txt'])
})

test('a partial file is never removed before its record, however old the two are', async () => {
  const folder = await testFolder()
  const first = await openInbox(folder, { mayCreate: true })
  const oldId = newTransferId(Date.now() - 91 * DAY_MS)
  const [young, old] = [await finished(first), await finished(first, 'content', oldId)]
  for (const { transferId, paths } of [young, old]) await writeFile(paths.commit, record(transferId, 'a.txt'))
  const longAgo = new Date(Date.now() - 91 * DAY_MS)
  const aged = [young.paths.partial, ...Object.values(old.paths)]
  for (const path of aged) await utimes(path, longAgo, longAgo)
  await first[Symbol.asyncDispose]()

  await using second = await openInbox(folder, { mayCreate: true })
  await second.tidy(rightClocks())
  const names = await unfinished(folder)
  expect(names).toContain(`${young.transferId}.commit`)
  expect(names).toContain(`${young.transferId}.partial`)
  expect(names).not.toContain(`${old.transferId}.commit`)
  expect(names).not.toContain(`${old.transferId}.partial`)
  for (const { transferId } of [young, old]) expect(await second.published(transferId)).toBeNull()
})

test('a file that was finished with an old time of its own is no leftover', async () => {
  const folder = await testFolder()
  const first = await openInbox(folder, { mayCreate: true })
  const { transferId, paths } = await finished(first)
  await utimes(paths.partial, 1, 1)
  await first[Symbol.asyncDispose]()
  await using second = await openInbox(folder, { mayCreate: true })
  await second.tidy(rightClocks())
  expect(await second.hasBegun(transferId)).toBe(true)
  expect(await unfinished(folder)).toContain(`${transferId}.partial`)
})

test('discarded files are removed, and published ones stay', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const { transferId, paths } = await finished(inbox)
  await writeFile(paths.commit, record(transferId, 'a.txt'))
  await link(paths.partial, join(folder, 'a.txt'))
  await inbox.discard(transferId)
  expect(await unfinished(folder)).toEqual([])
  expect(await visible(folder)).toEqual(['a.txt'])
})

test('a folder keeps its instance id, and old unfinished files are removed', async () => {
  const folder = join(await testFolder(), 'new', 'deep')
  const first = await openInbox(folder, { mayCreate: true })
  const { transferId: old, paths } = await finished(first)
  const { transferId: young } = await finished(first)
  const { transferId: unanswered, paths: recorded } = await finished(first)
  await writeFile(recorded.commit, record(unanswered, 'a.txt'))
  const longAgo = new Date(Date.now() - 9 * DAY_MS)
  for (const path of [...Object.values(paths).slice(0, 2), ...Object.values(recorded)])
    await utimes(path, longAgo, longAgo)
  // What a receiver that was killed has left of a folder.
  const tree = join(folder, '.golooader', old)
  await mkdir(`${tree}.tree`)
  for (const path of [join(`${tree}.tree`, 'file'), `${tree}.later`, `${tree}.waiting-7`]) await writeFile(path, 'x')
  for (const ending of ['tree', 'later', 'waiting-7']) await utimes(`${tree}.${ending}`, longAgo, longAgo)
  // A temporary file of a receiver that was killed while it replaced a small file. Only the next start removes it.
  await writeFile(join(folder, '.golooader', '.0a1b2c3d4e5f.partial'), 'x')
  await first[Symbol.asyncDispose]()

  await using second = await openInbox(folder, { mayCreate: true })
  expect(second.instanceId).toBe(first.instanceId)
  const [right, ahead] = [Date.now(), Date.now() + 200 * DAY_MS]
  // Neither clock decides alone.
  for (const clocks of [
    { ownMs: ahead, portalMs: right - 2 * DAY_MS },
    { ownMs: right - 2 * DAY_MS, portalMs: ahead },
    { ownMs: ahead, portalMs: null },
  ]) {
    await second.tidy(clocks)
    expect(await unfinished(folder)).toContain(`${old}.partial`)
  }
  await second.tidy(rightClocks())
  const ids = new Set((await unfinished(folder)).map((name) => name.slice(0, name.indexOf('.'))))
  expect(ids).toEqual(new Set([young, unanswered]))
  expect(ids.has(old)).toBe(false)
  expect((await stat(join(folder, '.golooader'))).mode & 0o777).toBe(0o700)
})

test('records older than a month that no offer needs are removed, and no others: their number stays bounded', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const newestMs = Date.UTC(2026, 8, 15)
  await inbox.tidy({ ownMs: newestMs, portalMs: newestMs })
  const times = [Date.UTC(2026, 3, 30), Date.UTC(2026, 5, 20), newestMs, Date.UTC(10_026, 8, 15)]
  for (const atMs of times) {
    const { transferId } = await finished(inbox, 'content', newTransferId(atMs))
    await inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })
    await inbox.answered(transferId)
  }
  const records = join(folder, '.golooader', 'received')
  const sinceMs = await inbox.tidy({ ownMs: newestMs, portalMs: newestMs })
  expect(sinceMs).toBe(newestMs - 90 * DAY_MS)
  expect((await readdir(records)).sort()).toEqual(['+010026-09', '2026-06', '2026-09', 'since'])
  expect((await readFile(join(records, 'since'), 'utf8')).trim()).toBe(new Date(sinceMs).toISOString())
})

test('where nothing says since when records are complete, the clock of this machine alone deletes nothing', async () => {
  const folder = await testFolder()
  await using inbox = await openInbox(folder, { mayCreate: true })
  const right = Date.now()
  const clocks = { ownMs: right + 200 * DAY_MS, portalMs: null }
  const { transferId } = await finished(inbox, 'content', newTransferId(right))
  await inbox.commit(transferId, 'a.txt', { manifestDigest, receipt: null })
  await inbox.answered(transferId)
  // The state that an older version leaves.
  await rm(join(folder, '.golooader', 'received', 'since'), { force: true })
  expect(await inbox.tidy(clocks)).toBeLessThan(right)
  expect(await inbox.published(transferId)).toMatchObject({ name: 'a.txt', manifestDigest })

  await using unused = await openInbox(join(await testFolder(), 'new'), { mayCreate: true })
  expect(await unused.tidy(clocks)).toBe(0)
})

describe('a folder is refused', () => {
  test('when another receiver uses it', async () => {
    const folder = await testFolder()
    const first = await openInbox(folder, { mayCreate: true })
    await symlink(folder, `${folder}-link`)
    try {
      for (const path of [folder, `${folder}-link`]) {
        await expect(openInbox(path, { mayCreate: true })).rejects.toMatchObject({
          code: 'folder-unavailable',
          details: { detail: `another process is using ${folder}` },
        })
      }
    } finally {
      await rm(`${folder}-link`)
    }
    await first[Symbol.asyncDispose]()
    await (await openInbox(folder, { mayCreate: true }))[Symbol.asyncDispose]()
  })

  test('when it is a file', async () => {
    const folder = await testFolder()
    await writeFile(join(folder, 'file'), '')
    await expect(openInbox(join(folder, 'file'), { mayCreate: true })).rejects.toMatchObject({
      code: 'folder-unavailable',
    })
  })

  test('when it is not writable', async () => {
    // Even root cannot create a folder in /sys. For others a folder without write permission is used.
    const folder = process.platform === 'linux' ? '/sys' : await testFolder()
    if (folder !== '/sys') await chmod(folder, 0o500)
    await expect(openInbox(join(folder, 'inbox'), { mayCreate: true })).rejects.toMatchObject({
      code: 'folder-unavailable',
    })
  })

  test('when its .golooader belongs to another user', async () => {
    if (process.getuid?.() !== 0) return console.log('not tested: only root may give a folder to another user')
    const folder = await testFolder()
    const own = join(folder, '.golooader')
    await (await openInbox(folder, { mayCreate: true }))[Symbol.asyncDispose]()
    await chmod(own, 0o755)
    await chown(own, 65_534, 65_534)
    const before = await readdir(own)
    await expect(openInbox(folder, { mayCreate: true })).rejects.toMatchObject({
      code: 'folder-unavailable',
      details: { detail: expect.stringContaining('belongs to another user (uid 65534)') },
    })
    expect(await readdir(own)).toEqual(before)
    expect((await stat(own)).mode & 0o777).toBe(0o755)
  })

  test.each(['.golooader', '.golooader/received'])(
    'a link in the place of %s, whose target is not touched',
    async (name) => {
      const [folder, target] = [await testFolder(), await testFolder()]
      await writeFile(join(target, 'old.partial'), 'mine')
      await chmod(target, 0o755)
      const longAgo = new Date(Date.now() - 91 * 86_400_000)
      await utimes(join(target, 'old.partial'), longAgo, longAgo)
      if (name !== '.golooader') await mkdir(join(folder, '.golooader'))
      await symlink(target, join(folder, name))
      await expect(openInbox(folder, { mayCreate: true })).rejects.toMatchObject({
        code: 'folder-unavailable',
        details: { detail: expect.stringContaining('is a symbolic link') },
      })
      expect(await readFile(join(target, 'old.partial'), 'utf8')).toBe('mine')
      expect((await stat(target)).mode & 0o777).toBe(0o755)
    },
  )
})
