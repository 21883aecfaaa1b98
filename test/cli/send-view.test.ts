/** The output of `send` for events of the sender, with fake timers. */
import { Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { OutputStream } from '../../src/cli/output.ts'
import { runSend } from '../../src/cli/send.ts'
import { chooseView, type SendView } from '../../src/cli/send-view.ts'
import { NoResponseError, type PortalClient } from '../../src/client/index.ts'
import { Profile } from '../../src/library/profile.ts'
import type { Connection } from '../../src/profile/index.ts'

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubEnv('TERM', 'xterm')
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllEnvs()
})

/** A standard output that records its text. */
function remembered(isTTY: boolean) {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const columns = { isTTY, columns: 80, rows: 24 }
  const shown = Object.assign(stream, columns) as unknown as OutputStream
  return { output: { stream: shown, line: (line: string) => void stream.write(`${line}\n`) }, text: () => text }
}

const modes = [
  ['on a terminal', true, false],
  ['in plain lines', false, false],
  ['as JSON', false, true],
] as const

describe.each(modes)('%s', (_, isTTY, isJson) => {
  test('a long silence is printed at once, and repeated every few seconds', async () => {
    const { output, text } = remembered(isTTY)
    const view = await chooseView(output, isJson)
    const told = (): number => text().match(/refused/g)?.length ?? 0
    const silence = { type: 'silence', transferId: null, reason: 'refused', pauseMs: 100 } as const
    view.onEvent(silence)
    expect(told()).toBe(1)
    for (let seconds = 0; seconds < 30; seconds++) {
      await vi.advanceTimersByTimeAsync(1_000)
      view.onEvent(silence)
    }
    // JSON has every event.
    expect(told()).toBe(isJson ? 31 : 4)
    view.end([], 5)
  })

  test('no timer is left running when sending fails before it begins', async () => {
    const { output } = remembered(isTTY)
    const chosen = await chooseView(output, isJson)
    const ends: unknown[] = []
    const view: SendView = {
      ...chosen,
      end(outcomes, exitCode) {
        ends.push(exitCode)
        chosen.end(outcomes, exitCode)
      },
    }
    const client = { account: () => Promise.reject(new NoResponseError('refused')) } as unknown as PortalClient
    const connection = { client, portalUrl: 'http://portal.test', account: null } as Connection
    const options = { to: 'bob', responseTimeoutMs: 100 }
    const sending = runSend(new Profile(connection), ['a'], options, view)
    const failing = expect(sending).rejects.toThrow('refused')
    await vi.advanceTimersByTimeAsync(60_000)
    await failing
    expect(ends, 'the summary says how the command ends').toEqual([5])
    expect(vi.getTimerCount()).toBe(0)
  })
})

test('a file that makes no progress has one plain line, however long it waits', async () => {
  const { output, text } = remembered(false)
  const view = await chooseView(output, false)
  const transferId = 'a'
  view.onEvent({
    type: 'started',
    transferId,
    path: 'report.pdf',
    sizeBytes: 1_000,
    to: ['bob'],
    isSealed: true,
    isResumed: false,
    tree: null,
  })
  const lines = (): number => text().match(/to the portal/g)?.length ?? 0
  await vi.advanceTimersByTimeAsync(60_000)
  expect(lines()).toBe(1)
  view.onEvent({ type: 'uploading', transferId, hashedBytes: 500, sentBytes: 500, acknowledgedBytes: 500 })
  await vi.advanceTimersByTimeAsync(60_000)
  expect(lines()).toBe(2)
  view.end([], 5)
})

test('files of the same name are called by their paths, and all lines about a file call it the same', async () => {
  const { output, text } = remembered(false)
  const paths = ['a/report.pdf', 'b/report.pdf', 'b/photo.jpg', 'b/away.jpg']
  const view = await chooseView(output, false, false, paths)
  const about = { sizeBytes: 1_000, to: ['bob'], isSealed: true, isResumed: false, tree: null }
  const ids = paths.slice(0, 3)
  for (const path of ids) view.onEvent({ type: 'started', transferId: path, path, ...about })
  view.end(
    [
      ...ids.map((path) => ({ path, transferId: path, outcome: 'no-answer' as const, reason: 'silence' })),
      { path: 'b/away.jpg', transferId: null, outcome: 'no-answer', reason: 'silence' },
    ],
    5,
  )
  const labels = [...text().matchAll(/^(?:…|✘) (.*?):/gm)].map(([, label]) => label)
  const shown = ['a/report.pdf', 'b/report.pdf', 'photo.jpg']
  expect(labels).toEqual([...shown, ...shown, 'b/away.jpg'])
})

test('of a folder both hops tell how many files are done, and which one follows', async () => {
  const { output, text } = remembered(true)
  const view = await chooseView(output, false)
  const transferId = 'a'
  const tree = { fileCount: 60, contentBytes: 900 }
  const about = { path: 'photos', sizeBytes: 1_000, to: ['bob'], isSealed: true, isResumed: false, tree }
  view.onEvent({ type: 'started', transferId, ...about })
  const files = { done: 30, path: 'photos/one.jpg' }
  view.onEvent({ type: 'uploading', transferId, hashedBytes: 600, sentBytes: 600, acknowledgedBytes: 500, files })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(text()).toMatch(/to the portal .* 30 of 60 files, 500 B of 1000 B\b(?!.*on the way)/)
  expect(text()).toContain('photos/one.jpg')
  view.onEvent({ type: 'notification', notification: { notification: 'stored', ...stored(transferId) } })
  const fetched = { done: 7, path: 'photos/two.jpg' }
  view.onEvent({ type: 'fetched', transferId, receiver: 'bob', fetchedBytes: 200, files: fetched })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(text()).toMatch(/to bob .* 7 of 60 files, 200 B fetched/)
  expect(text()).toContain('photos/two.jpg')
  view.end([], 0)
})

function stored(transferId: string) {
  return { transferId, at: '2026-11-30T12:00:00.000Z', attempt: 1, eventId: '1' }
}
