/** The ends of commands: exit codes and error messages. */
import { CommanderError } from 'commander'
import { NoResponseError, RemoteProblem, tokenRemovedText, UnusableConnectionError } from '../client/index.ts'
import { GoLooaderError } from '../library/error.ts'
import { Problem, type ProblemCode } from '../protocol/index.ts'
import { OutputLostError, sayError } from './output.ts'
import { problemText } from './send-lines.ts'
import { bugText } from './stacks.ts'
import { systemErrorText } from './system-errors.ts'
import { localTime, printable } from './text.ts'

/**
 * Exit codes, the same for every command. Those of `send` are documented in its help and in docs/sending.md. `outputLost` replaces
 * only `ok`, because any other code is more important.
 */
export const exitCodes = {
  ok: 0,
  bug: 1,
  usage: 2,
  failed: 3,
  refused: 4,
  noAnswer: 5,
  undelivered: 6,
  outputLost: 7,
  commandFailed: 8,
  interrupted: 130,
} as const

/** The command line is wrong. The message says what to do instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A signal of the user or the system has interrupted the command. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError'
  constructor(signal: string) {
    super(`interrupted by ${signal}`)
  }
}

/** Prints an error for people. @returns the exit code */
export function reportError(error: unknown): number {
  const { text, code } = describeError(error)
  if (text !== '') sayError(`golooader: ${text}`)
  return code
}

/** The exit code of a command that fails with this error. */
export function exitCodeFor(error: unknown): number {
  return describeError(error).code
}

/** The command is right, but keys, receipts or the portal are not. */
const TRUST_PROBLEMS: ReadonlySet<string> = new Set<ProblemCode>([
  'keys-changed',
  'keys-missing',
  'portal-different',
  'receipt-invalid',
])

/** The command is right, but what it asks for is not to be had. */
const REFUSALS: ReadonlySet<string> = new Set<ProblemCode>(['guests-off', 'link-invalid', 'link-taken', 'outbox-busy'])

/** The command line or the profile on this machine is wrong. The detail says what to do. */
const USAGE_PROBLEMS: ReadonlySet<string> = new Set<ProblemCode>(['options-invalid', 'profile-unusable'])

function describeError(error: unknown): { text: string; code: number } {
  if (error instanceof GoLooaderError && error.cause === undefined) {
    return { text: problemText(error.problem), code: exitCodes.refused }
  }
  if (error instanceof GoLooaderError) return describeError(error.cause)
  // Commander has printed its own message or the requested help.
  if (error instanceof CommanderError) return { text: '', code: error.exitCode === 0 ? 0 : exitCodes.usage }
  if (error instanceof UsageError) return { text: error.message, code: exitCodes.usage }
  if (error instanceof OutputLostError) return { text: error.message, code: exitCodes.outputLost }
  if (error instanceof InterruptedError) return { text: error.message, code: exitCodes.interrupted }
  if (error instanceof RemoteProblem) {
    const code = error.next === 'retry' ? exitCodes.noAnswer : exitCodes.refused
    return { text: `${problemText(error.problem)}${hintFor(error.code, error.problem)}`, code }
  }
  if (error instanceof Problem && USAGE_PROBLEMS.has(error.code)) {
    return { text: String(error.details.detail ?? error.message), code: exitCodes.usage }
  }
  if (error instanceof Problem && (TRUST_PROBLEMS.has(error.code) || REFUSALS.has(error.code))) {
    return { text: `${error.message} (${error.code})${hintFor(error.code, error.details)}`, code: exitCodes.refused }
  }
  if (error instanceof UnusableConnectionError) {
    const code = error.code === 'insecure-transport' ? exitCodes.usage : exitCodes.refused
    return { text: `${printable(error.message)} (${error.code})${hintFor(error.code, {})}`, code }
  }
  if (error instanceof Problem) return { text: `${error.message} (${error.code})`, code: exitCodes.usage }
  if (error instanceof NoResponseError) {
    return { text: `${error.message}. Is the portal running, and is its address right?`, code: exitCodes.noAnswer }
  }
  const system = systemErrorText(error)
  if (system !== null) return { text: system, code: exitCodes.usage }
  return { text: bugText(error), code: exitCodes.bug }
}

function hintFor(code: string, details: Readonly<Record<string, unknown>>): string {
  switch (code) {
    case 'credentials-invalid':
      return '\nThe portal does not know this profile, or not any more. Ask its operator for a link, then: golooader join LINK'
    case 'not-found':
      return (
        '\nThe portal has no such transfer of yours: the id is not right, its history has ended, or the portal was restored ' +
        'from a backup.\nIf a receiver lacks the file, send it again.'
      )
    case 'credentials-missing':
      return `\n${tokenRemovedText}`
    case 'invite-invalid':
      return '\nInvites work once, for 24 hours. Ask for a new one: golooader invite NAME'
    case 'guests-off':
      return '\nThe operator of the portal allows links with: golooader portal --guests'
    case 'too-many-guests':
      return '\nLinks that are open count until they expire. Wait, or ask the operator of the portal for more'
    case 'link-invalid':
      if (details.detail !== undefined) return '\nAsk its maker for a new one'
      return '\nIs it complete, and is the passphrase right? Links end by themselves, too. Ask its maker for a new one'
    case 'link-taken':
      return `\n${takenText(details)}If it was not you, tell its maker. A link for several people is made with: --takes N`
    case 'keys-changed':
      if (details.isLink === true) {
        return '\nThe portal, or a third party on the way, may be cheating. Nothing was sent or received. Ask the maker of the link for another one'
      }
      return (
        `\nA third party may be listening in, or ${details.account} has joined again. Ask ${details.account}, not by way of the portal, ` +
        `what 'golooader whoami' says there.\nIf it is ${details.offered}: golooader contacts trust ${details.account} ${details.offered}`
      )
    case 'keys-missing':
      return `\n${details.account} has to run a golooader that has keys once. To send what the portal can read: --plain`
    case 'insecure-transport':
      return '\nAsk the operator of the portal for an address with https://. In a network that you trust: --insecure'
    default:
      return ''
  }
}

function takenText({ takenAt }: Readonly<Record<string, unknown>>): string {
  return typeof takenAt === 'string' ? `That was at ${localTime(takenAt)}. ` : ''
}

/** Aborts at the first SIGINT or SIGTERM; a second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(exitCodes.interrupted)
      controller.abort(new InterruptedError(signal))
    })
  }
  return controller.signal
}

/** Of the outcomes of several files, the exit code of the one that most needs an action. */
export function exitCodeOfAll(outcomes: ReadonlySet<string>): number {
  if (outcomes.has('no-answer')) return exitCodes.noAnswer
  if (outcomes.has('refused')) return exitCodes.refused
  if (outcomes.has('failed')) return exitCodes.failed
  return outcomes.has('undelivered') ? exitCodes.undelivered : exitCodes.ok
}
