/**
 * A reporter for people: it prints each failing test at once with file, time and error, and at the end the slowest files. For programs it
 * writes the results to a file (`test/results.ts`).
 */
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node'
import { RESULTS_VARIABLE, type RunResults, type TestResult } from './results.ts'

const SLOW_FILES_MAX = 10
/** Faster files are not listed. */
const SLOW_MS_MIN = 1_000
const MESSAGE_LENGTH_MAX = 600

export default class LoudReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const { state, errors = [] } = test.result()
    if (state !== 'failed') return
    const ms = Math.round(test.diagnostic()?.duration ?? 0)
    say(`FAILED after ${ms} ms: ${placeOf(test.module)} > ${test.fullName}\n${indented(saidOf(errors))}`)
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const path = process.env[RESULTS_VARIABLE]
    if (path !== undefined) writeAtExit(path, modules, errors)
    const slow = modules
      .map((module) => ({ place: placeOf(module), ms: module.diagnostic().duration }))
      .filter(({ ms }) => ms >= SLOW_MS_MIN)
      .sort((a, b) => b.ms - a.ms)
      .slice(0, SLOW_FILES_MAX)
    if (slow.length === 0) return
    const lines = slow.map(({ place, ms }) => `${(ms / 1_000).toFixed(1).padStart(7)} s  ${place}`)
    say(`The slowest files:\n${lines.join('\n')}`)
  }
}

/** The exit code is known at the exit alone. */
function writeAtExit(path: string, modules: readonly TestModule[], errors: readonly SerializedError[]): void {
  const results = { tests: modules.flatMap(resultsOf), errors: errors.map(({ message }) => message) }
  process.once('exit', (exitCode) => {
    writeFileSync(path, JSON.stringify({ exitCode, ...results } satisfies RunResults))
  })
}

function resultsOf(module: TestModule): TestResult[] {
  const file = { project: module.project.name, file: placeOf(module) }
  const tests = [...module.children.allTests()].map((test): TestResult => {
    const { state, errors = [] } = test.result()
    const isFailed = state !== 'skipped' && state !== 'passed'
    return {
      ...file,
      name: test.fullName,
      state: isFailed ? 'failed' : state === 'skipped' ? 'left out' : 'passed',
      ...(isFailed ? { error: saidOf(errors) } : {}),
    }
  })
  // A file that could not be loaded, a failed hook, or a worker that broke.
  const isWhole = ['passed', 'skipped'].includes(module.state()) || tests.some(({ state }) => state === 'failed')
  return isWhole ? tests : [...tests, { ...file, name: 'the file itself', state: 'failed' }]
}

function saidOf(errors: readonly SerializedError[]): string {
  return errors.map(({ message }) => message.slice(0, MESSAGE_LENGTH_MAX)).join('\n')
}

function placeOf(module: TestModule): string {
  return relative(process.cwd(), module.moduleId).replaceAll('\\', '/')
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '    ')
}

function say(text: string): void {
  process.stdout.write(`\n${text}\n`)
}
