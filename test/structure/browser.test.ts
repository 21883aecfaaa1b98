/** Browser features that may be missing are read in one file, which handles undefined. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readSources, root } from './sources.ts'

const MAY_BE_MISSING = /navigator\s*\.\s*(?:storage|locks|clipboard)|\bin navigator\b/

test('navigator.storage, locks and clipboard are read in src/page/platform/browser.ts only', () => {
  const places = readSources().filter(({ path, text }) => {
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
    return path !== 'src/page/platform/browser.ts' && MAY_BE_MISSING.test(code)
  })
  expect(places.map(({ path }) => path)).toEqual([])
})

test('the page and each of its workers define the symbols of `using` before anything else', () => {
  const begins = readdirSync(join(root, 'src/page'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /(?:^|\/)(?:(?:main|guest)\.tsx|.*-worker\.ts)$/.test(path.replaceAll('\\', '/')))
    .map((path) => [path, readFileSync(join(root, 'src/page', path), 'utf8').match(/^import .*$/m)?.[0]])
  expect(begins.length).toBeGreaterThan(3)
  for (const [path, first] of begins) expect(first, path).toMatch(/^import '[./a-z]*\/disposables\.ts'$/)
})
