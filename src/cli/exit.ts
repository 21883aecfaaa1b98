/** How commands end: exit codes, and what is printed when something went wrong. */
import { CommanderError } from 'commander'
import { NoAnswer, RemoteProblem, UnsafeConnection } from '../client/index.ts'
import { Problem, type ProblemCode } from '../protocol/index.ts'
import { systemErrorText } from './system-errors.ts'
import { printable } from './text.ts'

/** Exit codes, the same for every command; those of `send` are documented in its help and in the README. */
export const exitCodes = {
  ok: 0,
  bug: 1,
  usage: 2,
  failed: 3,
  refused: 4,
  noAnswer: 5,
  undelivered: 6,
  interrupted: 130,
} as const

/** The command line asks for something that makes no sense. The message says what to do instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The user, or the system, wants this process to end. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  constructor(signal: string) {
    super(`interrupted by ${signal}`)
  }
}

/** Prints an error as a person needs it, and says with which code to end. */
export function reportError(error: unknown): number {
  const { text, code } = describeError(error)
  if (text !== '') process.stderr.write(`golooader: ${text}\n`)
  return code
}

/** The code with which a command ends because of an error. */
export function exitCodeFor(error: unknown): number {
  return describeError(error).code
}

/** Not the command is wrong, but what it is about. */
const TRUST_PROBLEMS: ReadonlySet<string> = new Set<ProblemCode>(['keys-changed', 'keys-missing', 'receipt-invalid'])

function describeError(error: unknown): { text: string; code: number } {
  // Commander has printed its own message, or the help that was asked for.
  if (error instanceof CommanderError) return { text: '', code: error.exitCode === 0 ? 0 : exitCodes.usage }
  if (error instanceof UsageError) return { text: error.message, code: exitCodes.usage }
  if (error instanceof Interrupted) return { text: error.message, code: exitCodes.interrupted }
  if (error instanceof RemoteProblem) {
    const code = error.next === 'retry' ? exitCodes.noAnswer : exitCodes.refused
    return { text: `${printable(error.message)} (${printable(error.code)})${hintFor(error.code, error.problem)}`, code }
  }
  if (error instanceof Problem && TRUST_PROBLEMS.has(error.code)) {
    return { text: `${error.message} (${error.code})${hintFor(error.code, error.details)}`, code: exitCodes.refused }
  }
  if (error instanceof UnsafeConnection) {
    const code = error.code === 'insecure-transport' ? exitCodes.usage : exitCodes.refused
    return { text: `${printable(error.message)} (${error.code})${hintFor(error.code, {})}`, code }
  }
  if (error instanceof Problem) return { text: `${error.message} (${error.code})`, code: exitCodes.usage }
  if (error instanceof NoAnswer) {
    return { text: `${error.message}. Is the portal running, and is its address right?`, code: exitCodes.noAnswer }
  }
  const system = systemErrorText(error)
  if (system !== null) return { text: system, code: exitCodes.usage }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { text: `this is a bug, please report it:\n${stack}`, code: exitCodes.bug }
}

function hintFor(code: string, details: Readonly<Record<string, unknown>>): string {
  switch (code) {
    case 'credentials-invalid':
      return '\nThe portal does not know this profile, or not any more. Ask its operator for a link, then: golooader join LINK'
    case 'invite-invalid':
      return '\nInvites work once, for 24 hours. Ask for a new one: golooader invite NAME'
    case 'keys-changed':
      return (
        `\nSomebody may be listening in, or ${details.account} has joined anew. Ask ${details.account}, not by way of the portal, ` +
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

/** Aborts at the first SIGINT or SIGTERM; a second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(exitCodes.interrupted)
      controller.abort(new Interrupted(signal))
    })
  }
  return controller.signal
}
