import { expect, test } from 'vitest'
import { failedOf, filesOf, isBroken, summaryOf, type TestResult, toldOf, withSecondRun } from './results.ts'

function result(name: string, state: TestResult['state'], project = 'e2e'): TestResult {
  return { project, file: 'test/a.test.ts', name, state }
}

test('a test that passes on its own counts once, as passed, and is named', () => {
  const first = [result('one', 'passed'), result('two', 'failed')]
  const last = withSecondRun(first, [result('one', 'passed'), result('two', 'passed')])
  expect(summaryOf(first, last, 0)).toEqual({ passed: 2, failed: 0, passedAlone: [result('two', 'failed')] })
})

test('a test that fails twice has failed, as has one that fails on its own alone', () => {
  const first = [result('one', 'passed'), result('two', 'failed'), result('three', 'failed')]
  const last = withSecondRun(first, [result('one', 'failed'), result('two', 'failed'), result('three', 'passed')])
  expect(summaryOf(first, last, 0)).toEqual({ passed: 1, failed: 2, passedAlone: [result('three', 'failed')] })
})

test('a file that could not be loaded is no failed test once it is', () => {
  const first = [result('the file itself', 'failed')]
  expect(filesOf(failedOf(first))).toEqual([{ project: 'e2e', file: 'test/a.test.ts' }])
  const last = withSecondRun(first, [result('one', 'passed')])
  expect(summaryOf(first, last, 0)).toMatchObject({ passed: 1, failed: 0 })
})

test('a second run of one project leaves the results of the same file in another one', () => {
  const first = [result('one', 'passed', 'browser'), result('one', 'failed', 'firefox')]
  const last = withSecondRun(first, [result('one', 'passed', 'firefox')])
  expect(summaryOf(first, last, 0)).toMatchObject({ passed: 2, failed: 0 })
})

test('a test that was left out has failed unless it ran in another project, where it counts', () => {
  const tests = [
    ...[result('one', 'passed', 'browser'), result('one', 'left out', 'firefox')],
    ...[result('two', 'failed', 'browser'), result('two', 'left out', 'firefox')],
    result('three', 'left out'),
  ]
  expect(failedOf(tests)).toEqual([result('two', 'failed', 'browser'), result('three', 'left out')])
})

test('a run that fails without a failed test is broken, and counts as a failure', () => {
  const tests = [result('one', 'passed')]
  expect([
    isBroken(null),
    isBroken({ exitCode: 1, tests, errors: [] }),
    isBroken({ exitCode: 0, tests, errors: ['an error outside of a test'] }),
    isBroken({ exitCode: 1, tests: [result('one', 'failed')], errors: [] }),
    isBroken({ exitCode: 0, tests, errors: [] }),
  ]).toEqual([true, true, true, false, false])
  expect(summaryOf(tests, tests, 1)).toMatchObject({ passed: 1, failed: 1 })
})

test('what a test failed with stands below its name', () => {
  expect(toldOf(result('one', 'failed'))).toBe('e2e: test/a.test.ts > one')
  expect(toldOf({ ...result('one', 'failed'), error: 'expected 1\n\nnot 2' })).toBe(
    'e2e: test/a.test.ts > one\n    expected 1\n\n    not 2',
  )
})
