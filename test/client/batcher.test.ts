/** Items that are added at the same time share a request; each gets its own answer. */
import { expect, test, vi } from 'vitest'
import { Batcher, type BatchResult, NoResponseError, RemoteProblem } from '../../src/client/index.ts'
import { Problem } from '../../src/protocol/index.ts'

interface Scene {
  readonly batcher: Batcher<string, string>
  /** The requests so far: a single item, or a batch with commas. */
  readonly requests: string[]
  /** Answers the oldest running request. */
  answer(): Promise<void>
}

/** @param together the answers to a batch */
function scene({
  itemsMax = 4,
  awaitedItemsMin = 2,
  together = (items: readonly string[]): BatchResult<string>[] => items.map((item) => ({ value: item.toUpperCase() })),
} = {}): Scene {
  const requests: string[] = []
  const gates: (() => void)[] = []
  const underWay = async <Result>(name: string, result: () => Result): Promise<Result> => {
    requests.push(name)
    await new Promise<void>((resolve) => gates.push(resolve))
    return result()
  }
  const batcher = new Batcher<string, string>({
    itemsMax,
    awaitedItemsMin,
    bytesMax: 10,
    bytesOf: (item) => item.length,
    sendAlone: (item) => underWay(item, () => item.toUpperCase()),
    sendTogether: (items) => underWay(items.join(), () => together(items)),
  })
  return {
    batcher,
    requests,
    async answer() {
      gates.shift()?.()
      // All consequences have happened when this turn of the event loop has ended.
      await new Promise(setImmediate)
    },
  }
}

test('the first item is sent at once and alone; items that come meanwhile are sent together', async () => {
  const { batcher, requests, answer } = scene()
  const all = ['a', 'b', 'c'].map((item) => batcher.send(item, {}))
  expect(requests).toEqual(['a'])
  await answer()
  expect(requests).toEqual(['a', 'b,c'])
  await answer()
  expect(await Promise.all(all)).toEqual(['A', 'B', 'C'])
})

test('a second request starts only for a full batch, which is bounded by count and bytes', async () => {
  const { batcher, requests, answer } = scene()
  const all = ['a', 'b', 'c', 'd', 'e', 'f', 'gggggggg', 'hhhh', 'i'].map((item) => batcher.send(item, {}))
  expect(requests).toEqual(['a', 'b,c,d,e'])
  await answer()
  expect(requests).toEqual(['a', 'b,c,d,e', 'f,gggggggg'])
  while (requests.length < 4) await answer()
  await answer()
  await answer()
  expect(requests.at(-1)).toBe('hhhh,i')
  expect(await Promise.all(all)).toHaveLength(9)
})

test('a request waits for items that are expected, but not for long, and not when it is full', async () => {
  const { batcher, requests, answer } = scene()
  const [readyA, readyB] = [batcher.expect(), batcher.expect()]
  readyA[Symbol.dispose]()
  const a = batcher.send('a', {})
  readyB[Symbol.dispose]()
  const b = batcher.send('b', {})
  readyB[Symbol.dispose]()
  await Promise.resolve()
  expect(requests).toEqual(['a,b'])
  await answer()
  await Promise.all([a, b])

  const failed = batcher.expect()
  const c = batcher.send('c', {})
  expect(requests).toHaveLength(1)
  failed[Symbol.dispose]()
  await Promise.resolve()
  expect(requests.at(-1)).toBe('c')
  await answer()
  await c

  // One that never comes.
  batcher.expect()
  const d = batcher.send('d', {})
  expect(requests).toHaveLength(2)
  await vi.waitFor(() => expect(requests.at(-1)).toBe('d'), { timeout: 60_000 })
  const full = ['e', 'f', 'g', 'h'].map((item) => batcher.send(item, {}))
  expect(requests.at(-1)).toBe('e,f,g,h')
  await answer()
  await answer()
  await Promise.all([d, ...full])
})

test('a request does not wait where too few items are expected to be worth it', async () => {
  const { batcher, requests, answer } = scene({ awaitedItemsMin: 3 })
  const ready = [batcher.expect(), batcher.expect()]
  const a = batcher.send('a', {})
  const b = batcher.send('b', {})
  // Three of these: one that waits, and two that are expected.
  expect(requests).toEqual([])
  for (const one of ready) one[Symbol.dispose]()
  await Promise.resolve()
  expect(requests).toEqual(['a,b'])
  await answer()
  await Promise.all([a, b])

  batcher.expect()
  const c = batcher.send('c', {})
  expect(requests.at(-1)).toBe('c')
  await answer()
  await c
})

