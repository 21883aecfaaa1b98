import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { problemRows } from './problem-table.ts'
import { readSources, root } from './sources.ts'

const ROW = /^\| *`([a-z0-9-]+)` *\| *([0-9]{3}) *\| *(fix|resend|refused|retry) *\| *(.+?) *\|$/

test('the problems of PROTOCOL.md are those of the source', () => {
  const path = join(root, 'PROTOCOL.md')
  expect(existsSync(path), 'PROTOCOL.md is missing').toBe(true)
  const documented = readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, code, status, next, title] = ROW.exec(line.trim()) ?? []
      return code === undefined ? [] : [`| \`${code}\` | ${status} | ${next} | ${title} |`]
    })
  expect(documented, 'refresh it with: node test/structure/problem-table.ts').toEqual(problemRows())
})

test('every row of the table can be read back', () => {
  expect(problemRows().filter((row) => !ROW.test(row))).toEqual([])
})

test('every problem code that is thrown or compared is in the table', () => {
  // The compiler checks `new Problem(…)`. This test checks comparisons with codes from the network.
  const codes = new Set(problemRows().map((row) => ROW.exec(row)?.[1]))
  const unknown = readSources().flatMap(({ path, text }) =>
    [...text.matchAll(/\.code (?:===|!==) '([^']+)'/g)]
      .filter(([, code = '']) => !codes.has(code) && !/^E[A-Z]+$|^ERR_|^commander\./.test(code))
      .map(([found]) => `${path}: ${found}`),
  )
  expect(unknown).toEqual([])
})
