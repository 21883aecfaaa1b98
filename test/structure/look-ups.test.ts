/** Names from outside are looked up as own members: an account may be called `constructor`, which every object has. */
import { expect, test } from 'vitest'
import { readSources } from './sources.ts'

test('wrapped keys are looked up in one place', () => {
  const places = readSources().flatMap(({ path, text }) =>
    [...text.matchAll(/\bkeys\[/g)].map(({ index }) => `${path}: ${text.slice(index - 70, index + 20)}`),
  )
  expect(places).toEqual([expect.stringMatching(/^src\/protocol\/messages\.ts: .*Object\.hasOwn/s)])
})
