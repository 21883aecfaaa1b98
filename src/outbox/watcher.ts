/**
 * Sends what is put into a drop folder: see `watch`.
 *
 * Each file is in exactly one place at any time, and in exactly one transfer:
 *
 * 1. It lies in the drop folder until it is complete.
 * 2. It is renamed into a folder of `.sending`, durably. Its place there is the key of its transfer in the sender's journal, so every run
 *    continues the same transfer.
 * 3. The end of the transfer is recorded in `.sending`, durably, before the journal forgets it.
 * 4. It is moved to `sent` or `failed`, durably, or deleted.
 * 5. What was recorded is removed.
 *
 * After a crash, the files in `.sending` are continued from the step that is known. A file without a recorded end is sent, which
 * continues its transfer; one with a recorded end is moved.
 */
import { statfsSync } from 'node:fs'
import { backoffMs, sleep } from '../async/index.ts'
import { stopYoungGenerationGrowth } from '../buffers/index.ts'
import { FolderAwayError, FolderTakenError, isNoRoom } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { IgnoreRules } from '../sender/ignore.ts'
import type { BatchHeader, HowToSend } from './batch-record.ts'
import { type Drop, recoverBatches, takeOver } from './batches.ts'
import { DropSender, type DropSenderOptions, transfersAtOnce } from './drop-sender.ts'
import { DropSteps, type DropStepsOptions } from './drop-steps.ts'
import { OutboxFolder } from './outbox-folder.ts'
import { type SettledFile, Settling } from './settling.ts'
import { WakeUps } from './wake-ups.ts'

/** Files that are taken over and not stored yet: enough to keep the line busy. The others stay where people see them. */
const UNSTORED_MAX = 2 * transfersAtOnce
/** Files are taken over when this number of them has been stored, so that they share the waits for the disk. */
const TAKEN_TOGETHER = transfersAtOnce
/** Files that wait for their receivers, each of which takes some memory. */
const WAITING_MAX = 5_000
/** From this number of files on their way on, V8's young generation does not grow, which takes much less memory. */
const MANY_FILES = 500
/** With `isOnce`, a file that is still written to after so many settling times is left for the next run. */
const ONCE_SETTLES_MAX = 3
/** The same reason for a wait is told again after this time. */
const TOLD_AGAIN_MS = 600_000
/** What a disk has left that is called full. */
const SMALL_BYTES = 64 * 1024
const BACKOFF = { minMs: 1_000, maxMs: 60_000 }

export interface WatchFolderOptions extends Omit<DropSenderOptions, 'onEvent' | 'onConnected'>, DropStepsOptions {
  readonly folder: string
  /** Whether to make a missing folder. */
  readonly mayCreate: boolean
  readonly how: HowToSend
  /** Journals of other machines whose transfers of this account are in the journal of this one. */
  readonly adoptedJournals: readonly { readonly id: string; readonly portalUrl: string }[]
  /** How often the folder is looked at without a report of the system. */
  readonly pollMs: number
}

/**
 * Watches a folder, and sends what is put into it, until the signal aborts.
 *
 * @throws Problem `outbox-busy`, `folder-unavailable`; before anything is sent also `keys-changed`, `keys-missing` and RemoteProblem
 *   `receiver-unknown`; RemoteProblem `credentials-invalid`; the signal's reason; what `onOutcome` throws. With `isOnce` also
 *   NoResponseError, or RemoteProblem of the kind "later"
 */
export async function watchFolder(options: WatchFolderOptions): Promise<void> {
  options.signal.throwIfAborted()
  await using outbox = await OutboxFolder.open(options.folder, options)
  await new Watcher(outbox, options).run()
}

class Watcher {
  readonly #outbox: OutboxFolder
  readonly #options: WatchFolderOptions
  readonly #sender: DropSender
  readonly #settling: Settling
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #wakeUps: WakeUps
  /** Files that an earlier run has taken over. */
  #queue: Drop[] = []
  /** Files that are complete, from the last look, and were not taken over yet. */
  #settled: SettledFile[] = []
  readonly #runs = new Set<Promise<void>>()
  readonly #unstored = new Set<Drop>()
  /** By name: the state of files that the folder does not let go. */
  readonly #stuck = new Map<string, string>()
  /** Whether the folder may have more files than there was room for. */
  #hasMore = false
  readonly #steps: DropSteps
  #isConnected = false
  #journalId = ''
  #told: { readonly reason: string; readonly atMs: number } | null = null
  #usable: Promise<void> | null = null

