/**
 * Sends from a real browser through a real portal to a real receiver on the command line. A proxy between browser and
 * portal records every byte that leaves, and stalls the requests that a test selects.
 */
import { appendFile, open, readFile, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { KeptReceipt, SendEvent } from '../../src/sender/index.ts'
import { until } from '../e2e/harness/world.ts'
import { expectOneContent, PART_BYTES, sceneWith } from '../e2e/trust/scene.ts'
import { type Chosen, fileContent } from './chosen.ts'
import { browserPage } from './harness/browser.ts'
import { chromiumTest, rowsOf } from './harness/once.ts'
import {
  accountOf,
  type BrowserScene,
  begin,
  browserScene,
  came,
  expectReceived,
  fileOf,
  hang,
  isPart,
  LAST_MODIFIED,
  MODULE,
  outcome,
  PARTS,
  reloadedAt,
  send,
  startedOf,
  unfinished,
} from './sender-scene.ts'

const kinds = [
  ['of several parts', PARTS, []],
  ['in one request', 1, []],
  ['of one part', 1, ['--one-request', '0']],
  ['that is empty', 0, []],
] as const

test.each(rowsOf(kinds, 2))('a file %s is delivered, and its receipt is kept', async (_what, parts, flags) => {
  const scene = await browserScene(flags)
  const { world, evil, browser } = scene
  await world.receiver('bob')
  const chosen = fileOf(parts)
  const sending = await send(browser, chosen)
  const end = await outcome(browser, sending)
  expect(end).toMatchObject({ outcome: 'delivered', path: chosen.name })
  await expectReceived(scene, chosen)
  const receipts = await browser.run<KeptReceipt[]>(MODULE, 'receiptsOf', end.transferId)
  expect(receipts).toMatchObject([{ transferId: end.transferId, receiver: 'bob' }])
  expect(await unfinished(browser)).toEqual([])
  // The portal held sealed data: all of each part with its tag, and of the name.
  for (const { bytes, partNumber } of evil.uploads.filter(({ bytes }) => bytes.length > 0)) {
    expect(bytes.length).toBe(PART_BYTES + 16)
    const plain = fileContent(chosen.seed, chosen.sizeBytes).subarray((partNumber - 1) * PART_BYTES)
    expect(bytes.subarray(0, 32).equals(plain.subarray(0, 32))).toBe(false)
  }
  expect(evil.requests.filter(({ body, head }) => `${head}${body}`.includes(chosen.name))).toEqual([])
  expect(browser.complaints).toEqual([])
})

chromiumTest('a file that is sent without a seal is signed and delivered', async () => {
  const scene = await browserScene([], false)
  await scene.world.receiver('bob')
  const chosen = fileOf(PARTS)
  expect(await outcome(scene.browser, await send(scene.browser, chosen))).toMatchObject({ outcome: 'delivered' })
  await expectReceived(scene, chosen)
})

test('after a reload, the same file chosen again continues the transfer with the missing parts', async () => {
  const scene = await browserScene()
  const { world, evil, browser } = scene
  await world.receiver('bob')
  const chosen = fileOf(PARTS)
  const transferId = await reloadedAt(scene, chosen, 4)
  const { name, sizeBytes } = chosen
  expect(await unfinished(browser)).toMatchObject([
    { transferId, name, to: ['bob'], source: { sizeBytes, lastModified: LAST_MODIFIED } },
  ])
  expect(await browser.run(MODULE, 'follow', transferId)).toBeNull()
  const sending = await send(browser, chosen)
  expect(await outcome(browser, sending)).toMatchObject({ outcome: 'delivered', transferId })
  expect(await startedOf(browser, sending)).toMatchObject([{ transferId, isResumed: true }])
  expect(evil.uploads.map(({ partNumber }) => partNumber)).toEqual([1, 2, 3, 4, 4, 5, 6])
  expectOneContent(evil)
  await expectReceived(scene, chosen)
})

chromiumTest.each([
  ['part of it was at the portal', 4],
  ['the portal had nothing', 1],
])('after a reload when %s, another file that looks the same is sealed with a new key', async (_when, part) => {
  const scene = await browserScene()
  const { world, evil, browser } = scene
  await world.receiver('bob')
  const transferId = await reloadedAt(scene, fileOf(PARTS), part)
  const other = fileOf(PARTS, 2)
  const end = await outcome(browser, await send(browser, other))
  expect(end).toMatchObject({ outcome: 'delivered' })
  expect(end.transferId).not.toBe(transferId)
  expectOneContent(evil)
  await expectReceived(scene, other)
  expect(await world.received('bob')).toEqual([other.name])
})

chromiumTest('without the seal record a new key seals the file', async () => {
  const scene = await browserScene()
  const { world, evil, browser } = scene
  await world.receiver('bob')
  const transferId = await reloadedAt(scene, fileOf(PARTS), 4)
  await browser.run('test/page/browser/sender-records.ts', 'damage', '/', transferId, [2])
  const other = fileOf(PARTS, 2)
  const end = await outcome(browser, await send(browser, other))
  expect(end).toMatchObject({ outcome: 'delivered' })
  expect(end.transferId).not.toBe(transferId)
  expectOneContent(evil)
})

test('two tabs that continue a file at once make one transfer and one delivery', async () => {
  const scene = await browserScene()
  const { world, evil, browser, account } = scene
  await world.receiver('bob')
  const chosen = fileOf(PARTS)
  const transferId = await reloadedAt(scene, chosen, 4)
  const tabs = [browser, await browser.tab(), await browser.tab()]
  for (const tab of tabs) expect(await begin(tab, account)).toBeNull()
  const sendings = await Promise.all(tabs.map((tab) => send(tab, chosen)))
  const ends = await Promise.all(tabs.map((tab, index) => outcome(tab, sendings[index] ?? 0)))
  for (const end of ends) expect(end).toMatchObject({ outcome: 'delivered', transferId })
  expectOneContent(evil)
  expect(await world.received('bob')).toEqual([chosen.name])
})

chromiumTest('two tabs that start a file at once make one transfer', async () => {
  const { world, evil, browser, account } = await browserScene()
  await world.receiver('bob')
  const other = await browser.tab()
  expect(await begin(other, account)).toBeNull()
  const tabs = [browser, other]
  const sendings = await Promise.all(tabs.map((tab) => send(tab, fileOf(PARTS))))
  const ends = await Promise.all(tabs.map((tab, index) => outcome(tab, sendings[index] ?? 0)))
  expect(new Set(ends.map(({ transferId }) => transferId)).size).toBe(1)
  for (const end of ends) expect(end).toMatchObject({ outcome: 'delivered' })
  expectOneContent(evil)
  expect(await world.received('bob')).toHaveLength(1)
})

chromiumTest('a transfer continues by itself after the portal was restarted', async () => {
  const scene = await browserScene()
  const { world, evil, browser, portal } = scene
  hang(evil, isPart(4))
  const chosen = fileOf(PARTS)
  const sending = await send(browser, chosen)
  await came(evil, isPart(4), PART_BYTES)
  await portal.stop('SIGKILL')
  evil.lies = {}
  evil.cut()
  await until(async () => (await browser.run<string[]>(MODULE, 'heardOfSilence')).length > 0, 'it has noticed')
  await world.portal()
  await world.receiver('bob')
  const end = await outcome(browser, sending)
  expect(end).toMatchObject({ outcome: 'delivered' })
  expect(await startedOf(browser, sending)).toMatchObject([{ transferId: end.transferId, isResumed: false }])
  expectOneContent(evil)
  await expectReceived(scene, chosen)
})

chromiumTest('a transfer that is paused longer than the upload timeout frees its slot and loses nothing', async () => {
  const uploadTimeoutMs = 3_000
  const scene = await browserScene(['--upload-timeout', `${uploadTimeoutMs}ms`])
  const { world, evil, browser } = scene
  await world.receiver('bob')
  await browser.run(MODULE, 'sendOneAtATime')
  hang(evil, isPart(4))
  const chosen = fileOf(PARTS)
  const sending = await send(browser, chosen)
  await came(evil, isPart(4), PART_BYTES)
  const [started] = await startedOf(browser, sending)
  const small = fileOf(1, 2, 'small.bin')
  const next = await send(browser, small)
  expect(await startedOf(browser, next)).toEqual([])
  evil.lies = {}
  await browser.run(MODULE, 'pause', sending)
  const pausedAtMs = performance.now()
  expect(await outcome(browser, next)).toMatchObject({ outcome: 'delivered' })
  await until(() => performance.now() - pausedAtMs > 3 * uploadTimeoutMs, 'the portal would have given it up')
  const parts = () => evil.uploads.flatMap((one) => (one.transferId === started?.transferId ? [one.partNumber] : []))
  expect(parts()).toEqual([1, 2, 3, 4])
  await browser.run(MODULE, 'resume', sending)
  expect(await outcome(browser, sending)).toMatchObject({ outcome: 'delivered' })
  expect(parts()).toEqual([1, 2, 3, 4, 4, 5, 6])
  await expectReceived(scene, chosen)
})

chromiumTest('a sender notices that its paused transfer was cancelled elsewhere', async () => {
  const { world, evil, browser } = await browserScene(['--upload-timeout', '1500ms'])
  hang(evil, isPart(4))
  const sending = await send(browser, fileOf(PARTS))
  await came(evil, isPart(4), PART_BYTES)
  await browser.run(MODULE, 'pause', sending)
  const [started] = await startedOf(browser, sending)
  await (await world.client('alice')).cancel(started?.transferId ?? '')
  expect(await outcome(browser, sending)).toMatchObject({ outcome: 'refused', problem: { code: 'cancelled' } })
  expect(await unfinished(browser)).toEqual([])
})

/**
 * Sends a file until it is stored, without a receiver, then reloads the page.
 *
 * @returns the transfer
 */
async function reloadedWhenStored({ browser, account }: BrowserScene, chosen: Chosen): Promise<string> {
  const sending = await send(browser, chosen)
  const isStored = async () => {
    const events = await browser.run<SendEvent[]>(MODULE, 'events', sending)
    return events.some((event) => event.type === 'notification' && event.notification.notification === 'stored')
  }
  await until(isStored, 'it is stored')
  const [started] = await startedOf(browser, sending)
  await browser.reload()
  expect(await begin(browser, account)).toBeNull()
  return started?.transferId ?? ''
}

test('after a reload a stored file is followed without the file, and its receipt is kept', async () => {
  const scene = await browserScene()
  const { world, browser } = scene
  const transferId = await reloadedWhenStored(scene, fileOf(PARTS))
  expect(await unfinished(browser)).toMatchObject([{ transferId }])
  const following = browser.run(MODULE, 'follow', transferId)
  await world.receiver('bob')
  expect(await following).toMatchObject({ outcome: 'delivered', transferId })
  expect(await browser.run(MODULE, 'receiptsOf', transferId)).toHaveLength(1)
  expect(await unfinished(browser)).toEqual([])
})

chromiumTest.each([
  ['of several parts', PARTS],
  ['of one part', 1],
])(
  'a file %s that is chosen again while its receiver is awaited stays one transfer; another file is sent',
  async (_what, parts) => {
    const scene = await browserScene()
    const { world, browser, evil } = scene
    const chosen = fileOf(parts)
    const transferId = await reloadedWhenStored(scene, chosen)
    const uploads = evil.uploads.length
    const again = await send(browser, chosen)
    await until(async () => (await startedOf(browser, again)).length > 0, 'it continues')
    const other = await send(browser, fileOf(parts, 2))
    await until(async () => (await startedOf(browser, other)).length === 2, 'it turned out to be another one')
    await world.receiver('bob')
    expect(await outcome(browser, again)).toMatchObject({ outcome: 'delivered', transferId })
    const end = await outcome(browser, other)
    expect(end).toMatchObject({ outcome: 'delivered' })
    expect(end.transferId).not.toBe(transferId)
    expect(evil.uploads.length).toBe(uploads + parts)
    expectOneContent(evil)
    const contents = await Promise.all(
      (await world.received('bob')).map((name) => readFile(join(world.inbox('bob'), name))),
    )
    const sent = [1, 2].map((seed) => Buffer.from(fileContent(seed, chosen.sizeBytes)))
    expect(contents.sort(Buffer.compare)).toEqual(sent.sort(Buffer.compare))
  },
)

chromiumTest('two files of a folder that look the same are two transfers', async () => {
  const { world, browser, evil } = await browserScene()
  await world.receiver('bob')
  const names = ['a - report.bin', 'b - report.bin']
  const sendings = await Promise.all(
    names.map((toldAs, index) => send(browser, { ...fileOf(PARTS, index + 1), toldAs })),
  )
  const ends = await Promise.all(sendings.map((sending) => outcome(browser, sending)))
  expect(ends).toMatchObject(names.map((path) => ({ outcome: 'delivered', path })))
  expect(await world.received('bob')).toEqual(names)
  expectOneContent(evil)
})

chromiumTest(
  'an unfinished transfer that is cancelled is deleted at the portal, and the file can be sent as a new one',
  async () => {
    const scene = await browserScene()
    const { world, browser } = scene
    const chosen = fileOf(PARTS)
    const transferId = await reloadedAt(scene, chosen, 4)
    await browser.run(MODULE, 'forgetOne', transferId)
    expect(await unfinished(browser)).toEqual([])
    expect(await (await world.client('alice')).transfer(transferId)).toMatchObject({ state: 'cancelled' })
    await world.receiver('bob')
    const end = await outcome(browser, await send(browser, chosen))
    expect(end).toMatchObject({ outcome: 'delivered' })
    expect(end.transferId).not.toBe(transferId)
  },
)

chromiumTest('nothing is sent to a receiver with other keys than the known ones', async () => {
  const scene = await sceneWith(['alice', 'bob'])
  onTestFinished(() => scene[Symbol.asyncDispose]())
  const browser = await browserPage({ portalUrl: scene.evil.url })
  onTestFinished(() => browser.close())
  await browser.run(MODULE, 'mistrustBob')
  expect(await begin(browser, await accountOf(scene))).toBe('keys-changed')
})

/** Changes one byte of a part and keeps the length. */
async function overwriteByte(path: string): Promise<void> {
  await using handle = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, PART_BYTES / 2)
  byte[0] = (byte[0] ?? 0) ^ 1
  await handle.write(byte, 0, 1, PART_BYTES / 2)
}

