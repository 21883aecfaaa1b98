/**
 * Ids of events that are unique even after the ledger was restored from a backup.
 *
 * A restored ledger gives the row numbers after the backup a second time, to other events. Clients ask for the events after an
 * id. So an id is the number of the row followed by six digits computed from the content of the event. An id from the lost history
 * matches no event of the new one: the portal answers `event-unknown`, and the client asks for every transfer again.
 */
import { hash } from 'node:crypto'
import type { EventRow } from './context.ts'

const MARK_DIGITS = 6
const MARKS = 10 ** MARK_DIGITS
const HASH_HEX_DIGITS = 8

/** An id that a client gave, and its row number. */
export interface EventPosition {
  /** 0 before the first event. */
  readonly number: number
  readonly eventId: string
}

/** The id of an event. Later events have larger ids. */
export function eventIdOf(row: EventRow): string {
  const { event_id, transfer_id, at_ms, attempt, notification, receiver } = row
  const said = hash('sha256', `${transfer_id} ${at_ms} ${attempt} ${notification} ${receiver ?? ''}`, 'hex')
  const mark = Number.parseInt(said.slice(0, HASH_HEX_DIGITS), 16) % MARKS
  return `${event_id}${String(mark).padStart(MARK_DIGITS, '0')}`
}

/** @param eventId decimal digits; `0` stands before all events. An id that no ledger gives has the number 0, too */
export function positionOf(eventId: string): EventPosition {
  return { number: Number(eventId.slice(0, -MARK_DIGITS)), eventId }
}

/** Whether a position is the beginning of the log. */
export function isBeginning({ eventId }: EventPosition): boolean {
  return /^0+$/.test(eventId)
}
