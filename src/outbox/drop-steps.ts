/** All steps with one file, from the time that it was taken over to its place in `sent` or `failed`. Each can be repeated after a crash. */
import { rm } from 'node:fs/promises'
import { sleep } from '../async/index.ts'
import { lstatOrNull } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import type { JournalEntry, KeptReceipt, SendOutcome } from '../sender/index.ts'
import { isSameSource } from '../sender/source.ts'
import type { RecordedEnd } from './batch-record.ts'
import { type Drop, locationOf, takeOverAgain } from './batches.ts'
import { type DropSender, sourceOf } from './drop-sender.ts'
import { recordedEndOf, refusalIn, watchedFile } from './ends.ts'
import type { StoredFile, WatchEvent, WatchedFile } from './events.ts'
import { notesOf } from './notes.ts'
import type { OutboxFolder } from './outbox-folder.ts'
import { stateOf, treeStateOf } from './settling.ts'
import { shelve } from './shelf.ts'

export interface DropStepsOptions {
  /** How long a file has to stay as it is to count as complete. */
  readonly settleMs: number
  /** Ends when what is there was sent. */
  readonly isOnce: boolean
  /** Deletes what was delivered, in place of moving it to `sent`. */
  readonly isDeleting: boolean
  readonly onEvent: (event: WatchEvent) => void
  /**
   * Awaited once a file is stored, and once it lies in its place, before this machine forgets it. After a crash it is called again. What it
   * throws ends the watch.
   */
  readonly onOutcome: (file: WatchedFile | StoredFile) => Promise<void>
  /** Whether a receipt proves that a file has the content which was delivered. */
  readonly isProvenBy: (path: string, receipt: KeptReceipt) => Promise<boolean>
}

/** What the files share. */
export interface DropStepsScene {
  readonly outbox: OutboxFolder
  readonly sender: DropSender
  readonly signal: AbortSignal
  /** The name of the journal of this run. */
  readonly journalId: () => string
  /** Called when the portal has a file. */
  readonly onStored: (drop: Drop) => void
  /** Sends a file that has changed since it was sent. */
  readonly start: (drop: Drop) => void
  /** Ends the watch. */
  readonly fail: (error: unknown) => void
}

export class DropSteps {
  readonly #options: DropStepsOptions
  readonly #scene: DropStepsScene

  constructor(options: DropStepsOptions, scene: DropStepsScene) {
    this.#options = options
    this.#scene = scene
  }

  /** @returns false when it is to be tried again @throws errors of the file system, and others */
  async advance(drop: Drop): Promise<boolean> {
    await drop.batch.makeDurable()
    if (drop.end === null) {
      if (!drop.isSettled) await this.#untilSettled(drop)
      const outcome = await this.#send(drop)
      if (outcome === 'vanished') {
        await drop.batch.done(drop.name)
        return true
      }
      if (outcome === 'changed') return this.advance(drop)
      if (outcome === 'unfinished') return this.#options.isOnce
    }
    await this.#finish(drop)
    return true
  }

