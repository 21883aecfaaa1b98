/** A change of the library's interface shows in review as a change of docs/api.md. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { apiReport, reportPath } from './api-report.ts'

/** Time for a run of the compiler on a busy machine. */
const COMPILE_MS_MAX = 300_000

test('docs/api.md equals the exported interface (refresh: npm run api)', { timeout: COMPILE_MS_MAX }, () => {
  expect(readFileSync(reportPath, 'utf8')).toBe(apiReport())
})
