/**
 * The portal's own log: JSON lines, as pino writes them.
 *
 * What an operator can mend, or what passes by itself, is told in one line: what, and why, without a stack. While it lasts, the same
 * is told every ten seconds, with the `count` of what a line stands for: a database that is away fails several times a second.
 */
import pino, { type Logger } from 'pino'
import { Problem, type ProblemCode } from '../protocol/index.ts'

export interface LogOptions {
  /** One of pino's. */
  readonly level: string
  readonly write: (line: string) => void
}

/** Nothing of the program is wrong when these happen. */
const PLAIN_PROBLEMS: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  'unavailable',
  'storage-full',
  'storage-unusable',
  'ledger-unusable',
])
const AGAIN_MS = 10_000
/** What differs more than this is told as it comes. */
const KINDS_MAX = 100

interface Told {
  atMs: number
  /** How many came since. */
  count: number
}

/** @param now a clock in milliseconds; another one for tests */
export function portalLog({ level, write }: LogOptions, now: () => number = () => performance.now()): Logger {
  const told = new Map<string, Told>()
  const countOf = (kind: string): number | null => {
    const last = told.get(kind)
    if (last !== undefined && now() - last.atMs < AGAIN_MS) {
      last.count += 1
      return null
    }
    if (told.size >= KINDS_MAX) told.clear()
    told.set(kind, { atMs: now(), count: 0 })
    return (last?.count ?? 0) + 1
  }
  return pino(
    {
      level,
      hooks: {
        logMethod(args, method) {
          const [details, message] = args as readonly unknown[]
          if (!isPlain(details)) return method.apply(this, args)
          const { err, ...others } = details
          const reason = plainReason(err)
          const count = countOf(`${message} ${reason}`)
          if (count === null) return
          Reflect.apply(method, this, [{ ...others, reason, ...(count > 1 ? { count } : {}) }, message])
        },
      },
    },
    { write },
  )
}

function isPlain(details: unknown): details is { err: Problem } {
  if (typeof details !== 'object' || details === null || !('err' in details)) return false
  return details.err instanceof Problem && PLAIN_PROBLEMS.has(details.err.code)
}

/** Why something failed: what the innermost of its errors says, and what a problem has to add. In one line. */
export function plainReason(error: unknown): string {
  const said = error instanceof Problem && typeof error.details.detail === 'string' ? error.details.detail : null
  const inner = innermost(error)
  const texts = [said, inner instanceof Problem ? (said ?? inner.message) : messageOf(inner)]
  return [...new Set(texts.filter((text) => text !== null))].join(': ').replaceAll(/\s+/g, ' ').trim()
}

function innermost(error: unknown): unknown {
  // Several tries at the addresses of one host come as one error that says nothing itself.
  const within = error instanceof AggregateError ? error.errors[0] : error instanceof Error ? error.cause : undefined
  return within === undefined || within === null ? error : innermost(within)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