test('an item that is too long is sent alone, and so is every item when the portal has no batches', async () => {
  const one = scene()
  const long = one.batcher.send('a'.repeat(11), {})
  const other = one.batcher.send('b'.repeat(11), {})
  expect(one.requests).toHaveLength(2)
  await one.answer()
  await one.answer()
  await Promise.all([long, other])
  const none = scene({ itemsMax: 0 })
  const all = ['a', 'b'].map((item) => none.batcher.send(item, {}))
  expect(none.requests).toEqual(['a', 'b'])
  await none.answer()
  await none.answer()
  await Promise.all(all)
})

test('the error of one item is reported for that item only; a request without an answer fails all of its items', async () => {
  const refused = new RemoteProblem(new Problem('receiver-unknown').toJSON())
  const { batcher, answer } = scene({
    together: (items) => items.map((item) => (item === 'b' ? { error: refused } : { value: item })),
  })
  const all = Promise.allSettled(['a', 'b', 'c'].map((item) => batcher.send(item, {})))
  await answer()
  await answer()
  expect(await all).toMatchObject([{ value: 'A' }, { reason: refused }, { value: 'c' }])

  const silence = new NoResponseError('no answer')
  const silent = scene({
    together: () => {
      throw silence
    },
  })
  const asked = Promise.allSettled(['a', 'b', 'c'].map((item) => silent.batcher.send(item, {})))
  await silent.answer()
  await silent.answer()
  expect(await asked).toMatchObject([{ value: 'A' }, { reason: silence }, { reason: silence }])
})

test.each([
  ['the portal does not know batches', new RemoteProblem(new Problem('not-found').toJSON()), 0],
  ['a proxy takes no body of this size', new NoResponseError('too large', { isPermanent: true }), 0],
  ['one item makes the batch invalid', new RemoteProblem(new Problem('request-invalid').toJSON()), 1],
])('where %s, each item is sent alone', async (_, error, laterBatches) => {
  const { batcher, requests, answer } = scene({
    together: () => {
      throw error
    },
  })
  const all = ['a', 'b', 'c'].map((item) => batcher.send(item, {}))
  for (let index = 0; index < 4; index++) await answer()
  expect(await Promise.all(all)).toEqual(['A', 'B', 'C'])
  expect(requests).toEqual(['a', 'b,c', 'b', 'c'])
  const later = ['d', 'e', 'f'].map((item) => batcher.send(item, {}))
  for (let index = 0; index < 5; index++) await answer()
  await Promise.all(later)
  expect(requests.filter((one) => one.includes(',')).length - 1).toBe(laterBatches)
})

test('an aborted item is not sent; the others of its batch are', async () => {
  const { batcher, requests, answer } = scene()
  const giveUp = new AbortController()
  const [first, second, third] = [
    batcher.send('a', {}),
    batcher.send('b', { signal: giveUp.signal }),
    batcher.send('c', {}),
  ]
  giveUp.abort(new Error('enough'))
  await expect(second).rejects.toThrow('enough')
  await answer()
  await answer()
  expect([await first, await third]).toEqual(['A', 'C'])
  expect(requests).toEqual(['a', 'c'])
  await expect(batcher.send('d', { signal: giveUp.signal })).rejects.toThrow('enough')
})

test('a request whose callers have all aborted is aborted', async () => {
  const signals: AbortSignal[] = []
  const batcher = new Batcher<string, string>({
    itemsMax: 4,
    bytesMax: 10,
    bytesOf: () => 1,
    sendAlone: async (item) => item,
    sendTogether: (items, { signal }) => {
      if (signal !== undefined) signals.push(signal)
      return new Promise(() => items)
    },
  })
  const [one, other] = [new AbortController(), new AbortController()]
  const first = batcher.send('a', {})
  const asked = [one, other].map(({ signal }) => batcher.send('b', { signal }))
  await first
  await new Promise(setImmediate)
  one.abort(new Error('enough'))
  expect(signals.map(({ aborted }) => aborted)).toEqual([false])
  other.abort(new Error('enough'))
  expect(signals.map(({ aborted }) => aborted)).toEqual([true])
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})
