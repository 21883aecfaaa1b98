/**
 * Answers for people who send a file with curl: lines of text for a terminal, or JSON on request. Names and texts of others are
 * escaped, so that they cannot control the terminal.
 */
import type { FastifyRequest } from 'fastify'
import {
  bytesText,
  isFinalDelivery,
  type Notification,
  type Problem,
  type ProblemJson,
  printable,
  problemSentence,
} from '../../protocol/index.ts'
import type { Transfer } from '../ledger/contract.ts'

export const textMediaType = 'text/plain; charset=utf-8'
const jsonLinesMediaType = 'application/jsonl'
/** Requests below these paths are answered with lines. */
const LINES_PATHS = ['/v1/to/', '/v1/uploads/']
/** Problems that clients of resumable uploads know. They are never text. */
const FOR_PROGRAMS: ReadonlySet<string> = new Set(['mismatching-upload-offset', 'inconsistent-upload-length'])
const JSON_TYPES = /(?:^|[\s,])application\/(?:jsonl|x-ndjson|json|problem\+json)(?:$|[\s,;])/i

/** The media type of JSON lines that a request asks for; null for text. */
export function jsonLinesTypeOf({ headers }: FastifyRequest): string | null {
  const accept = headers.accept ?? ''
  if (!JSON_TYPES.test(accept)) return null
  return /x-ndjson/i.test(accept) ? 'application/x-ndjson' : jsonLinesMediaType
}

/** Whether the refusal of a request is to be text. */
export function wantsText(request: FastifyRequest, { code }: Problem): boolean {
  const isForPeople = LINES_PATHS.some((path) => request.url.startsWith(path)) && !FOR_PROGRAMS.has(code)
  return isForPeople && jsonLinesTypeOf(request) === null
}

/** A refusal as a line. `resend`: nothing was kept, and the client may send the same again. */
export function refusalLine(problem: Problem): string {
  return line(problem.next === 'resend' ? 'resend' : 'refused', problemText(problem.toJSON()))
}

/** A notification about a transfer, as a line. */
export function notificationLine(transfer: Transfer, notification: Notification): string {
  switch (notification.notification) {
    case 'stored':
      return line(
        'stored',
        `${transfer.transferId} ${nameOf(transfer)}, ${bytesText(transfer.sizeBytes)}${openText(transfer)}`,
      )
    case 'delivered':
      return line('delivered', notification.receiver)
    case 'failed':
      return line('failed', `${notification.receiver}: ${problemText(notification.problem)}`)
    case 'resend':
    case 'refused':
      return line(notification.notification, problemText(notification.problem))
  }
}

/** A line that says which answers are missing and where to ask for them. */
export function laterLine({ transferId }: Transfer, waitingFor: readonly string[]): string {
  return line('waiting', `for ${waitingFor.join(', ')}; ask later: GET ${eventsPath(transferId)}`)
}

/** The same for programs. */
export function laterJson({ transferId }: Transfer, waitingFor: readonly string[]): string {
  return jsonLine({ transferId, waitingFor, events: eventsPath(transferId) })
}

export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}

function eventsPath(transferId: string): string {
  return `/v1/transfers/${transferId}/events`
}

function line(word: string, text: string): string {
  return `${word}${word === 'refused' || word === 'resend' ? ':' : ''} ${printable(text)}\n`
}

function problemText(problem: ProblemJson): string {
  return `${problem.code}: ${problemSentence(problem)}`
}

function nameOf({ metadata }: Transfer): string {
  return 'name' in metadata ? metadata.name : 'a sealed file'
}

function openText({ deliveries }: Transfer): string {
  const open = deliveries.filter(({ state }) => !isFinalDelivery(state)).map(({ receiver }) => receiver)
  return open.length === 0 ? '' : `, waiting for ${open.join(', ')}`
}
