/** What is to be done with files: its records, and files that are taken out of the folder again, over kills and losses of power. */
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import { newTransferId, Problem } from '../../src/protocol/index.ts'
import { type HandledAbout, HandledLaterError, type Handlers } from '../../src/receiver/handling.ts'
import { receiveInto } from '../../src/receiver/index.ts'
import { FolderHandling } from '../../src/receiver/node-handling.ts'
import { HandlingRecords } from '../../src/receiver/node-handling-records.ts'
import { type FolderInbox, openInbox } from '../../src/receiver/node-inbox.ts'
import { until } from '../e2e/harness/world.ts'
import { testFolder } from '../suites/folder.ts'
import { newContent, unfinished, visible } from './folders.ts'
import { ScriptedPortal } from './scripted-portal.ts'

const { signal } = new AbortController()
const BEFORE = { isUndecided: true, isToHandle: false } as const
const AFTER = { isUndecided: false, isToHandle: true } as const

function aboutOf(transferId: string, name: string): HandledAbout {
  const traits = { mediaType: null, modifiedAt: null, isExecutable: false, tree: null }
  return { transferId, from: 'alice', name, sizeBytes: 7, ...traits, isSealed: false, signedBy: null, receipt: null }
}

/** Opens the folder as a run with a handler does; `isPlain` as one without. */
function opened(folder: string, { isPlain = false } = {}): Promise<FolderInbox> {
  return openInbox(folder, { mayCreate: true, hasHandlers: !isPlain })
}

/** Publishes a file, as a delivery does. @param state null as a run without handlers does */
async function publish(
  inbox: FolderInbox,
  name: string,
  state: { isUndecided: boolean; isToHandle: boolean } | null,
  text = 'content',
): Promise<string> {
  const transferId = newTransferId()
  const bytes = Buffer.from(text)
  const layout = { sizeBytes: bytes.length, partSizeBytes: 65_536, digestAlgorithm: 'sha-256' } as const
  const file = await inbox.open(transferId, layout, signal)
  const digest = digestOf('sha-256', bytes)
  const part = { partNumber: 1, lengthBytes: bytes.length, digestAlgorithm: 'sha-256', digest, seal: null } as const
  await file.receivePart({ ...part, body: Readable.from([bytes]) }, { idleMs: 10_000, signal })
  await file.finish()
  if (state !== null) await inbox.beginHandling(aboutOf(transferId, name), state)
  await inbox.commit(transferId, name, { manifestDigest: manifestDigestOf('sha-256', [digest]), receipt: null })
  return transferId
}

/** The files of what is to be done, and what else is unfinished. */
async function left(folder: string): Promise<string[]> {
  const records = await readdir(join(folder, '.golooader', 'handling')).catch(() => [])
  return [...records, ...(await unfinished(folder)).filter((name) => name !== 'handling')]
}

test('an undecided file is taken out of the folder again, and nothing of it remains', async () => {
  const folder = await testFolder()
  await using inbox = await opened(folder)
  const transferId = await publish(inbox, 'a.txt', BEFORE)
  const other = await publish(inbox, 'a.txt', BEFORE, 'another')
  expect(await visible(folder)).toEqual(['a (1).txt', 'a.txt'])
  await inbox.unpublish(transferId)
  expect(await visible(folder)).toEqual(['a (1).txt'])
  expect(await inbox.published(transferId)).toBeNull()
  expect(await left(folder)).toEqual([other, `${other}.commit`])
  // The portal ends the other one: it was undecided, too.
  await inbox.discard(other)
  expect([await visible(folder), await left(folder)]).toEqual([[], []])
})

test('a decided file stays, whatever the portal says later', async () => {
  const folder = await testFolder()
  await using inbox = await opened(folder)
  const transferId = await publish(inbox, 'a.txt', BEFORE)
  await inbox.keeps(transferId)
  await inbox.discard(transferId)
  expect([await visible(folder), await left(folder)]).toEqual([['a.txt'], []])
})

