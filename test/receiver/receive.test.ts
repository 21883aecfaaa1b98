/** The receiver with a scripted portal: the files in its folder, and its requests. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { newTransferId, transferSizeBytesMax } from '../../src/protocol/index.ts'
import { FolderInbox } from '../../src/receiver/node-inbox.ts'
import { PartialFile } from '../../src/receiver/node-partial-file.ts'
import { testFolder } from '../suites/folder.ts'
import { newContent, unfinished, visible } from './folders.ts'
import { eventually, receiveOnce, running } from './running.ts'
import { type PartScript, ScriptedPortal } from './scripted-portal.ts'

const TEN_PARTS = () => newContent(10_000, 1_000)

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as a test has it`), { code, syscall: 'open' })
}

describe('a file arrives', () => {
  test.each([
    ['empty', 0],
    ['of one byte', 1],
    ['of exactly one part', 70_000],
    ['of a part and a byte', 70_001],
    ['of exactly three parts', 210_000],
    ['of many writes per part', 3_333_333, 1_500_000],
  ])('one that is %s', async (_, sizeBytes, partSizeBytes = 70_000) => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = newContent(sizeBytes, partSizeBytes)
    portal.send(content)
    const { counts, events } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 1, refused: 0 })
    expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
    expect((await stat(join(folder, 'file.bin'))).mode & 0o777).toBe(0o644 & ~process.umask())
    expect(portal.dispositions).toMatchObject([{ disposition: 'received', manifestDigest: content.manifestDigest }])
    expect(events.at(-1)).toMatchObject({ type: 'received', path: join(folder, 'file.bin'), isRenamed: false })
    expect(await unfinished(folder)).toEqual([])
  })

  test('several at once, and one more that comes later', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    for (let number = 0; number < 5; number++) portal.send(TEN_PARTS())
    const receiver = running(portal, folder)
    await eventually(async () => expect(await visible(folder)).toHaveLength(5))
    portal.send(TEN_PARTS(), { metadata: { name: '.profile' } })
    await eventually(() => expect(portal.dispositions).toHaveLength(6))
    expect(await visible(folder)).toContain('_profile')
    expect(await visible(folder)).toContain('file (4).bin')
    await eventually(() => expect(receiver.events.filter(({ type }) => type === 'received')).toHaveLength(6))
    expect(await receiver.stop()).toEqual({ received: 6, refused: 0 })
  })
})

describe('damaged or missing content is requested again', () => {
  test('a corrupted part, and none of the good ones', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = TEN_PARTS()
    let corruptions = 0
    portal.onPart = (partNumber) => (partNumber === 4 && corruptions++ < 2 ? 'corrupt' : 'serve')
    portal.send(content)
    const { events } = await receiveOnce(portal, folder)
    expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
    expect(portal.dispositions).toMatchObject([
      { disposition: 'resend', problem: { code: 'digest-mismatching-value', partNumber: 4 }, wanted: [[4, 4]] },
      { disposition: 'resend' },
      { disposition: 'received' },
    ])
    expect(portal.asked.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 10])
    expect(events.filter(({ type }) => type === 'repeating')).toHaveLength(2)
  })

  test.each(['cut', 'headless', 'unavailable', 'part-pending'] as const)(
    'a part whose request ends with "%s" is just fetched again',
    async (script) => {
      const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
      const content = TEN_PARTS()
      let failures = 0
      portal.onPart = (partNumber) => (partNumber === 7 && failures++ < 2 ? script : 'serve')
      portal.send(content)
      await receiveOnce(portal, folder)
      expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
      expect(portal.dispositions).toHaveLength(1)
      expect(portal.asked).toHaveLength(12)
    },
  )

  test('all parts, when they make up another file', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = TEN_PARTS()
    const transferId = portal.send(content, { manifestDigest: 'ab'.repeat(32) })
    portal.onAnswer = ({ disposition }) => {
      if (disposition !== 'resend') return 'delivered'
      portal.change(transferId, { manifestDigest: content.manifestDigest })
      portal.offerAgain(transferId)
      return 'offered'
    }
    const { counts, events } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 1, refused: 0 })
    expect(portal.dispositions[0]).toMatchObject({ problem: { code: 'manifest-mismatching' }, wanted: [[1, 10]] })
    expect(events).toContainEqual(expect.objectContaining({ type: 'repeating' }))
    expect(portal.asked).toHaveLength(20)
  })

  test.each([1, 2])('a part that always has another length is reported to the portal %i times', async (times) => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = TEN_PARTS()
    portal.onPart = (partNumber) => (partNumber === 4 && portal.dispositions.length < times ? 'short' : 'serve')
    portal.send(content)
    await receiveOnce(portal, folder)
    expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
    const problem = { code: 'part-incomplete', partNumber: 4 }
    const resends = portal.dispositions.slice(0, -1)
    expect(resends).toHaveLength(times)
    for (const resend of resends) expect(resend).toMatchObject({ disposition: 'resend', problem, wanted: [[4, 4]] })
    expect(portal.asked.filter((partNumber) => partNumber === 4)).toHaveLength(times * 3 + 1)
  })

  test('until the portal finds that its own copy is truncated', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onPart = (partNumber) => (partNumber === 4 ? 'short' : 'serve')
    portal.onAnswer = () => 'failed'
    portal.send(TEN_PARTS())
    const { counts } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 0, refused: 1 })
    expect([...(await visible(folder)), ...(await unfinished(folder))]).toEqual([])
  })

  test('until the portal gives up: then nothing is left of it', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onPart = (partNumber) => (partNumber === 2 ? 'corrupt' : 'serve')
    portal.onAnswer = () => (portal.dispositions.length < 3 ? 'offered' : 'failed')
    portal.send(TEN_PARTS())
    const { counts, events } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 0, refused: 1 })
    expect(events.at(-1)).toMatchObject({ type: 'refused', problem: { code: 'digest-mismatching-value' } })
    expect([...(await visible(folder)), ...(await unfinished(folder))]).toEqual([])
  })
})

describe('nothing is confirmed too early', () => {
  test('a file that is not stored yet is not published, although all parts are there', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = TEN_PARTS()
    const transferId = portal.send(content, { state: 'receiving', manifestDigest: null })
    const receiver = running(portal, folder, { isOnce: true })
    // The receiver asks for the state of the offer when nothing is left to fetch, again and again.
    await eventually(() => expect(portal.held.filter((bytes) => bytes === 10_000).length).toBeGreaterThan(3))
    expect(await visible(folder)).toEqual([])
    expect(portal.dispositions).toEqual([])
    portal.change(transferId, { state: 'stored', manifestDigest: content.manifestDigest })
    expect(await receiver.result).toEqual({ received: 1, refused: 0 })
    expect(await visible(folder)).toEqual(['file.bin'])
  })

  test('a lost answer is repeated, and the file is there once', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onAnswer = () => (portal.dispositions.length < 3 ? 'lost' : 'delivered')
    portal.send(TEN_PARTS())
    expect((await receiveOnce(portal, folder)).counts).toEqual({ received: 1, refused: 0 })
    expect(portal.dispositions).toHaveLength(3)
    expect(await visible(folder)).toEqual(['file.bin'])
  })

  test('a receiver that stopped before its answer arrived repeats it after the restart, once', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onAnswer = () => 'lost'
    const transferId = portal.send(TEN_PARTS())
    const first = running(portal, folder)
    await eventually(() => expect(portal.dispositions.length).toBeGreaterThan(0))
    await first.stop()
    expect(await visible(folder)).toEqual(['file.bin'])
    portal.onAnswer = () => 'delivered'
    portal.offerAgain(transferId)
    const { counts, events } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 1, refused: 0 })
    expect(events.at(-1)).toMatchObject({ type: 'received', path: join(folder, 'file.bin') })
    expect(portal.asked).toHaveLength(10)
    expect(await visible(folder)).toEqual(['file.bin'])
    expect(await unfinished(folder)).toEqual([])
  })
})

describe('a published file stays', () => {
  test('a disk that fails after the answer ends neither the receiver nor its other deliveries', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const answered = vi.spyOn(FolderInbox.prototype, 'answered').mockRejectedValueOnce(systemError('EIO'))
    onTestFinished(() => answered.mockRestore())
    portal.send(TEN_PARTS())
    const receiver = running(portal, folder)
    await receiver.seen('given-up')
    portal.send(TEN_PARTS())
    await receiver.seen('received')
    expect(await visible(folder)).toEqual(['file (1).bin', 'file.bin'])
    expect(portal.dispositions.map(({ disposition }) => disposition)).toEqual(['received', 'received'])
    expect(await receiver.stop()).toEqual({ received: 1, refused: 0 })
  })

  test('one that is not durable yet is not refused; the next offer completes it', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const transferId = portal.send(TEN_PARTS())
    const parts = join(folder, '.golooader', `${transferId}.parts`)
    const commit = FolderInbox.prototype.commit
    const spy = vi.spyOn(FolderInbox.prototype, 'commit').mockImplementationOnce(async function (
      this: FolderInbox,
      ...about
    ) {
      // A folder, which cannot be removed like a file.
      await rm(parts)
      await mkdir(parts)
      return commit.apply(this, about)
    })
    onTestFinished(() => spy.mockRestore())
    const receiver = running(portal, folder)
    await receiver.seen('given-up')
    expect(portal.dispositions).toEqual([])
    await rm(parts, { recursive: true })
    portal.offerAgain(transferId)
    await receiver.seen('received')
    expect(await visible(folder)).toEqual(['file.bin'])
    expect(portal.asked).toHaveLength(10)
  })

  test('also when another account has received into the same folder meanwhile: it is not fetched twice', async () => {
    const [bobs, carols, folder] = [await ScriptedPortal.start(), await ScriptedPortal.start(), await testFolder()]
    carols.unknownCode = 'not-found'
    bobs.onAnswer = () => 'lost'
    const transferId = bobs.send(TEN_PARTS())
    const first = running(bobs, folder)
    await eventually(() => expect(bobs.dispositions.length).toBeGreaterThan(0))
    await first.stop()

    const other = running(carols, folder)
    await other.seen('connected')
    // Handled after the earlier messages of the connection, so after the search for unfinished content.
    carols.send(TEN_PARTS(), { metadata: { name: 'other.bin' } })
    await other.seen('received')
    await other.stop()

    bobs.onAnswer = () => 'delivered'
    bobs.offerAgain(transferId)
    expect((await receiveOnce(bobs, folder)).counts).toEqual({ received: 1, refused: 0 })
    expect(await visible(folder)).toEqual(['file.bin', 'other.bin'])
    expect(bobs.asked).toHaveLength(10)
  })
})

test('leftovers of an earlier run for an ended delivery are deleted', async () => {
  const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
  const transferId = newTransferId()
  await mkdir(join(folder, '.golooader'))
  await writeFile(join(folder, '.golooader', `${transferId}.partial`), 'x')
  running(portal, folder)
  await eventually(async () => expect(await unfinished(folder)).toEqual([]))
})

describe('an interruption costs little', () => {
  test('a restarted receiver fetches only what is missing, as the same instance', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = TEN_PARTS()
    const held = Promise.withResolvers<void>()
    portal.onPart = (partNumber) => {
      if (partNumber <= 6) return 'serve'
      held.resolve()
      return new Promise(() => {})
    }
    portal.send(content)
    const first = running(portal, folder, { partsInFlight: 1 })
    await held.promise
    await first.stop()
    portal.onPart = () => 'serve'
    portal.asked.length = 0
    const { events } = await receiveOnce(portal, folder)
    expect(events).toContainEqual(expect.objectContaining({ type: 'offered', isResumed: true }))
    expect(portal.asked).toEqual([7, 8, 9, 10])
    expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
    expect(new Set(portal.connections.map(({ instanceId }) => instanceId)).size).toBe(1)
  })

  test('after a lost lease it continues under the next one', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    let isLost = false
    portal.onPart = (partNumber) => {
      if (partNumber !== 5 || isLost) return 'serve'
      isLost = true
      setTimeout(() => portal.offerAgain(transferId), 100)
      return 'lease-lost'
    }
    const transferId = portal.send(TEN_PARTS())
    expect((await receiveOnce(portal, folder)).counts).toEqual({ received: 1, refused: 0 })
    expect(portal.asked.filter((partNumber) => partNumber <= 4)).toEqual([1, 2, 3, 4])
  })

  test('a lost lease without a new offer ends the attempt, and its parts are kept', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onPart = (partNumber) => (partNumber === 5 ? 'lease-lost' : 'serve')
    const transferId = portal.send(TEN_PARTS(), { leaseMs: 100 })
    const receiver = running(portal, folder, { partsInFlight: 1 })
    await receiver.seen('given-up')
    portal.onPart = () => 'serve'
    portal.offerAgain(transferId)
    await receiver.seen('received')
    expect(portal.asked).toEqual([1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10])
  })

  test.each(['store-failed', 'storage-full', 'stored-part-corrupt'] as const)(
    'a portal that answers "%s" has its own trouble: what is there is kept for the next offer',
    async (code) => {
      const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
      const content = TEN_PARTS()
      portal.onPart = (partNumber) => (partNumber === 5 ? code : 'serve')
      const transferId = portal.send(content)
      const receiver = running(portal, folder, { partsInFlight: 1 })
      await receiver.seen('given-up')
      portal.onPart = () => 'serve'
      portal.offerAgain(transferId)
      await receiver.seen('received')
      expect(portal.asked).toEqual([1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10])
      expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
      expect(portal.dispositions).toHaveLength(1)
    },
  )

  test.each(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR'])(
    'a receiver that is short of something (%s) refuses nothing, and keeps what is there',
    async (errno) => {
      const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
      portal.send(TEN_PARTS())
      const commit = vi.spyOn(FolderInbox.prototype, 'commit').mockRejectedValueOnce(systemError(errno))
      onTestFinished(() => commit.mockRestore())
      const receiver = running(portal, folder)
      await receiver.seen('waiting')
      expect(portal.dispositions).toEqual([])
      // The new connection offers it again.
      await receiver.seen('received')
      expect(receiver.events.filter(({ type }) => type === 'connected')).toHaveLength(2)
      expect(portal.asked).toHaveLength(10)
      expect(receiver.events.filter(({ type }) => type === 'waiting')).toHaveLength(1)
      expect(await visible(folder)).toEqual(['file.bin'])
    },
  )

  test('an offer that arrives at the moment of giving up is not lost', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onPart = (partNumber) => (partNumber === 5 ? 'store-failed' : 'serve')
    const transferId = portal.send(TEN_PARTS())
    const close = PartialFile.prototype.close
    const spy = vi.spyOn(PartialFile.prototype, 'close').mockImplementationOnce(async function (this: PartialFile) {
      portal.onPart = () => 'serve'
      portal.offerAgain(transferId)
      // The message is older than this one, on the same connection.
      portal.send(TEN_PARTS(), { metadata: { name: 'other.bin' } })
      await receiver.seen('received')
      return close.apply(this)
    })
    onTestFinished(() => spy.mockRestore())
    const receiver = running(portal, folder)
    await eventually(async () => expect(await visible(folder)).toEqual(['file.bin', 'other.bin']))
  })

  test('the lease is renewed while a single part takes longer than it lasts', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onPart = async (): Promise<PartScript> => {
      await eventually(() => expect(portal.held.length).toBeGreaterThan(4))
      return 'serve'
    }
    portal.send(newContent(10, 10), { leaseMs: 150 })
    expect((await receiveOnce(portal, folder)).counts).toEqual({ received: 1, refused: 0 })
  })

  test('a broken connection is opened again', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    let refusals = 0
    portal.onInbox = () => (refusals++ < 2 ? 'unavailable' : null)
    const receiver = running(portal, folder)
    await receiver.seen('connected')
    portal.breakStreams()
    await eventually(() => expect(portal.connections).toHaveLength(2))
    portal.send(TEN_PARTS())
    await receiver.seen('received')
    expect(receiver.events.filter(({ type }) => type === 'disconnected')).toHaveLength(3)
  })
})

describe('an offer ends without a file', () => {
  test('a withdrawn one leaves nothing behind', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const reached = Promise.withResolvers<void>()
    portal.onPart = (partNumber) => {
      if (partNumber < 5) return 'serve'
      reached.resolve()
      return new Promise(() => {})
    }
    const transferId = portal.send(TEN_PARTS())
    const receiver = running(portal, folder)
    await reached.promise
    portal.withdraw(transferId, 'cancelled')
    expect(await receiver.seen('withdrawn')).toMatchObject({ problem: { code: 'cancelled' }, transferId })
    expect([...(await visible(folder)), ...(await unfinished(folder))]).toEqual([])
    expect(portal.dispositions).toEqual([])
    expect(await receiver.stop()).toEqual({ received: 0, refused: 0 })
  })

  test('one that the portal has ended leaves nothing behind', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onPart = (partNumber) => (partNumber === 5 ? 'delivery-ended' : 'serve')
    portal.send(TEN_PARTS())
    await running(portal, folder).seen('withdrawn')
    expect(await unfinished(folder)).toEqual([])
  })

  test.each([
    ['name-refused', { metadata: { name: '../../etc/passwd' } }],
    ['digest-unsupported-algorithm', { digestAlgorithm: 'md5' }],
    ['disk-full', { sizeBytes: transferSizeBytesMax, partSizeBytes: 64 * 1024 * 1024 }],
  ])('the sender hears "%s"', async (code, changes) => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.send(TEN_PARTS(), changes)
    const { counts, events } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 0, refused: 1 })
    expect(portal.dispositions).toMatchObject([{ disposition: 'refused', problem: { code } }])
    expect(events.at(-1)).toMatchObject({ type: 'refused', problem: { code } })
    expect(portal.asked).toEqual([])
    expect([...(await visible(folder)), ...(await unfinished(folder))]).toEqual([])
  })

  test('while the folder is missing files wait, and the folder is not created again', async () => {
    const [portal, parent] = [await ScriptedPortal.start(), await testFolder()]
    const folder = join(parent, 'inbox')
    portal.onPart = async (partNumber): Promise<PartScript> => {
      if (partNumber === 5 && existsSync(folder)) await rename(folder, join(parent, 'away'))
      return 'serve'
    }
    const transferId = portal.send(TEN_PARTS())
    const receiver = running(portal, folder)
    await receiver.seen('waiting')
    expect(portal.dispositions).toEqual([])
    expect(await readdir(parent)).toEqual(['away'])
    portal.onPart = () => 'serve'
    await rename(join(parent, 'away'), folder)
    await eventually(() => expect(receiver.events.filter(({ type }) => type === 'connected')).toHaveLength(2))
    portal.offerAgain(transferId)
    await receiver.seen('received')
    expect(receiver.events.filter(({ type }) => ['waiting', 'refused'].includes(type))).toHaveLength(1)
  })

  test('a folder in the place of one of our files does not stop the receiver', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const transferId = portal.send(TEN_PARTS())
    await mkdir(join(folder, '.golooader', `${transferId}.partial`), { recursive: true })
    await writeFile(join(folder, '.golooader', `${transferId}.partial`, 'x'), '')
    const { counts } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 0, refused: 1 })
    expect(portal.dispositions).toMatchObject([{ problem: { code: 'write-failed' } }])
  })
})

test('an invalid token ends the receiver', async () => {
  const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
  portal.onInbox = () => 'credentials-invalid'
  await expect(running(portal, folder).result).rejects.toMatchObject({ problem: { code: 'credentials-invalid' } })
})

test('stopping before any file came ends it at once, and frees the folder', async () => {
  const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
  for (let number = 0; number < 2; number++) {
    const receiver = running(portal, folder)
    await receiver.seen('connected')
    expect(await receiver.stop()).toEqual({ received: 0, refused: 0 })
  }
})

describe('a receiver that stops', () => {
  test.each([
    ['has nothing of the file: it gives the lease back', 1, [{ disposition: 'released' }]],
    ['has parts of the file: its lease waits for the next run', 5, []],
  ])('%s', async (_what, heldAt, expected) => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const held = Promise.withResolvers<void>()
    portal.onPart = (partNumber) => {
      if (partNumber < heldAt) return 'serve'
      held.resolve()
      return new Promise(() => {})
    }
    portal.send(TEN_PARTS())
    const receiver = running(portal, folder, { partsInFlight: 1 })
    await held.promise
    expect(await receiver.stop()).toEqual({ received: 0, refused: 0 })
    expect(portal.dispositions).toMatchObject(expected)
  })

  test('a portal of an older version does not keep it', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    portal.onAnswer = () => 'request-invalid'
    const asked = Promise.withResolvers<void>()
    portal.onPart = () => {
      asked.resolve()
      return new Promise(() => {})
    }
    portal.send(TEN_PARTS())
    const receiver = running(portal, folder)
    await asked.promise
    expect(await receiver.stop()).toEqual({ received: 0, refused: 0 })
    expect(portal.dispositions).toHaveLength(1)
  })
})
