/**
 * Distinguishes time that has passed from a clock that was set.
 *
 * Deadlines are points in time, and each stands for a duration: of a lease, of an upload, of a transfer. Setting the clock must change
 * no duration. So before a portal sweeps, it checks the clock (`keepTime`) and determines how much time has passed since its last
 * check. Any further difference is a step of the clock, and all open deadlines are moved by that step in one transaction:
 *
 * - While a process keeps checking, its monotonic clock tells how much time has passed.
 * - After a restart, or at another portal, the table `clock` has the time of the last check. The time since then counts as 0 if the
 *   clock was set back, and as `UNWATCHED_MS_MAX` at most: while no portal ran, clients could neither send nor fetch, and a clock
 *   that is months ahead must not end all waiting transfers.
 *
 * Ended transfers are deleted by the same measure: time that did not count (`uncounted_ms`) is added to their age limit.
 */
import { type RawBuilder, sql } from 'kysely'
import { Problem } from '../../../protocol/index.ts'
import type { ClockStep, Ledger, OpenBounds } from '../contract.ts'
import type { Db, LedgerContext, Tx } from './context.ts'
import { prepared } from './prepared.ts'
import { selectTotals } from './totals.ts'

/** Smaller differences are no steps. They come from NTP's corrections and from pauses of a process. */
const STEP_MS_MIN = 5_000
/** If the answer of the clock took longer, it is not used. */
const LOOK_MS_MAX = 2_000
/** How often the time of a check is recorded while transfers are open. */
const NOTE_EVERY_MS = 60_000
/** How often while none is open and time is still uncounted. */
const IDLE_NOTE_EVERY_MS = 60 * NOTE_EVERY_MS
/** More than the time between two records, so that another portal can take over without a step. */
export const UNWATCHED_MS_MAX = 5 * NOTE_EVERY_MS
/** For this long after a step, another portal may still write deadlines by the old clock. */
const STRAY_MS_MAX = 60_000
/** A deadline further away than this many times its duration was written by the old clock. */
const STRAY_FACTOR = 2

interface Look {
  /** The recorded time. */
  readonly notedMs: number
  readonly timeOfDayMs: number
  readonly monotonicMs: number
}

interface Note {
  readonly at_ms: number
  readonly uncounted_ms: number
}

export function time(context: LedgerContext): Pick<Ledger, 'keepTime' | 'countedMs' | 'nowMs'> {
  const { db, clock, now, transact } = context
  let last: Look | null = null
  let strayUntilMs = Number.NEGATIVE_INFINITY

  return {
    nowMs: () => Math.floor(now()),

    async keepTime(bounds) {
      const [note] = await selectNote(db)
      if (note === undefined) throw new Error('the ledger has no clock')
      const askedAtMs = clock.monotonicMs()
      const timeOfDayMs = Math.round(await clock.timeOfDayMs())
      const tookMs = clock.monotonicMs() - askedAtMs
      // A late answer tells too little, and nothing may be ended by an unchecked clock.
      if (tookMs > LOOK_MS_MAX)
        throw new Problem('unavailable', { detail: 'the clock of the ledger answered too late' })
      const look = { notedMs: note.at_ms, timeOfDayMs, monotonicMs: askedAtMs + tookMs / 2 }
      const passed = passedSince(note, last, look, clock.unwatchedMsMax)
      const isFirst = last === null
      if (passed.stepMs !== 0) {
        const isMade = await transact((tx) => step(tx, note, look, passed, () => clock.adopt(timeOfDayMs)))
        // Otherwise another portal has just made the step.
        if (isMade) last = { ...look, notedMs: timeOfDayMs }
      } else {
        clock.adopt(timeOfDayMs)
        const isNoted = await noteNowAndThen(db, note, look)
        last = isNoted ? { ...look, notedMs: timeOfDayMs } : look
      }
      if (isFirst || passed.stepMs !== 0) strayUntilMs = look.monotonicMs + STRAY_MS_MAX
      if (look.monotonicMs < strayUntilMs) await bringBack(context, timeOfDayMs, bounds)
      return passed.stepMs === 0 ? null : passed
    },

    countedMs: () => countedMs(context),
  }
}

function passedSince(note: Note, last: Look | null, look: Look, unwatchedMsMax: number): ClockStep {
  if (last?.notedMs === note.at_ms) {
    const shownMs = look.timeOfDayMs - last.timeOfDayMs
    const stepMs = shownMs - Math.round(look.monotonicMs - last.monotonicMs)
    return { stepMs: Math.abs(stepMs) > STEP_MS_MIN ? stepMs : 0, isWatched: true }
  }
  if (note.at_ms === 0) return { stepMs: 0, isWatched: false }
  const shownMs = look.timeOfDayMs - note.at_ms
  const isSetBack = shownMs < -STEP_MS_MIN
  return { stepMs: isSetBack ? shownMs : Math.max(0, shownMs - unwatchedMsMax), isWatched: false }
}

const selectNote = prepared((db) => db.selectFrom('clock').select(['at_ms', 'uncounted_ms']).where('id', '=', 1))

/** The ledger's clock minus the time that does not count as passed. */
export async function countedMs({ db, now }: LedgerContext): Promise<number> {
  const [note] = await selectNote(db)
  return now() - (note?.uncounted_ms ?? 0)
}