test('a run that is killed after it took a file back, and before it removed the record, fetches the file again', async () => {
  const folder = await testFolder()
  const first = await opened(folder)
  const transferId = await publish(first, 'a.txt', BEFORE)
  await rename(join(folder, 'a.txt'), join(folder, '.golooader', `${transferId}.partial`))
  await first[Symbol.asyncDispose]()
  await using second = await opened(folder)
  expect(await second.published(transferId)).toBeNull()
  await second.discard(transferId)
  expect([await visible(folder), await left(folder)]).toEqual([[], []])
})

test('what has taken the name of a file that was moved away is never removed, not even with its inode', async () => {
  const folder = await testFolder()
  await using inbox = await opened(folder)
  const moved = await publish(inbox, 'a.txt', BEFORE)
  await rename(join(folder, 'a.txt'), join(folder, 'elsewhere'))
  await writeFile(join(folder, 'a.txt'), 'mine')
  await inbox.unpublish(moved)
  const deleted = await publish(inbox, 'b.txt', BEFORE)
  // Most file systems use the inode of a deleted file for the next one.
  await rm(join(folder, 'b.txt'))
  await writeFile(join(folder, 'b.txt'), 'of mine')
  await inbox.discard(deleted)
  expect(await visible(folder)).toEqual(['a.txt', 'b.txt', 'elsewhere'])
  expect(await readFile(join(folder, 'b.txt'), 'utf8')).toBe('of mine')
  expect(await left(folder)).toEqual([])
})

test('a file that has another link, as of a backup, and one that was written to, are taken back', async () => {
  const folder = await testFolder()
  await using inbox = await opened(folder)
  const transferId = await publish(inbox, 'a.txt', BEFORE)
  await link(join(folder, 'a.txt'), join(folder, 'backup'))
  await writeFile(join(folder, 'a.txt'), 'written to')
  await inbox.unpublish(transferId)
  expect([await visible(folder), await left(folder)]).toEqual([['backup'], []])
})

test('a small file of the log that is taken back is not brought back after a loss of power', async () => {
  const folder = await testFolder()
  const plain = await opened(folder, { isPlain: true })
  const transferId = await publish(plain, 'a.txt', null)
  await plain[Symbol.asyncDispose]()
  const second = await opened(folder)
  await second.beginHandling(aboutOf(transferId, 'a.txt'), BEFORE)
  await second.unpublish(transferId)
  await second[Symbol.asyncDispose]()
  using log = new DatabaseSync(join(folder, '.golooader', 'received', 'small-files.sqlite'))
  log.exec("update deliveries set boot_id = 'before'")
  log.close()
  await using third = await opened(folder, { isPlain: true })
  expect(await third.published(transferId)).toBeNull()
  expect([await visible(folder), await left(folder)]).toEqual([[], []])
})

test('a file that a handler moves away is not brought back after a loss of power', async () => {
  const folder = await testFolder()
  const first = await opened(folder)
  await publish(first, 'a.txt', AFTER)
  await rm(join(folder, 'a.txt'))
  await first[Symbol.asyncDispose]()
  await using second = await opened(folder)
  expect(await visible(second.folder)).toEqual([])
  expect(await readdir(join(folder, '.golooader', 'received')).catch(() => [])).not.toContain('small-files.sqlite')
})

test('a record goes when the file is handled and the answer confirmed, in any order and at the same time', async () => {
  const folder = await testFolder()
  await using inbox = await opened(folder)
  const [one, two, three] = [
    await publish(inbox, '1', AFTER),
    await publish(inbox, '2', AFTER),
    await publish(inbox, '3', AFTER),
  ]
  await inbox.handling.handled(one)
  expect(await left(folder)).toContain(one)
  await inbox.answered(one)
  await inbox.answered(two)
  expect(await left(folder)).toEqual([two, three, `${three}.commit`].toSorted())
  await inbox.handling.handled(two)
  await Promise.all([inbox.handling.handled(three), inbox.answered(three)])
  expect(await left(folder)).toEqual([])
})

