/**
 * Tells whether a connection is still the newest one of its receiving process. An older connection may be dead without the portal
 * having noticed, and offers on it would be lost.
 *
 * The newest connection announces itself with a signal, and all others end. When that signal was lost, the remaining connections
 * announce that they still exist, and the older ones end. The ledger's clock, which all nodes share, tells which one is older. If
 * that clock is set between two connections, the wrong one ends, and its receiver connects again.
 *
 * Two processes may have the same instance id, because two machines use one folder or a folder was copied. They would end each
 * other's connections without end. So when another process ends a connection, its receiver is told that the instance is contested.
 * A live receiver connects again at once. The newer process waits for that, and is refused if it happens. A process that does not
 * come back is dead, and the newer one continues after the wait.
 */
import { Problem, type ProblemJson, randomText } from '../../protocol/index.ts'
import type { Signals } from '../signals/index.ts'

const RANDOM_BYTES = 9
/** Enough digits for the milliseconds of the next three thousand years. */
const TIME_DIGITS = 9
/** An earlier process that lives connects again within this time. Clients wait longer than this for a stream to begin. */
const CONTEST_MS = 2_000
/** The process id of clients that give none. They count as the same process as any other. */
const UNNAMED = ''

/** The last message of a connection that ends because of another process. */
export interface Notice {
  /** `refused`: the other process lives, and this one stops. `contested`: a live receiver connects again. */
  readonly type: 'contested' | 'refused'
  readonly problem: ProblemJson
}

interface TakeoverOptions {
  /** When the connection begins, by the ledger's clock. */
  readonly atMs: number
  /** The receiver's id of its process; null when it gives none. */
  readonly processId?: string | null
  /** How long the other process gets to come back. */
  readonly contestMs?: number
}

export class ConnectionTakeover implements Disposable {
  isOver = false
  /** The message for the receiver at the end; null for none. */
  notice: Notice | null = null
  /** Later connections have greater ids. */
  readonly #connectionId: string
  readonly #processId: string
  readonly #contestMs: number
  readonly #publish: (kind: 'new' | 'still' | 'here') => void
  readonly #wake: () => void
  readonly #unsubscribe: () => void
  /** The process whose connection this one has ended, and until when it may come back, by `performance.now()`. */
  #rival: { readonly processId: string; readonly untilMs: number } | null = null

  constructor(signals: Signals, topic: string, options: TakeoverOptions, wake: () => void) {
    const { atMs, processId, contestMs = CONTEST_MS } = options
    this.#contestMs = contestMs
    this.#connectionId = `${atMs.toString(36).padStart(TIME_DIGITS, '0')}-${randomText(RANDOM_BYTES)}`
    this.#processId = processId ?? UNNAMED
    this.#publish = (kind) => signals.publish(topic, `${kind} ${this.#connectionId} ${this.#processId}`)
    this.#wake = wake
    const stay = (): void => this.#publish('still')
    // Only earlier connections answer this signal, with `here`.
    this.#unsubscribe = signals.subscribe(topic, (payload) => this.#hear(payload), stay)
    this.#publish('new')
  }

  /** How many milliseconds to wait before anything is offered, because another process may have the instance. */
  get contestedMs(): number {
    return this.#rival === null ? 0 : Math.max(0, this.#rival.untilMs - performance.now())
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
  }

  #hear(payload: string): void {
    const [kind, connectionId = '', processId = UNNAMED] = payload.split(' ')
    if (connectionId === this.#connectionId || this.isOver) return
    const areNamed = this.#processId !== UNNAMED && processId !== UNNAMED
    const isOther = areNamed && processId !== this.#processId
    if (kind === 'here') {
      if (!isOther) return
      this.#rival = { processId, untilMs: performance.now() + this.#contestMs }
      this.#wake()
    } else if (kind === 'new' || connectionId > this.#connectionId) {
      this.#end(isOther ? processId : null)
    } else {
      // The other connection is older and has missed this one's signal.
      this.#publish('still')
    }
  }

  /** @param processId the other process that connected; null when it is the same process */
  #end(processId: string | null): void {
    this.isOver = true
    if (processId !== null) {
      const isRefused = this.contestedMs > 0 && this.#rival?.processId === processId
      const problem = new Problem('instance-in-use', { detail: DETAILS[isRefused ? 'refused' : 'contested'] })
      this.notice = { type: isRefused ? 'refused' : 'contested', problem: problem.toJSON() }
      // A refused process does not claim to have been here before.
      if (!isRefused) this.#publish('here')
    }
    this.#wake()
  }
}

const DETAILS = {
  contested: 'another one has connected; if this one lives, it stays, and the other one is refused',
  refused: 'the other one was there first, and lives. Is the folder used by two machines, or was it copied?',
}
