import { expect, test } from 'vitest'
import { Gatherer } from '../../src/async/index.ts'

/** A gatherer whose acts end when the test says so. */
function scene() {
  const acts: { readonly items: readonly string[]; end(error?: Error): void }[] = []
  const gatherer = new Gatherer<string>((items) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    acts.push({ items, end: (error) => (error === undefined ? resolve() : reject(error)) })
    return promise
  }, setImmediate)
  const begun = (...expected: string[][]) => expect.poll(() => acts.map(({ items }) => items)).toEqual(expected)
  return { acts, gatherer, begun }
}

test('items of one turn share an act, and items that come during an act share the next one', async () => {
  const { acts, gatherer, begun } = scene()
  const first = ['a', 'b'].map((item) => gatherer.add(item))
  await begun(['a', 'b'])
  const later = ['c', 'd'].map((item) => gatherer.add(item))
  await begun(['a', 'b'])
  acts[0]?.end()
  await Promise.all(first)
  await begun(['a', 'b'], ['c', 'd'])
  acts[1]?.end()
  await Promise.all(later)
})

test('an act that fails fails for each of its items, and not for later ones', async () => {
  const { acts, gatherer, begun } = scene()
  const results = Promise.allSettled(['a', 'b'].map((item) => gatherer.add(item)))
  await begun(['a', 'b'])
  const later = gatherer.add('c')
  acts[0]?.end(new Error('full'))
  expect((await results).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await begun(['a', 'b'], ['c'])
  acts[1]?.end()
  await expect(later).resolves.toBeUndefined()
})
