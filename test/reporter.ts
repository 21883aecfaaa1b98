/**
 * A reporter for people: it prints each failing test at once with file, time and error, and at the end the slowest files.
 */
import { relative } from 'node:path'
import type { Reporter, TestCase, TestModule } from 'vitest/node'

const SLOW_FILES_MAX = 10
/** Faster files are not listed. */
const SLOW_MS_MIN = 1_000
const MESSAGE_LENGTH_MAX = 600

export default class LoudReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const { state, errors = [] } = test.result()
    if (state !== 'failed') return
    const ms = Math.round(test.diagnostic()?.duration ?? 0)
    const said = errors.map(({ message }) => message.slice(0, MESSAGE_LENGTH_MAX)).join('\n')
    say(`FAILED after ${ms} ms: ${placeOf(test.module)} > ${test.fullName}\n${indented(said)}`)
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
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

function placeOf(module: TestModule): string {
  return relative(process.cwd(), module.moduleId).replaceAll('\\', '/')
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '    ')
}

function say(text: string): void {
  process.stdout.write(`\n${text}\n`)
}