  /** Sends a file, and records the end. */
  async #send(drop: Drop): Promise<'ended' | 'changed' | 'unfinished' | 'vanished'> {
    const shown = this.#scene.outbox.shownPath(drop.name)
    try {
      const outcome = await this.#scene.sender.send(drop, shown, (one, entry) => this.#note(drop, one, entry))
      if (drop.end !== null) return 'ended'
      if (outcome.outcome === 'no-answer' || outcome.outcome === 'undelivered') {
        const { isOnce, onEvent } = this.#options
        if (isOnce) onEvent({ type: 'unfinished', name: drop.name, outcome: outcome.outcome })
        return 'unfinished'
      }
      if (outcome.outcome !== 'refused') throw new Error(`the end of the transfer is not recorded: ${outcome.outcome}`)
      return isGone(drop) ? await this.#vanished(drop) : this.#changed(drop, outcome)
    } catch (error) {
      this.#scene.signal.throwIfAborted()
      if (isGone(drop)) return this.#vanished(drop)
      const problem = refusalIn(error)
      if (problem === null) throw error
      await this.#note(drop, { path: shown, transferId: null, outcome: 'refused', problem }, null)
      return 'ended'
    }
  }

  /** A file that the earlier run has not got to take over still lies in the drop folder, and has no transfer. */
  async #vanished(drop: Drop): Promise<'vanished'> {
    const transferId = await this.#scene.sender.giveUp(drop)
    if (transferId !== null || !drop.isRecovered)
      this.#options.onEvent({ type: 'vanished', name: drop.name, transferId })
    return 'vanished'
  }

  #changed(drop: Drop, { problem, transferId }: SendOutcome & { readonly outcome: 'refused' }): 'changed' {
    drop.isSettled = false
    this.#options.onEvent({ type: 'changed', name: drop.name, reason: problem.detail ?? problem.title, transferId })
    return 'changed'
  }

  /** Awaited by the sender before its journal forgets the transfer. */
  async #note(drop: Drop, outcome: SendOutcome, entry: JournalEntry | null): Promise<void> {
    this.#scene.outbox.assertIsThere()
    if (outcome.outcome === 'stored') {
      this.#scene.onStored(drop)
      const { transferId } = outcome
      // After an error of the disk the transfer is continued, and is stored once more.
      if (!drop.isStoredTold)
        await this.#tell({ name: drop.name, path: locationOf(drop), outcome: 'stored', transferId })
      drop.isStoredTold = true
      return
    }
    const end = recordedEndOf(drop, outcome, entry)
    if (end === null || (outcome.outcome === 'refused' && (outcome.problem.code === 'source-changed' || isGone(drop))))
      return
    const { transferId } = end
    const receipts = transferId === null ? [] : await this.#scene.sender.receiptsOf(transferId, drop.isRecovered)
    const recorded = { ...end, receipts }
    await drop.batch.record.noteEnd(drop.name, recorded)
    drop.end = recorded
    if (transferId !== null) this.#scene.sender.forgetReceipts(transferId)
  }

  /** Moves a file to its place, and forgets it. */
  async #finish(drop: Drop): Promise<void> {
    const { end, batch, name } = drop
    if (end === null) throw new Error('the file has no end yet')
    this.#scene.outbox.assertIsThere()
    const mayBeInJournal = drop.isRecovered || drop.isRetried
    if (mayBeInJournal && end.key !== null) await this.#scene.sender.forgetEnded(end.key, end.transferId)
    if (drop.told === null) {
      const file = watchedFile(drop, end, await this.#place(drop, end))
      await this.#tell(file)
      drop.told = file
    }
    await batch.done(name)
    this.#options.onEvent({ type: 'ended', ...drop.told })
  }

  /** An error of the caller is not about the file: it ends the watch. */
  async #tell(file: WatchedFile | StoredFile): Promise<void> {
    try {
      await this.#options.onOutcome(file)
    } catch (error) {
      this.#scene.fail(error)
      throw error
    }
  }

  /** @returns where the file is now; null when it was deleted, or is sent again */
  async #place(drop: Drop, end: RecordedEnd): Promise<string | null> {
    const from = locationOf(drop)
    const { name, isFolder, batch } = drop
    if (end.outcome !== 'delivered') return this.#shelve(drop, end, this.#scene.outbox.failed)
    if (!isGone(drop) && !drop.isDeleting && !(await this.#isUnchanged(drop, end))) return this.#sendAgain(drop, end)
    if (!this.#options.isDeleting && !drop.isDeleting) return this.#shelve(drop, end, this.#scene.outbox.sent)
    if (!drop.isDeleting) {
      await batch.record.noteDeleting(name)
      if (!(await this.#isUnchanged(drop, end))) return this.#sendAgain(drop, end)
      drop.isDeleting = true
    }
    await rm(from, { recursive: isFolder, force: true })
    await batch.sync()
    return null
  }

  async #shelve(drop: Drop, end: RecordedEnd, folder: string): Promise<string | null> {
    const id = end.transferId ?? drop.batch.batchId
    const shelved = { from: locationOf(drop), name: drop.name, isFolder: end.isFolder, id }
    const path = await shelve(shelved, folder, notesOf(drop, end))
    await drop.batch.sync()
    return path
  }

  async #sendAgain(drop: Drop, end: RecordedEnd): Promise<null> {
    const again = await takeOverAgain(this.#scene.outbox, drop, this.#scene.journalId())
    const reason = 'it was written to after it had been sent'
    this.#options.onEvent({ type: 'changed', name: drop.name, reason, transferId: end.transferId })
    this.#scene.start(again)
    return null
  }

  /**
   * Whether a file is what was delivered. Network file systems change the time of a file by themselves after it was written, so where only
   * that is new, the content decides.
   */
  async #isUnchanged(drop: Drop, end: RecordedEnd): Promise<boolean> {
    if (end.source === null) return true
    try {
      const source = await sourceOf(drop, this.#scene.outbox.shownPath(drop.name))
      await using file = await source.open()
      if (isSameSource(file.identity, end.source)) return true
      const [receipt] = end.receipts
      const mayBeSame = !drop.isFolder && file.identity.sizeBytes === end.source.sizeBytes
      return mayBeSame && receipt !== undefined && (await this.#options.isProvenBy(locationOf(drop), receipt))
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      // What cannot be read may still be moved, but not deleted.
      return !this.#options.isDeleting
    }
  }

  /** Waits until nothing has written to a file for the settling time. */
  async #untilSettled(drop: Drop): Promise<void> {
    const { settleMs } = this.#options
    for (let state = await this.#stateOf(drop); ; ) {
      await sleep(settleMs, this.#scene.signal)
      const now = await this.#stateOf(drop)
      if (now === state) break
      state = now
    }
    drop.isSettled = true
  }

  async #stateOf(drop: Drop): Promise<string | null> {
    const path = locationOf(drop)
    const stats = lstatOrNull(path)
    if (stats === null) return null
    if (!stats.isDirectory()) return stateOf(stats)
    return (await treeStateOf(path, drop.name, drop.batch.header.how.exclude)).digest
  }
}

function isGone(drop: Drop): boolean {
  return lstatOrNull(locationOf(drop)) === null
}
