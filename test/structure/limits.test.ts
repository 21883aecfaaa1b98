import { expect, test } from 'vitest'
import * as limits from '../../src/protocol/limits.ts'
import { problemKinds } from '../../src/protocol/problems.ts'
import { limitRows } from './limit-table.ts'

test('the limits of PROTOCOL.md are those of the source, each of them once', () => {
  // The default of a sender is no limit.
  const { partSizeBytesDefault: _default, ...all } = limits
  const inSource = Object.entries(all).filter(([, value]) => typeof value === 'number')
  const documented = limitRows().map(({ name, value }) => [name, value])
  expect(documented.sort()).toEqual(inSource.sort())
})

test('the effect of a limit names a code of the table with its status, or counts as that limit', () => {
  const statusOf: Readonly<Record<string, { status: number }>> = problemKinds
  for (const { name, value, beyond } of limitRows()) {
    for (const [, status, code = ''] of beyond.matchAll(/(\d{3}) `([a-z-]+)`/g)) {
      expect(statusOf[code]?.status, `${name}: ${code}`).toBe(Number(status))
    }
    const [, countsAs] = /^counts as (\d+)$/.exec(beyond) ?? []
    if (countsAs !== undefined) expect(Number(countsAs), name).toBe(value)
  }
})
