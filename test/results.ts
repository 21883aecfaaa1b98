/** What a run of Vitest came to, as `test/reporter.ts` writes it, and what several runs come to together. */
import { readFileSync } from 'node:fs'
import { hasCode } from '../src/fs/index.ts'

/** The reporter writes the results of a run to the path that this environment variable names. */
export const RESULTS_VARIABLE = 'GOLOOADER_TEST_RESULTS'

export interface TestFile {
  readonly project: string
  /** Relative to the repository, with slashes. */
  readonly file: string
}

export interface TestResult extends TestFile {
  readonly name: string
  readonly state: 'passed' | 'failed' | 'left out'
  /** The messages of the errors of a failed test, shortened. */
  readonly error?: string
}

export interface RunResults {
  /** What the process of Vitest ended with. */
  readonly exitCode: number
  readonly tests: readonly TestResult[]
  /** Errors that belong to no test. */
  readonly errors: readonly string[]
}

export interface Summary {
  readonly passed: number
  readonly failed: number
  /** Tests that failed beside others and passed when their file ran alone. They count as passed. */
  readonly passedAlone: readonly TestResult[]
}

/** @returns null when the run broke before it wrote its results */
export function readResults(path: string): RunResults | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/** Whether a run failed otherwise than by a test that it names. */
export function isBroken(results: RunResults | null): boolean {
  if (results === null || results.errors.length > 0) return true
  return results.exitCode !== 0 && results.tests.every(({ state }) => state !== 'failed')
}

/**
 * A test that was left out counts as failed, unless the same test ran in another project: in Chromium, where Firefox cannot be told to do
 * what it needs. Had it failed there, it would count there.
 */
export function failedOf(tests: readonly TestResult[]): TestResult[] {
  const ran = new Set(tests.filter(({ state }) => state !== 'left out').map(({ file, name }) => `${file} > ${name}`))
  const isFailed = ({ file, name, state }: TestResult): boolean =>
    state === 'failed' || (state === 'left out' && !ran.has(`${file} > ${name}`))
  return tests.filter(isFailed)
}

/** The files of these tests, each once. */
export function filesOf(tests: readonly TestResult[]): TestFile[] {
  return [...new Map(tests.map(({ project, file }) => [`${project} ${file}`, { project, file }])).values()]
}

/** The results with those of files that ran once more, alone, in place of their first ones. */
export function withSecondRun(first: readonly TestResult[], second: readonly TestResult[]): TestResult[] {
  const again = filesOf(second)
  return [...first.filter((test) => !again.some((file) => isOf(test, file))), ...second]
}

/** @param first the results before any second run @param last those after it */
export function summaryOf(first: readonly TestResult[], last: readonly TestResult[], brokenRuns: number): Summary {
  const failed = failedOf(last)
  const passedAlone = failedOf(first).filter(
    ({ name, ...file }) => !failed.some((test) => isOf(test, file) && test.name === name),
  )
  return {
    passed: last.filter(({ state }) => state === 'passed').length,
    failed: failed.length + brokenRuns,
    passedAlone,
  }
}

/** Which test it is, and below that what it failed with. */
export function toldOf({ project, file, name, error = '' }: TestResult): string {
  const lines = error === '' ? [] : error.split('\n').map((line) => `    ${line}`.trimEnd())
  return [`${project}: ${file} > ${name}`, ...lines].join('\n')
}

function isOf(test: TestFile, { project, file }: TestFile): boolean {
  return test.project === project && test.file === file
}