/** Records the time of a check if that is due. @returns whether it was recorded */
async function noteNowAndThen(db: Db, note: Note, { timeOfDayMs }: Look): Promise<boolean> {
  const isFirst = note.at_ms === 0
  const passedMs = isFirst ? 0 : Math.max(0, timeOfDayMs - note.at_ms)
  if (!isFirst && passedMs < NOTE_EVERY_MS) return false
  // Rarely while nothing is open, so that an idle portal does not wake the disk.
  const isIdle = (await selectTotals(db))[0]?.open_transfers === 0
  if (!isFirst && isIdle && (note.uncounted_ms === 0 || passedMs < IDLE_NOTE_EVERY_MS)) return false
  return writeNote(db, note, timeOfDayMs, Math.max(0, note.uncounted_ms - passedMs))
}

/** @returns false when another portal has recorded a time meanwhile */
async function writeNote(db: Db, note: Note, atMs: number, uncountedMs: number): Promise<boolean> {
  const written = await db
    .updateTable('clock')
    .set({ at_ms: atMs, uncounted_ms: uncountedMs })
    .where('id', '=', 1)
    .where('at_ms', '=', note.at_ms)
    .executeTakeFirst()
  return written.numUpdatedRows > 0n
}

/** Moves all open deadlines by the step of the clock. @returns false when another portal has done that */
async function step(tx: Tx, note: Note, look: Look, passed: ClockStep, adopt: () => void): Promise<boolean> {
  const { stepMs, isWatched } = passed
  const uncountedMs = Math.max(0, note.uncounted_ms + stepMs)
  if (!(await writeNote(tx, note, look.timeOfDayMs, uncountedMs))) return false
  /** Deadlines that are past both before and after the step stay unchanged. */
  const openAfterMs = Math.min(look.timeOfDayMs, look.timeOfDayMs - stepMs)
  const moved = <Column extends string>(column: Column): Record<Column, RawBuilder<number>> =>
    ({ [column]: sql<number>`${sql.ref(column)} + ${sql.lit(stepMs)}` }) as Record<Column, RawBuilder<number>>
  await tx
    .updateTable('transfers')
    .set(moved('upload_deadline_ms'))
    .where('state', '=', sql.lit('receiving'))
    .where('upload_deadline_ms', 'is not', null)
    .execute()
  await tx
    .updateTable('transfers')
    .set(moved('expires_at_ms'))
    .where('state', 'in', sql<'receiving' | 'stored'>`('receiving', 'stored')`)
    .execute()
  await tx.updateTable('deliveries').set(moved('lease_expires_at_ms')).where('state', '=', sql.lit('offered')).execute()
  await tx
    .updateTable('deliveries')
    .set(moved('offer_at_ms'))
    .where('state', '=', sql.lit('waiting'))
    .where('offer_at_ms', '>', openAfterMs)
    .execute()
  await tx.updateTable('duties').set(moved('expires_at_ms')).execute()
  await moveWebhooks(tx, moved)
  // Invites and links are not extended by an unwatched gap, because the portal may just have been idle.
  if (isWatched || stepMs < 0) {
    await tx.updateTable('invites').set(moved('expires_at_ms')).where('expires_at_ms', '>', openAfterMs).execute()
    await tx
      .updateTable('accounts')
      .set(moved('expires_at_ms'))
      .where('owner_id', 'is not', null)
      .where('revoked_at_ms', 'is', null)
      .where('expires_at_ms', '>', openAfterMs)
      .execute()
    await tx
      .updateTable('file_requests')
      .set(moved('ends_at_ms'))
      .where('uploads_due', '=', sql.lit(1))
      .where('ends_at_ms', '>', openAfterMs)
      .execute()
  }
  // Adopted before the commit, so that nothing is written by the old clock in between.
  adopt()
  return true
}

/** Moves the deadlines of webhooks, and of messages to them that have no outcome. */
async function moveWebhooks(
  tx: Tx,
  moved: <Column extends string>(column: Column) => Record<Column, RawBuilder<number>>,
): Promise<void> {
  await tx
    .updateTable('webhooks')
    .set({ ...moved('pause_until_ms'), ...moved('next_at_ms'), ...moved('lease_expires_at_ms') })
    .where('disabled_at_ms', 'is', null)
    .where('served_at_ms', '>=', 0)
    .execute()
  await tx
    .updateTable('webhook_messages')
    .set({ ...moved('next_at_ms'), ...moved('give_up_at_ms') })
    // An index that begins with this column has these messages, and no others.
    .where('webhook_id', '>', '')
    .where('state', 'in', sql<'pending' | 'queued'>`('pending', 'queued')`)
    .execute()
}

/** Corrects deadlines that were written by the old clock. Otherwise a file would not be offered until the step has passed. */
async function bringBack({ db }: LedgerContext, atMs: number, bounds: OpenBounds): Promise<void> {
  const { leaseMs, uploadTimeoutMs } = bounds
  const far = (durationMs: number): number => atMs + STRAY_FACTOR * durationMs + STRAY_MS_MAX
  await db
    .updateTable('deliveries')
    .set({ lease_expires_at_ms: atMs + leaseMs })
    .where('state', '=', sql.lit('offered'))
    .where('lease_expires_at_ms', '>', far(leaseMs))
    .execute()
  await db
    .updateTable('transfers')
    .set({ upload_deadline_ms: atMs + uploadTimeoutMs })
    .where('state', '=', sql.lit('receiving'))
    .where('upload_deadline_ms', '>', far(uploadTimeoutMs))
    .execute()
}
