/**
 * The portal's own log: JSON lines, as pino writes them.
 *
 * A failure that an operator can correct, or that passes by itself, is one line with what failed and why, without a stack trace. While
 * it lasts, the line is repeated every ten seconds with the `count` of failures, because a missing database fails several times a second.
 */
import pino, { type Logger } from 'pino'
import { Problem, type ProblemCode } from '../../protocol/index.ts'

export interface LogOptions {
  /** A log level of pino. */
  readonly level: string
  readonly write: (line: string) => void
}

/** Problems that are no mistake of the program. */
const PLAIN_PROBLEMS: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  'unavailable',
  'storage-full',
  'storage-unusable',
  'ledger-unusable',
])
const AGAIN_MS = 10_000
/** Bound of the different failures that are remembered. With more, all are forgotten, so that each is logged again. */
const KINDS_MAX = 100

interface Logged {
  atMs: number
  /** How many failures came since the last line. */
  count: number
}

/** @param now a clock in milliseconds; another one for tests */
export function portalLog(options: LogOptions, now: () => number = () => performance.now()): Logger {
  const { level, write } = options
  const logged = new Map<string, Logged>()
  const countOf = (kind: string): number | null => {
    const last = logged.get(kind)
    if (last !== undefined && now() - last.atMs < AGAIN_MS) {
      last.count += 1
      return null
    }
    if (logged.size >= KINDS_MAX) logged.clear()
    logged.set(kind, { atMs: now(), count: 0 })
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

/** The reason of a failure in one line: the message of the innermost error, and the detail of a problem. */
export function plainReason(error: unknown): string {
  const said = error instanceof Problem && typeof error.details.detail === 'string' ? error.details.detail : null
  const inner = innermost(error)
  const texts = [said, inner instanceof Problem ? (said ?? inner.message) : messageOf(inner)]
  return [...new Set(texts.filter((text) => text !== null))].join(': ').replaceAll(/\s+/g, ' ').trim()
}

function innermost(error: unknown): unknown {
  // Failed tries of all addresses of a host come as one AggregateError without a message of its own.
  const within = error instanceof AggregateError ? error.errors[0] : error instanceof Error ? error.cause : undefined
  return within === undefined || within === null ? error : innermost(within)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