  constructor(outbox: OutboxFolder, options: WatchFolderOptions) {
    this.#outbox = outbox
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
    const { how, settleMs, pollMs, onEvent } = options
    this.#sender = new DropSender({
      ...options,
      signal: this.#signal,
      onEvent: (event) => {
        if (event.type === 'silence') this.#isConnected = false
        onEvent(event)
      },
      onConnected: () => this.#connected(),
    })
    this.#steps = new DropSteps(options, {
      ...{ outbox, sender: this.#sender, signal: this.#signal },
      journalId: () => this.#journalId,
      onStored: (drop) => this.#stored(drop),
      start: (drop) => this.#start(drop),
      fail: (error) => this.#stop.abort(error),
    })
    const rules = IgnoreRules.of(how.exclude)
    this.#settling = new Settling({
      folder: outbox.path,
      settleMs,
      exclude: how.exclude,
      isExcluded: (name, isFolder) => rules.isIgnored(isFolder ? `${name}/` : name),
      onLeftAlone: (name, reason) => onEvent({ type: 'left-alone', name, reason }),
    })
    this.#wakeUps = new WakeUps(outbox.path, (reason) => onEvent({ type: 'polling', reason, everyMs: pollMs }))
  }

  async run(): Promise<void> {
    this.#journalId = await this.#sender.prepare()
    const following = this.#sender.follow().catch((error) => this.#stop.abort(error))
    try {
      await this.#begin()
      await this.#watch()
    } catch (error) {
      this.#stop.abort(error)
    }
    // A file that is being moved gets to its place.
    await Promise.allSettled(this.#runs)
    const { aborted: isBroken, reason } = this.#signal
    this.#stop.abort(new Error('the watch has ended'))
    this.#wakeUps[Symbol.dispose]()
    await following
    if (isBroken) throw reason
  }

  /** Finds what an earlier run has left, and waits until files can be sent. */
  async #begin(): Promise<void> {
    const { onEvent, how } = this.#options
    const { drops, strange } = await recoverBatches(this.#outbox, (drop, header) => this.#notOwn(drop, header))
    onEvent({ type: 'watching', folder: this.#outbox.shown, unfinished: drops.length })
    for (const { name, reason } of strange) onEvent({ type: 'left-alone', name, reason })
    if (drops.some(({ end }) => end !== null)) await this.#outbox.removeUnfinished()
    // Those with an end need no portal.
    for (const drop of drops) if (drop.end !== null) this.#start(drop)
    this.#queue = drops.filter(({ end }) => end === null)
    await this.#sender.ready(how)
  }

  async #watch(): Promise<void> {
    const { pollMs, settleMs, isOnce } = this.#options
    const onceUntilMs = performance.now() + ONCE_SETTLES_MAX * settleMs
    for (let tries = 0; ; ) {
      this.#signal.throwIfAborted()
      // Taken before the look, so that nothing is missed between the look and the wait.
      const next = this.#wakeUps.next
      let dueMs: number | null = null
      let isEmpty = false
      try {
        ;({ dueMs, isEmpty } = await this.#fill())
        tries = 0
      } catch (error) {
        await this.#recover(error, ++tries)
        continue
      }
      const isLate = dueMs !== null && performance.now() > onceUntilMs
      if (isOnce && this.#runs.size === 0 && (isEmpty || isLate)) {
        this.#settling.leaveUnsettled()
        return
      }
      const waited = new AbortController()
      const timer = sleep(Math.min(dueMs ?? pollMs, pollMs), AbortSignal.any([this.#signal, waited.signal]))
      await Promise.race([next, timer.catch(() => {})])
      waited.abort()
    }
  }

  /** Starts as many files as there is room for. @returns when to look again, and whether nothing is left in the folder */
  async #fill(): Promise<{ dueMs: number | null; isEmpty: boolean }> {
    for (let drop = this.#queue[0]; drop !== undefined && this.#room > 0; drop = this.#queue[0]) {
      this.#queue.shift()
      this.#start(drop)
    }
    this.#hasMore = true
    if (this.#room < TAKEN_TOGETHER && this.#unstored.size > 0) return { dueMs: null, isEmpty: false }
    this.#outbox.assertIsThere()
    let dueMs: number | null = null
    let hasUnsettled = false
    if (this.#settled.length === 0) {
      const look = await this.#settling.look()
      this.#settled = look.settled.filter(({ name, state }) => this.#stuck.get(name) !== state)
      ;({ dueMs, hasUnsettled } = look)
    }
    this.#hasMore = this.#settled.length > 0
    let takenCount = 0
    while (this.#settled.length > 0 && this.#room > 0)
      takenCount += await this.#takeOver(this.#settled.splice(0, Math.min(this.#room, TAKEN_TOGETHER)))
    // Of a folder only a new look can tell whether it still is complete.
    this.#settled = this.#settled.filter(({ isFolder }) => !isFolder)
    return { dueMs, isEmpty: takenCount === 0 && !hasUnsettled && this.#queue.length === 0 }
  }

  /** @returns how many were taken over */
  async #takeOver(files: readonly SettledFile[]): Promise<number> {
    const { identity, how } = this.#options
    const { drops, stuck } = await takeOver(this.#outbox, files, { ...identity, how, journalId: this.#journalId })
    for (const { name, reason } of stuck) {
      this.#settling.leaveAlone(name, reason)
      this.#stuck.set(name, files.find((file) => file.name === name)?.state ?? '')
    }
    for (const drop of drops) this.#start(drop)
    return drops.length
  }

  /** How many more files may be taken over. */
  get #room(): number {
    const waiting = this.#runs.size - this.#unstored.size
    return Math.min(UNSTORED_MAX - this.#unstored.size, WAITING_MAX - waiting)
  }

  #start(drop: Drop): void {
    if (drop.end === null) this.#unstored.add(drop)
    if (this.#runs.size === MANY_FILES) stopYoungGenerationGrowth()
    const run = this.#run(drop)
      .catch((error) => this.#stop.abort(error))
      .finally(() => {
        this.#runs.delete(run)
        this.#stored(drop)
      })
    this.#runs.add(run)
  }

  /** The portal has a file, or it has ended. Others are taken over when there is room for several. */
  #stored(drop: Drop): void {
    this.#unstored.delete(drop)
    const hasRoom = this.#unstored.size === 0 || this.#room >= TAKEN_TOGETHER
    const isWanted = this.#hasMore || this.#queue.length > 0 || this.#options.isOnce
    if (hasRoom && isWanted) this.#wakeUps.ring()
  }

  /** Does all that is left to do for a file, again and again until it is done. */
  async #run(drop: Drop): Promise<void> {
    for (let tries = 1; ; tries++) {
      this.#signal.throwIfAborted()
      try {
        if (await this.#steps.advance(drop)) return
        await sleep(backoffMs(tries, BACKOFF), this.#signal)
      } catch (error) {
        drop.isRetried = true
        await this.#recover(error, tries)
      }
    }
  }

  /**
   * Why this run may not send a file that an earlier one has taken over; null when it may: it is of this account, and this machine knows its
   * transfer, or knows that it has none.
   */
  async #notOwn(drop: Drop, { account, portalUrl, journalId }: BatchHeader): Promise<string | null> {
    const { identity, adoptedJournals } = this.#options
    if (drop.end !== null) return null
    const own = [{ id: this.#journalId, portalUrl: identity.portalUrl }, ...adoptedJournals]
    const isOwn = account === identity.account
    if (isOwn && own.some((one) => one.id === journalId && one.portalUrl === portalUrl)) return null
    if (isOwn && (await this.#sender.entryOf(drop)) !== null) return null
    return isOwn && portalUrl === identity.portalUrl ? ofOtherJournal : ofOtherAccount(account, portalUrl)
  }

  /** Waits after an error of the file system, and tells it once. @throws the error itself when it is no such error */
  async #recover(error: unknown, tries: number): Promise<void> {
    this.#signal.throwIfAborted()
    if (error instanceof FolderTakenError)
      throw new Problem('outbox-busy', { detail: this.#outbox.shown }, { cause: error })
    if (!isOfFileSystem(error)) throw error
    this.#tellWaiting(isNoRoom(error) ? this.#noRoomText() : error.message)
    await sleep(backoffMs(tries, BACKOFF), this.#signal)
    await this.#assertUsable().catch((again: unknown) => {
      if (again instanceof FolderTakenError || !isOfFileSystem(again)) throw again
    })
  }

  #noRoomText(): string {
    const { shown, path } = this.#outbox
    const { stateFolder } = this.#options
    const full = [
      { shown, path },
      { shown: stateFolder, path: stateFolder },
    ].filter((one) => isFull(one.path))
    const where = full.length === 0 ? `${shown} or ${stateFolder}` : full.map((one) => one.shown).join(' and ')
    return `there is no room left for ${where}. Make room: what waits continues by itself, and nothing is lost`
  }

  /** Many files may wait for the same. */
  #tellWaiting(reason: string): void {
    const isTold = this.#told?.reason === reason && performance.now() - this.#told.atMs < TOLD_AGAIN_MS
    if (isTold) return
    this.#told = { reason, atMs: performance.now() }
    this.#options.onEvent({ type: 'waiting', reason })
  }

  /** Many files may ask at the same time. */
  #assertUsable(): Promise<void> {
    this.#usable ??= this.#outbox
      .assertUsable()
      .then(() => this.#wakeUps.follow(this.#outbox.path))
      .finally(() => {
        this.#usable = null
      })
    return this.#usable
  }

  #connected(): void {
    if (this.#isConnected) return
    this.#isConnected = true
    this.#options.onEvent({ type: 'connected' })
  }
}

function ofOtherAccount(account: string, portalUrl: string): string {
  return `it was taken over to be sent by ${account} at ${portalUrl}. Run golooader watch with that profile, or move it into the drop folder to send it as a new transfer`
}

const ofOtherJournal =
  'another machine has taken it over, or an earlier state folder, and may have sent it: its transfer is not known here. ' +
  'golooader profile export --with-transfers takes transfers along; golooader status shows what the portal has. ' +
  'To send it as a new transfer, move it into the drop folder'

/** Whether a disk has no more room for a small file. A quota may also be used up, which this does not show. */
function isFull(path: string): boolean {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize < SMALL_BYTES
}

/** Whether an error comes from the disk or the folder, which a person may put right meanwhile. */
function isOfFileSystem(error: unknown): error is Error {
  if (error instanceof FolderAwayError) return true
  if (error instanceof Problem) return error.code === 'folder-unavailable'
  return error instanceof Error && 'syscall' in error
}