test('records are read in the order in which they were made, and half written ones are removed', async () => {
  const folder = await testFolder()
  const records = await HandlingRecords.load(folder)
  const ids = Array.from({ length: 20 }, newTransferId).toReversed()
  for (const id of ids) await records.begin(aboutOf(id, 'a'), null, AFTER)
  await writeFile(join(folder, 'handling', '.abc.partial'), '{"seq')
  const again = await HandlingRecords.load(folder)
  expect(again.transferIds).toEqual(ids)
  expect(await readdir(join(folder, 'handling'))).toHaveLength(ids.length)
  await again.begin(aboutOf(newTransferId(), 'b'), null, AFTER)
  expect((await HandlingRecords.load(folder)).transferIds.slice(0, -1)).toEqual(ids)
})

test('a record that another program wrote keeps the folder from being used', async () => {
  const folder = await testFolder()
  await mkdir(join(folder, '.golooader', 'handling'), { recursive: true })
  await writeFile(join(folder, '.golooader', 'handling', newTransferId()), '{}')
  await expect(opened(folder)).rejects.toMatchObject({ code: 'write-failed' })
})

/** A run with handlers over a folder. */
async function handling(
  inbox: FolderInbox,
  handlers: Partial<Handlers>,
  stop: AbortSignal = signal,
): Promise<FolderHandling> {
  return FolderHandling.begin(inbox, { beforeAnswer: null, handle: null, ...handlers }, stop, () => {})
}

test('what earlier runs have left is handled first, oldest first, and not again', async () => {
  const folder = await testFolder()
  const seen: string[] = []
  const first = await opened(folder)
  const ids = [await publish(first, '1', AFTER), await publish(first, '2', AFTER)]
  await first.answered(ids[0] ?? '')
  await first[Symbol.asyncDispose]()
  for (let run = 0; run < 2; run++) {
    await using inbox = await opened(folder)
    const one = await handling(inbox, {
      handle: async ({ path, name, isRenamed }) => {
        seen.push(`${name} ${isRenamed} ${await readFile(path, 'utf8')}`)
      },
    })
    await one.settled()
  }
  expect(seen).toEqual(['1 false content', '2 false content'])
})

test('a handler that throws ends the run, and gets the file again in the next one; so does one that was stopped', async () => {
  const folder = await testFolder()
  const first = await opened(folder)
  await publish(first, 'a.txt', AFTER)
  const mistake = new Error('a mistake')
  const one = await handling(first, { handle: () => Promise.reject(mistake) })
  await one.settled()
  expect(one.failure).toEqual({ error: mistake })
  await first[Symbol.asyncDispose]()

  const second = await opened(folder)
  const stop = new AbortController()
  const waiting = await handling(
    second,
    {
      handle: (_file, ended) => new Promise((_, reject) => ended.addEventListener('abort', () => reject(ended.reason))),
    },
    stop.signal,
  )
  stop.abort()
  await waiting.settled()
  expect(waiting.failure).toBeNull()
  await second[Symbol.asyncDispose]()

  await using third = await opened(folder)
  let count = 0
  const last = await handling(third, { handle: async () => void count++ })
  await last.settled()
  expect([count, last.failure]).toEqual([1, null])
})

