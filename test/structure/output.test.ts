/** The output of commands goes through one module, which notices lost output and knows what a terminal can show. */
import { expect, test } from 'vitest'
import { readSources } from './sources.ts'

test('no command writes to standard output or standard error by itself', () => {
  const direct = readSources()
    .filter(({ path, text }) => path.startsWith('src/cli/') && /process\.std(?:out|err)\.write\(|console\./.test(text))
    .map(({ path }) => path)
  expect(direct).toEqual(['src/cli/output.ts'])
})
