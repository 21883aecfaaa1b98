/** How commands of `--exec` ended, for people and for programs. */
import type { CommandEnd } from '../exec/index.ts'
import { durationText } from '../protocol/index.ts'

/** EX_TEMPFAIL of sysexits.h: not now. */
export const TEMPFAIL = 75

const STILL_RUNNING =
  'a part of it still runs, and cannot be ended: it belongs to another user (sudo), or waits for a disk'

/** How a command ended for one event: a line of `--json`. */
export interface CommandReport extends CommandEnd {
  readonly type: 'command'
  readonly event: string
  /** Null for a file that was refused before it had a transfer. */
  readonly transferId: string | null
  readonly name: string
}

/** The same for people. @param what names the file */
export function commandText(report: CommandReport, what: string): string {
  const sign = report.exitCode === 0 ? '✔' : report.exitCode === TEMPFAIL ? '…' : '!'
  // The text of a time limit has the time already.
  const after = report.isTimedOut ? '' : `, after ${durationText(report.durationMs)}`
  const first = `${sign} ${what}: command: ${endText(report)}${after}`
  const lines = [...report.lastLines, ...(report.isStillRunning ? [STILL_RUNNING] : [])]
  return [first, ...lines.map((line) => `    ${line}`)].join('\n')
}

/** Takes what a command was run for, by the name of its file for people. */
export type OnCommand = (report: CommandReport, what: string) => void

/** Prints reports as lines. */
export function printCommands(print: (text: string) => void, json = false): OnCommand {
  return (report, what) => print(`${json ? JSON.stringify(report) : commandText(report, what)}\n`)
}

/** How a command ended, as a part of a sentence. */
export function endText({ exitCode, signal, isTimedOut, durationMs }: CommandEnd): string {
  if (isTimedOut) return `ended after ${durationText(durationMs)}, by its time limit`
  return signal === null ? `exit code ${exitCode}` : `ended by ${signal}`
}
