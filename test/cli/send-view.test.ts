/** What `send` shows, by the events it is given. Time is the test's own. */
import { Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Connection } from '../../src/cli/connect.ts'
import { runSend } from '../../src/cli/send.ts'
import { chooseView, type SendView } from '../../src/cli/send-view.ts'
import { NoAnswer, type PortalClient } from '../../src/client/index.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** A standard output that remembers. */
function output(isTTY: boolean) {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const columns = { isTTY, columns: 80, rows: 24 }
  return { stream: Object.assign(stream, columns) as unknown as NodeJS.WriteStream, text: () => text }
}

const modes = [
  ['on a terminal', true, false],
  ['in plain lines', false, false],
  ['as JSON', false, true],
] as const

describe.each(modes)('%s', (_, isTTY, isJson) => {
  test('a silence that goes on is told at once, and then now and then', async () => {
    const { stream, text } = output(isTTY)
    const view = await chooseView(stream, isJson)
    const told = (): number => text().match(/refused/g)?.length ?? 0
    const silence = { type: 'silence', transferId: null, reason: 'refused', pauseMs: 100 } as const
    view.onEvent(silence)
    expect(told()).toBe(1)
    for (let seconds = 0; seconds < 30; seconds++) {
      await vi.advanceTimersByTimeAsync(1_000)
      view.onEvent(silence)
    }
    // Programs are told of everything.
    expect(told()).toBe(isJson ? 31 : 4)
    view.end([], 5)
  })

  test('nothing is left running when sending fails before it begins', async () => {
    const { stream } = output(isTTY)
    const chosen = await chooseView(stream, isJson)
    const ends: unknown[] = []
    const view: SendView = {
      ...chosen,
      end(outcomes, exitCode) {
        ends.push(exitCode)
        chosen.end(outcomes, exitCode)
      },
    }
    const client = { account: () => Promise.reject(new NoAnswer('refused')) } as unknown as PortalClient
    const connection = { client, portalUrl: 'http://portal.test', account: null } as Connection
    const sending = runSend(connection, ['a'], { to: ['bob'], answerTimeout: 100 }, view, new AbortController().signal)
    const failing = expect(sending).rejects.toThrow('refused')
    await vi.advanceTimersByTimeAsync(60_000)
    await failing
    expect(ends, 'the summary says how the command ends').toEqual([5])
    expect(vi.getTimerCount()).toBe(0)
  })
})
