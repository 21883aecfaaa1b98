/** Calls what a program does with received files (`handling.ts`), one call at a time. */
import { Semaphore, sleep } from '../async/index.ts'
import { Problem } from '../protocol/index.ts'
import { reasonForSender } from './decision.ts'
import {
  type FileHandling,
  FileRefusedError,
  type HandledAbout,
  type HandledFile,
  HandledLaterError,
  type Handlers,
} from './handling.ts'
import type { Published } from './inbox.ts'
import type { FolderInbox } from './node-inbox.ts'
import { writeProblem } from './node-write-problem.ts'

/** A folder that is away is looked for this often. */
const LOOK_EVERY_MS = 2_000

interface Waiting {
  readonly transferId: string
  /** Its name in the folder. */
  readonly name: string
}

export class FolderHandling implements FileHandling {
  readonly #inbox: FolderInbox
  readonly #handlers: Handlers
  readonly #signal: AbortSignal
  readonly #onFailed: (error: unknown) => void
  readonly #turn = new Semaphore(1)
  readonly #waiting: Waiting[] = []
  /** The transfers in `#waiting`, and the one that is handled now. */
  readonly #queued = new Set<string>()
  #working: Promise<void> | null = null
  /** The first error that a handler threw, or that kept it from being called. */
  failure: { readonly error: unknown } | null = null

  private constructor(inbox: FolderInbox, handlers: Handlers, signal: AbortSignal, onFailed: (error: unknown) => void) {
    this.#inbox = inbox
    this.#handlers = handlers
    this.#signal = signal
    this.#onFailed = onFailed
  }

  /**
   * Begins with what earlier runs have left.
   *
   * @param signal the receiver stops: no further call is begun
   * @param onFailed called at a `failure`
   * @throws what `Inbox.meaningOf` knows
   */
  static async begin(
    inbox: FolderInbox,
    handlers: Handlers,
    signal: AbortSignal,
    onFailed: (error: unknown) => void,
  ): Promise<FolderHandling> {
    const handling = new FolderHandling(inbox, handlers, signal, onFailed)
    for (const transferId of inbox.handling.transferIds) await handling.#leftOver(transferId)
    return handling
  }

  begin(about: HandledAbout): Promise<void> {
    const { beforeAnswer, handle } = this.#handlers
    return this.#inbox.beginHandling(about, { isUndecided: beforeAnswer !== null, isToHandle: handle !== null })
  }

  async published(about: HandledAbout, published: Published, signal: AbortSignal): Promise<void> {
    const { transferId } = about
    // A portal that was restored offers again what it got the answer for.
    if (published.isAnswered === true) return
    await this.begin(about)
    if (this.isUndecided(transferId)) await this.#decide(transferId, published.name, signal)
    this.#enqueue({ transferId, name: published.name })
  }

  isUndecided(transferId: string): boolean {
    return this.#inbox.handling.stateOf(transferId)?.isUndecided === true
  }

  /** Resolves when everything is handled, or the receiver has stopped. */
  async settled(): Promise<void> {
    while (this.#working !== null) await this.#working
  }

  async #leftOver(transferId: string): Promise<void> {
    const { handling } = this.#inbox
    const published = await this.#inbox.published(transferId)
    // It is offered again.
    if (published === null) return await handling.remove(transferId)
    if (published.isAnswered === true) await handling.answered(transferId)
    this.#enqueue({ transferId, name: published.name })
  }

  /** Asks the program whether the file stays. @throws like {@link published} */
  async #decide(transferId: string, name: string, signal: AbortSignal): Promise<void> {
    const { beforeAnswer } = this.#handlers
    const file = await this.#fileOf({ transferId, name })
    if (beforeAnswer !== null && file !== null) {
      const decision = await this.#turn.run(async () => {
        try {
          return await beforeAnswer(file, signal)
        } catch (error) {
          // It was ended, so it says nothing about the file.
          signal.throwIfAborted()
          await this.#inbox.unpublish(transferId)
          throw new FileRefusedError(refusalOf(error))
        }
      }, signal)
      if (decision === 'later') throw new HandledLaterError('what has to be done before the answer cannot be done now')
    }
    await this.#inbox.handling.decided(transferId)
  }

  #enqueue(file: Waiting): void {
    if (this.#inbox.handling.stateOf(file.transferId)?.isToHandle !== true || this.#queued.has(file.transferId)) return
    this.#queued.add(file.transferId)
    this.#waiting.push(file)
    this.#working ??= this.#work()
  }

  async #work(): Promise<void> {
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        await this.#untilThere()
        await this.#handle(next)
        this.#queued.delete(next.transferId)
      }
    } catch (error) {
      this.#waiting.length = 0
      if (this.#signal.aborted) return
      this.failure ??= { error }
      this.#onFailed(error)
    } finally {
      this.#working = null
    }
  }

  async #handle(waiting: Waiting): Promise<void> {
    // An earlier run without `beforeAnswer` has left it, and there is nothing to decide any more.
    const handle = this.#handlers.handle ?? this.#handlers.beforeAnswer
    const file = await this.#fileOf(waiting)
    if (handle === null || file === null) return
    this.#signal.throwIfAborted()
    await handle(file, this.#signal)
    try {
      await this.#inbox.handling.handled(waiting.transferId)
    } catch (error) {
      // On a full disk the record stays. The next run calls it again, as after a kill.
      if (writeProblem(error) === null) throw error
    }
  }

  /** @returns null where there is no record any more */
  async #fileOf({ transferId, name }: Waiting): Promise<HandledFile | null> {
    const record = await this.#inbox.handling.read(transferId)
    if (record === null) return null
    const { about } = record
    return { ...about, path: this.#inbox.whereIs(name), isRenamed: name !== about.name }
  }

  /** @throws the signal's reason */
  async #untilThere(): Promise<void> {
    this.#signal.throwIfAborted()
    while (!(await this.#inbox.isThere())) await sleep(LOOK_EVERY_MS, this.#signal)
  }
}

/** The problem for the sender. */
function refusalOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new Problem('exec-failed', { detail: reasonForSender(reason) }, { cause: error })
}
