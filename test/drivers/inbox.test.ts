/** The inbox in a folder, and the one in a browser. */
import { createHash } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { onTestFinished } from 'vitest'
import { Problem } from '../../src/protocol/index.ts'
import type { IncomingFile } from '../../src/receiver/index.ts'
import { type FolderInbox, openInbox } from '../../src/receiver/node-inbox.ts'
import { browserPage } from '../page/harness/browser.ts'
import { engine } from '../page/harness/engine.ts'
import { testFolder } from '../suites/folder.ts'
import { testInbox } from '../suites/inbox.ts'
import type { InboxUnderTest } from '../suites/inbox-calls.ts'

const SLICE_BYTES = 70_000
const IDLE_MS = 300

async function folderInbox(): Promise<InboxUnderTest> {
  const folder = await testFolder()
  const { signal } = new AbortController()
  const files = new Map<string, IncomingFile<Readable>>()
  let inbox: FolderInbox = await openInbox(folder, { mayCreate: true })
  const close = async (): Promise<void> => {
    await Promise.all([...files.values()].map((file) => file.close()))
    files.clear()
    await inbox[Symbol.asyncDispose]()
  }
  onTestFinished(close)
  const fileOf = (transferId: string): IncomingFile<Readable> => {
    const file = files.get(transferId)
    if (file === undefined) throw new Error('it is not open')
    return file
  }
  const look: InboxUnderTest['look'] = async (transferId) => {
    const { held, heldBytes } = fileOf(transferId)
    return { held: [...held], heldBytes }
  }
  return {
    restart: async () => {
      await close()
      inbox = await openInbox(folder, { mayCreate: true })
    },
    tidy: (clocks) => inbox.tidy(clocks),
    hasBegun: (transferId) => inbox.hasBegun(transferId),
    open: async (transferId, layout) => {
      await files.get(transferId)?.close()
      files.set(transferId, await inbox.open(transferId, layout, signal))
      return look(transferId)
    },
    look,
    take: async (transferId, { bytes, isStalling, ...part }) => {
      try {
        const body = streamOf(bytes, isStalling === true)
        await fileOf(transferId).receivePart({ ...part, body }, { idleMs: IDLE_MS, signal })
        return null
      } catch (error) {
        if (error instanceof Problem) return error.code
        throw error
      }
    },
    contentDigests: async (transferId) => [...fileOf(transferId).contentDigests()],
    sized: async (transferId, sizeBytes) => fileOf(transferId).sized?.(sizeBytes),
    startOver: (transferId) => fileOf(transferId).startOver(),
    commit: (transferId, name, manifestDigest) =>
      inbox.commit(transferId, name, { manifestDigest, receipt: null }, fileOf(transferId).finish()),
    published: (transferId) => inbox.published(transferId),
    answered: (transferId) => inbox.answered(transferId),
    discard: (transferId) => inbox.discard(transferId),
    unfinished: () => inbox.unfinished(),
    contentOf: async (_transferId, name) =>
      createHash('sha256')
        .update(await readFile(join(folder, name)))
        .digest('hex'),
    spoil: async (transferId, atByte) => {
      await using handle = await open(inbox.pathsOf(transferId).partial, 'r+')
      const byte = Buffer.alloc(1)
      await handle.read(byte, 0, 1, atByte)
      byte[0] = (byte[0] ?? 0) ^ 1
      await handle.write(byte, 0, 1, atByte)
    },
  }
}

function streamOf(bytes: Uint8Array, isStalling: boolean): Readable {
  const body = new Readable({ read: () => {} })
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) body.push(new Uint8Array(bytes.subarray(at, at + SLICE_BYTES)))
  if (!isStalling) body.push(null)
  return body
}

/** An inbox in a browser, in a new origin for each test, because files and databases of a browser belong to an origin. */
async function pageInbox(keeping: 'files' | 'database'): Promise<InboxUnderTest> {
  const page = await browserPage()
  onTestFinished(() => page.close())
  const run = <Result>(name: string, ...args: readonly unknown[]): Promise<Result> =>
    page.run<Result>('test/page/browser/inbox.ts', name, ...args)
  await run('keepIn', keeping)
  return {
    restart: async () => {
      await page.reload()
      await run('keepIn', keeping)
    },
    tidy: (...args) => run('tidy', ...args),
    hasBegun: (...args) => run('hasBegun', ...args),
    open: (...args) => run('open', ...args),
    take: (...args) => run('take', ...args),
    look: (...args) => run('look', ...args),
    contentDigests: (...args) => run('contentDigests', ...args),
    sized: (...args) => run('sized', ...args),
    startOver: (...args) => run('startOver', ...args),
    commit: (...args) => run('commit', ...args),
    published: (...args) => run('published', ...args),
    answered: (...args) => run('answered', ...args),
    discard: (...args) => run('discard', ...args),
    unfinished: (...args) => run('unfinished', ...args),
    contentOf: (transferId) => run('contentOf', transferId),
    spoil: (...args) => run('spoil', ...args),
  }
}

// The project `firefox` runs this file for the other two.
if (engine === 'chromium') testInbox('folder', folderInbox)
testInbox('browser', () => pageInbox('files'))
testInbox('browser without files', () => pageInbox('database'))