test.each([
  ['is appended to', (path: string) => appendFile(path, 'x')] as const,
  ['is overwritten in a part that was sent', overwriteByte] as const,
  ['is cut short', (path: string) => truncate(path, PART_BYTES)] as const,
  ['is removed', (path: string) => rm(path)] as const,
])('a file that is %s during the upload is not sent, and the error says so', async (_how, change) => {
  const { world, evil, browser } = await browserScene()
  const path = await world.file('disk.bin', PARTS * PART_BYTES)
  await browser.run(MODULE, 'showField')
  await browser.page.setInputFiles('input', path)
  hang(evil, isPart(3))
  const sending = await browser.run<number>(MODULE, 'sendChosen')
  await came(evil, isPart(3), PART_BYTES)
  await change(path)
  evil.lies = {}
  evil.cut()
  const end = await outcome(browser, sending)
  expect(end).toMatchObject({ outcome: 'refused', problem: { code: 'source-changed' } })
  expect(await (await world.client('alice')).transfer(end.transferId ?? '')).toMatchObject({ state: 'cancelled' })
  expect(await unfinished(browser)).toEqual([])
})

test('an empty file that is written to after it was chosen is not sent as empty', async () => {
  const { world, browser } = await browserScene()
  const path = await world.file('empty.bin', 0)
  await browser.run(MODULE, 'showField')
  await browser.page.setInputFiles('input', path)
  await appendFile(path, 'x')
  const end = await outcome(browser, await browser.run<number>(MODULE, 'sendChosen'))
  expect(end).toMatchObject({ outcome: 'refused', problem: { code: 'source-unreadable' } })
})