test('before the answer: an error refuses the file with its message, a Problem as it is, and "later" keeps it', async () => {
  const folder = await testFolder()
  await using inbox = await opened(folder)
  const refused = async (error: unknown): Promise<unknown> => {
    const id = await publish(inbox, 'a.txt', BEFORE)
    const one = await handling(inbox, { beforeAnswer: () => Promise.reject(error) })
    const published = await inbox.published(id)
    if (published === null) throw new Error('it is not published')
    const problem = one.published(aboutOf(id, 'a.txt'), published, signal).catch((thrown) => thrown.problem.toJSON())
    expect(await problem).toBeDefined()
    expect([await visible(folder), await left(folder)]).toEqual([[], []])
    return problem
  }
  expect(await refused(new Error('x'.repeat(600)))).toMatchObject({ code: 'exec-failed', detail: 'x'.repeat(500) })
  expect(await refused(new Problem('declined', { detail: 'no' }))).toMatchObject({ code: 'declined', detail: 'no' })

  const id = await publish(inbox, 'b.txt', BEFORE)
  const answers: ('later' | undefined)[] = ['later', undefined]
  const one = await handling(inbox, { beforeAnswer: async () => answers.shift() })
  const published = await inbox.published(id)
  if (published === null) throw new Error('it is not published')
  await expect(one.published(aboutOf(id, 'b.txt'), published, signal)).rejects.toBeInstanceOf(HandledLaterError)
  expect(one.isUndecided(id)).toBe(true)
  await one.published(aboutOf(id, 'b.txt'), published, signal)
  expect(one.isUndecided(id)).toBe(false)
  await one.published(aboutOf(id, 'b.txt'), published, signal)
  expect([await visible(folder), answers]).toEqual([['b.txt'], []])
})

test('a file whose call was ended from outside is neither refused nor accepted', async () => {
  const folder = await testFolder()
  await using inbox = await opened(folder)
  const id = await publish(inbox, 'a.txt', BEFORE)
  const stop = new AbortController()
  const one = await handling(inbox, {
    beforeAnswer: async () => {
      stop.abort(new Error('stopped'))
      throw new Error('ended')
    },
  })
  const published = await inbox.published(id)
  if (published === null) throw new Error('it is not published')
  await expect(one.published(aboutOf(id, 'a.txt'), published, stop.signal)).rejects.toThrow('stopped')
  expect([one.isUndecided(id), await visible(folder)]).toEqual([true, ['a.txt']])
})

test('while the folder is away, what is to be done waits', async () => {
  const folder = join(await testFolder(), 'in')
  const first = await opened(folder)
  const id = await publish(first, 'a.txt', AFTER)
  await first[Symbol.asyncDispose]()
  await using inbox = await opened(folder)
  let count = 0
  await rename(folder, `${folder}-away`)
  const one = await handling(inbox, { handle: async () => void count++ }).catch(() => null)
  // Leftovers cannot be looked up without the folder.
  expect(one).toBeNull()
  await rename(`${folder}-away`, folder)
  const two = await handling(inbox, { handle: async () => void count++ })
  await rename(folder, `${folder}-away`)
  await new Promise((resolve) => setImmediate(resolve))
  await rename(`${folder}-away`, folder)
  await until(() => count === 1, 'it is handled')
  await two.settled()
  expect(await left(folder)).toContain(id)
})

test.each([
  ['a small file', 1],
  ['a file of several parts', 3],
])(
  'of %s, what is to be done is recorded before the file has its name, and done before the answer',
  async (_what, partCount) => {
    const portal = await ScriptedPortal.start()
    const folder = await testFolder()
    await using inbox = await opened(folder)
    const steps: unknown[] = []
    const note = async (step: string): Promise<void> => {
      steps.push([step, (await visible(folder)).length, portal.dispositions.length])
    }
    portal.send(newContent(partCount * 65_536, 65_536))
    await receiveInto(inbox, {
      ...{ client: portal.client(), trust: null, from: null, isOnce: true, signal, onEvent: () => {} },
      handling: {
        begin: () => note('recorded'),
        published: () => note('done'),
        isUndecided: () => false,
      },
    })
    expect(steps).toEqual([
      ['recorded', 0, 0],
      ['done', 1, 0],
    ])
    expect(portal.dispositions).toMatchObject([{ disposition: 'received' }])
  },
)
