/** Names that others choose are looked up as own members: `constructor` is the name of an account, and of what every object has. */
import { expect, test } from 'vitest'
import { readSources } from './sources.ts'

test('wrapped keys are looked up in one place', () => {
  const places = readSources().flatMap(({ path, text }) =>
    [...text.matchAll(/\bkeys\[/g)].map(({ index }) => `${path}: ${text.slice(index - 70, index + 20)}`),
  )
  expect(places).toEqual([expect.stringMatching(/^src\/protocol\/messages\.ts: .*Object\.hasOwn/s)])
})
